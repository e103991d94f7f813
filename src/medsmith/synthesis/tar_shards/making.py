"""Synthesizes cases and packs them into tar shards while the next are made; resumes after an interruption.

The cases of the shards in work lie in a folder of their own, ``.cases-I-of-N`` beside the shards, where a later call
finds those that are whole; for shards behind a URL in a temporary folder of this machine.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.errors import InterruptionError, RequestError
from medsmith.formats.atomic import json_bytes, remove_if_empty
from medsmith.formats.lock import hold_output
from medsmith.formats.storage import Storage
from medsmith.interruption import defer_interrupts
from medsmith.progress import NullProgress, Progress
from medsmith.runs.log_file import LOG, LogFile, LoggedProgress
from medsmith.synthesis import folder
from medsmith.synthesis.calls import Conditions, Sampled, checked_request, default_workers
from medsmith.synthesis.coordinator import with_hashes
from medsmith.synthesis.executors.base import Executor
from medsmith.synthesis.options import SynthesisOptions
from medsmith.synthesis.outcomes import collect, executor_stopped
from medsmith.synthesis.plan import Plan, relative_paths, relative_run, write_plan
from medsmith.synthesis.references import absolute, check_output
from medsmith.synthesis.rejected import write_sheet
from medsmith.synthesis.shards import Shard
from medsmith.synthesis.tar_shards.layout import INDEX, MOST_CASES, Manifest, ShardIndex, check_free, check_same
from medsmith.synthesis.tar_shards.packing import pack, valid_manifest
from medsmith.synthesis.tasks import CaseTask, SynthesisRequest
from medsmith.synthesis.unchanged import stamps_of
from medsmith.synthesis.worker import open_cohort


@final
@dataclass(frozen=True)
class ShardsSummary:
    """Counts of a call's shards.

    Attributes:
        location: folder or URL.
        shards: number of its shards.
        count: number of their cases.
        made: number of shards that this call wrote.
        attempts: at all cases together.
        refused: check -> number of attempts that it refused.
    """

    location: str
    shards: int
    count: int
    made: int
    attempts: int
    refused: Mapping[str, int]

    @property
    def line(self) -> str:
        """The summary in one line."""
        refused = ", ".join(f"{check} {times}" for check, times in sorted(self.refused.items())) or "no check"
        there = f"{self.location}: {self.shards} shards with {self.count} cases from {self.attempts} attempts"
        return f"{there}; refused by {refused}; next: medsmith unpack {self.location} OUT"

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        counts = {"made": self.made, "attempts": self.attempts, "refused": dict(self.refused)}
        return {"location": self.location, "shards": self.shards, "cases": self.count, **counts}


def synthesize_shards(
    run: Path | str,
    location: Path | str,
    *,
    count: int,
    seed: int = 0,
    request: Conditions = None,
    solver: str | None = None,
    steps: int | None = None,
    workers: int | None = None,
    options: SynthesisOptions | None = None,
    progress: Progress | None = None,
) -> ShardsSummary:
    """Synthesize cases into tar shards, or continue an interrupted call; their bytes are the same for any workers.

    Args:
        run: a run folder, or the name of shipped weights.
        location: a folder, or a URL that fsspec knows, such as ``s3://bucket/shards``.
        count: number of cases; may be raised later.
        seed: of the run.
        request: conditions on each case, as for ``synthesize``.
        solver: of the sampler; None uses the method's default.
        steps: of the sampler; None uses the method's default.
        workers: number of processes; None starts one per core, or one per GPU.
        options: as for ``synthesize``; of ``shard`` I/N, every N-th tar shard is made, at the same location.
        progress: display of the progress; None shows nothing.

    Raises:
        RunError: the run cannot be used.
        RequestError: the request is invalid for the method, or the location cannot be reached.
        SynthesisError: the place has shards of another recipe, or a case fails at every attempt.
        CohortError: another process makes these shards, or the place holds something else or lies in what is read.
        InterruptionError: a signal came; the finished shards are saved.
        FileError: a file cannot be written.
    """
    options = options or SynthesisOptions()
    numbers = {"count": count, "workers": workers}
    asked = checked_request(run, request, Sampled(seed, solver, steps), options, numbers)
    part, chosen = options.shard or Shard(1, 1), chosen_numbers(options, count)
    storage = Storage.at(location)
    check_free(storage)
    size = min(workers or default_workers(options.devices), min(options.shard_cases, count) * len(chosen))
    with _folder_of_cases(storage, part) as cases:
        try:
            with defer_interrupts() as stop, ExitStack() as work:
                executor = work.enter_context(options.executor(asked, size, options.timeouts, stop))
                shards = _Shards(storage, _index(executor, asked, storage, count, options.shard_cases), chosen, cases)
                return _fill(executor, work, asked, shards, progress or NullProgress())
        except KeyboardInterrupt:
            cure = "run the same command again to continue"
            raise InterruptionError(storage.location, "interrupted", "finished shards are saved", cure) from None


def chosen_numbers(options: SynthesisOptions, count: int) -> range:
    """The tar shards that a call is to make: all, or every N-th.

    Raises:
        RequestError: there are none, or a shard would have too many cases.
    """
    if not 1 <= options.shard_cases <= MOST_CASES:
        raise RequestError("--shard-cases", f"{options.shard_cases}", f"1 to {MOST_CASES}", "correct it")
    part = options.shard or Shard(1, 1)
    chosen = part.indices(-(-count // options.shard_cases))
    if not chosen:
        found = f"{part} of {count} cases in shards of {options.shard_cases}"
        raise RequestError("--shard", found, "at least one shard each", "use fewer parts")
    return chosen


@contextmanager
def _folder_of_cases(storage: Storage, part: Shard) -> Iterator[Path]:
    """The folder of the cases in work, locked."""
    if storage.folder is None:
        cases = Path(tempfile.mkdtemp(prefix="medsmith-shards-"))
        with hold_output(cases):
            try:
                yield cases
            finally:
                if not (cases / folder.FAILURES).exists():
                    shutil.rmtree(cases, ignore_errors=True)
        return
    try:
        with hold_output(storage.folder / f".cases-{part.number}-of-{part.of}"):
            yield storage.folder / f".cases-{part.number}-of-{part.of}"
    finally:
        remove_if_empty(storage.folder)


@final
@dataclass(frozen=True)
class _Shards:
    """The shards that a call makes.

    Attributes:
        storage: their place.
        index: of all shards there.
        numbers: of this call's.
        cases: folder of the cases in work.
    """

    storage: Storage
    index: ShardIndex
    numbers: range
    cases: Path

    @property
    def log(self) -> LogFile:
        """Beside the shards, one for each part; behind a URL with the cases in work, and gone with them."""
        if self.storage.folder is None:
            return LogFile(self.cases / LOG)
        of = self.numbers.step
        return LogFile(self.storage.folder / (LOG if of == 1 else f"log-{self.numbers.start + 1}-of-{of}.txt"))

    def manifests(self) -> Iterator[tuple[int, Manifest | None]]:
        """Each shard with its manifest, if it is whole."""
        names = self.storage.names()
        return ((number, valid_manifest(self.storage, self.index, number, names)) for number in self.numbers)

    def summary(self, made: int) -> ShardsSummary:
        """Of whole shards."""
        found = [manifest for _, manifest in self.manifests() if manifest is not None]
        refused = sum((Counter(manifest.refused) for manifest in found), Counter[str]())
        count = sum(len(manifest.cases) for manifest in found)
        attempts = sum(manifest.attempts for manifest in found)
        return ShardsSummary(self.storage.location, len(found), count, made, attempts, refused)


def _index(executor: Executor, asked: SynthesisRequest, storage: Storage, count: int, shard_cases: int) -> ShardIndex:
    """The index of all shards, checked against the one that is there."""
    resolved = executor.resolve()
    paths = {reference.key: absolute(reference.path) for reference in resolved.references}
    run = absolute(asked.run) if Path(asked.run).is_dir() else asked.run
    if storage.folder is not None:
        check_output(storage.folder, asked.run, paths.values())
        paths, run = relative_paths(paths, storage.folder), relative_run(asked.run, storage.folder)
    plan = Plan(count=count, run=run, paths=paths, recipe=with_hashes(resolved))
    index = ShardIndex(shard_cases=shard_cases, plan=plan, spec=resolved.spec)
    check_same(storage, index)
    return index


def _fill(
    executor: Executor, work: ExitStack, asked: SynthesisRequest, shards: _Shards, progress: Progress
) -> ShardsSummary:
    cases, index, resolved = shards.cases, shards.index, executor.resolve()
    whole = {number for number, manifest in shards.manifests() if manifest is not None}
    lacking = [number for number in shards.numbers if number not in whole]
    content = json_bytes(shards.storage.name_of(INDEX), index.model_dump(mode="json"))
    shards.storage.write(INDEX, content)
    folder.clean(cases)
    open_cohort(cases, resolved.spec)
    write_plan(cases, index.plan)
    paths = {reference.key: absolute(reference.path) for reference in resolved.references}
    stamps = stamps_of(resolved.references)
    template = CaseTask(
        run=asked.run, loader=asked.loader, recipe=index.plan.recipe, paths=paths, stamps=stamps, index=0
    )
    total, done = (sum(len(index.ids(number)) for number in some) for some in (shards.numbers, sorted(whole)))
    log = shards.log
    with (
        log.call(f"synthesize {total} cases of {index.plan.recipe.method} as shards, seed {index.plan.recipe.seed}"),
        LoggedProgress(progress, log).task("synthesize", total, done) as advance,
        ThreadPoolExecutor(1, "pack") as thread,
        executor_stopped(work, cases),
    ):
        packing = _Packing(shards, thread)
        tasks = packing.tasks(lacking, template)
        failures = collect(executor.submit(tasks, cases), cases, advance, done, packing.made)
        packing.wait()
    write_sheet(cases)
    if failures:
        error = folder.failed(shards.storage.location, cases, total, total - done - packing.count, failures)
        log.line(error.line)
        raise error
    shutil.rmtree(cases, ignore_errors=True)
    summary = shards.summary(len(lacking))
    log.line(summary.line)
    return summary


@final
class _Packing:
    """Packs each shard when its last case is made, in a thread, one at a time.

    Args:
        shards: of the call.
        thread: that packs.
    """

    def __init__(self, shards: _Shards, thread: ThreadPoolExecutor) -> None:
        self._shards, self._thread = shards, thread
        self._open: dict[int, int] = {}
        self._last: Future[None] | None = None
        self.count = 0
        """Cases that are made or were found whole."""

    def tasks(self, numbers: list[int], template: CaseTask) -> Iterator[CaseTask]:
        """The cases that are missing, shard after shard; only the shards in work are kept in mind."""
        index, spec = self._shards.index, self._shards.index.spec
        for number in numbers:
            pairs = zip(index.indices(number), index.ids(number), strict=True)
            missing = [place for place, id in pairs if not folder.is_whole(self._shards.cases, spec, id)]
            self.count += len(index.ids(number)) - len(missing)
            self._open[number] = len(missing)
            if not missing:
                self._pack(number)
            for place in missing:
                yield template.model_copy(update={"index": place})

    def made(self, task: CaseTask) -> None:
        """Notes a case that is made."""
        number = task.index // self._shards.index.shard_cases
        self.count += 1
        self._open[number] -= 1
        if not self._open[number]:
            self._pack(number)

    def wait(self) -> None:
        """Returns when the last shard is written.

        Raises:
            FileError: it could not be.
        """
        if self._last is not None:
            self._last.result()

    def _pack(self, number: int) -> None:
        self.wait()
        del self._open[number]
        self._last = self._thread.submit(pack, self._shards.storage, self._shards.index, number, self._shards.cases)
