"""Synthesizes cases and packs them into tar shards while the next are made; resumes after an interruption.

The cases of the shards in work lie in a folder of their own, ``.cases-I-of-N`` beside the shards, where a later call
finds those that are whole; for shards behind a URL in a temporary folder of this machine.
"""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from medsmith.errors import InterruptionError, MedsmithError, RequestError, counted
from medsmith.formats.atomic import json_bytes, remove, remove_if_empty, temporary_files
from medsmith.formats.lock import hold_output
from medsmith.formats.storage import Storage
from medsmith.interruption import defer_interrupts
from medsmith.progress import NullProgress, Progress
from medsmith.runs.log_file import LoggedProgress
from medsmith.synthesis import folder
from medsmith.synthesis.calls import Conditions, Sampled, check_numbers, checked_request, default_workers
from medsmith.synthesis.coordinator import with_hashes
from medsmith.synthesis.executors.base import Executor
from medsmith.synthesis.missed import MISSED, MissedCases
from medsmith.synthesis.options import SynthesisOptions
from medsmith.synthesis.outcomes import collect, executor_stopped
from medsmith.synthesis.plan import PLAN, Plan, relative_paths, relative_run, write_plan
from medsmith.synthesis.references import absolute, check_output
from medsmith.synthesis.rejected import write_sheet
from medsmith.synthesis.shards import Shard
from medsmith.synthesis.tar_shards.call import Packing, ShardsOfCall, ShardsSummary
from medsmith.synthesis.tar_shards.layout import INDEX, MOST_SHARD_CASES, ShardIndex, check_free, check_same
from medsmith.synthesis.tasks import CaseTask, SynthesisRequest
from medsmith.synthesis.unchanged import stamps_of
from medsmith.synthesis.worker import open_cohort

_CASES = ".cases-"
"""Beginning of the names of the folders of cases in work."""


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
        SynthesisError: the place has shards of another recipe, a case fails at every attempt, or its lesions miss
            the request.
        CohortError: another process makes these shards, or the place holds something else or lies in what is read.
        InterruptionError: a signal came; the finished shards are saved.
        FileError: a file cannot be written.
    """
    options = options or SynthesisOptions()
    check_numbers(count, workers)
    asked = checked_request(run, request, Sampled(seed, solver, steps), options)
    part, chosen = options.shard or Shard(1, 1), chosen_numbers(options, count)
    storage = Storage.at(location)
    check_free(storage)
    size = min(workers or default_workers(options.devices), min(options.shard_cases, count) * len(chosen))
    with _folder_of_cases(storage, part) as cases:
        try:
            with defer_interrupts() as stop, ExitStack() as work:
                executor = work.enter_context(options.executor(asked, size, options.timeouts, stop))
                shards = ShardsOfCall(
                    storage, _index(executor, asked, storage, count, options.shard_cases), chosen, cases
                )
                return _fill(executor, work, asked, shards, progress or NullProgress())
        except KeyboardInterrupt:
            cure = "run the same command again to continue"
            raise InterruptionError(storage.location, "interrupted", "finished shards are saved", cure) from None


def chosen_numbers(options: SynthesisOptions, count: int) -> range:
    """The tar shards that a call is to make: all, or every N-th.

    Raises:
        RequestError: there are none, or a shard would have too many cases.
    """
    if not 1 <= options.shard_cases <= MOST_SHARD_CASES:
        raise RequestError("--shard-cases", f"{options.shard_cases}", f"1 to {MOST_SHARD_CASES}", "correct it")
    part = options.shard or Shard(1, 1)
    chosen = part.indices(-(-count // options.shard_cases))
    if not chosen:
        found = f"{part} of {counted(count, 'case')} in shards of {options.shard_cases}"
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
    existed, cases = storage.folder.exists(), storage.folder / f"{_CASES}{part.number}-of-{part.of}"
    try:
        with hold_output(cases):
            yield cases
    finally:
        if not existed:
            remove_if_empty(storage.folder)


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
    executor: Executor, work: ExitStack, asked: SynthesisRequest, shards: ShardsOfCall, progress: Progress
) -> ShardsSummary:
    cases, index, resolved = shards.cases, shards.index, executor.resolve()
    whole = {number for number, manifest in shards.manifests() if manifest is not None}
    lacking = [number for number in shards.numbers if number not in whole]
    folder.remove_old_pictures(cases)
    folder.clean(cases)
    cohort = open_cohort(cases, resolved.spec)
    _remove_temporaries(shards)
    shards.storage.write(INDEX, json_bytes(shards.storage.name_of(INDEX), index.model_dump(mode="json")))
    write_plan(cases, index.plan)
    paths = {reference.key: absolute(reference.path) for reference in resolved.references}
    template = CaseTask(
        run=asked.run,
        loader=asked.loader,
        recipe=index.plan.recipe,
        paths=paths,
        stamps=stamps_of(resolved.references),
        index=0,
    )
    total, done = (sum(len(index.ids(number)) for number in some) for some in (shards.numbers, sorted(whole)))
    recipe, log = index.plan.recipe, shards.log
    try:
        with log.call(f"synthesize {counted(total, 'case')} of {recipe.method} as shards, seed {recipe.seed}"):
            with (
                LoggedProgress(progress, log).task("synthesize", total, done) as advance,
                ThreadPoolExecutor(1, "pack") as thread,
                executor_stopped(work, cases),
            ):
                missed = MissedCases(cases)
                packing = Packing(shards, missed, thread)
                outcomes = executor.submit(packing.tasks(lacking, template), cases)
                failures = collect(outcomes, cases, advance, done, missed, packing.settled)
                packing.wait()
            write_sheet(cases)
            if failures:
                raise folder.failed(shards.storage.location, cases, total, total - done - packing.count, failures)
    except MedsmithError:
        if not (cases / MISSED).exists():  # it belongs to shards that are whole, and the pictures to it
            folder.remove_if_empty(cohort, (id for number in lacking for id in index.ids(number)))
        _remove_index_if_alone(shards)
        raise
    summary = shards.summary(len(lacking))  # where cases are not made, the pictures of their attempts stay
    shutil.rmtree(cases, ignore_errors=True)
    log.line(summary.line)
    return summary


def _remove_temporaries(shards: ShardsOfCall) -> None:
    """Removes half-written files of killed calls, unless another part may be writing: it has a folder of cases.

    Behind a URL those of the manifests of this part.
    """
    place = shards.storage.folder
    if place is None:
        shards.storage.remove_temporaries({shards.index.manifest(number) for number in shards.numbers})
        return
    found = temporary_files(place)  # before the folders: what a part writes is never older than its own
    if not set(place.glob(f"{_CASES}*")) - {shards.cases}:
        for path in found:
            remove(path)


def _remove_index_if_alone(shards: ShardsOfCall) -> None:
    """Removes the index where nothing was made of it, so that it does not block a corrected request."""
    place = shards.storage.folder
    parts = set() if place is None else set(place.glob(f"{_CASES}*")) - {shards.cases}
    made = any(name.endswith(".tar") for name in shards.storage.names())
    if not (made or parts or (shards.cases / PLAN).exists()):
        shards.storage.remove(INDEX)
        with suppress(OSError):
            shards.log.path.unlink(missing_ok=True)
