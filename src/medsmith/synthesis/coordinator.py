"""Synthesizes a cohort of exactly the requested number of valid cases, and resumes it after an interruption."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from medsmith.errors import InterruptionError, MedsmithError, RequestError, printable
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import check_not_held, hold_output
from medsmith.interruption import defer_interrupts
from medsmith.machine import usable_cores
from medsmith.progress import Advance, NullProgress, Progress
from medsmith.synthesis import folder
from medsmith.synthesis.checks.result import gave_up_on_misses, only_missed
from medsmith.synthesis.devices import check_built
from medsmith.synthesis.executors.base import Executor, Outcome
from medsmith.synthesis.missed import read_missed, record_missed
from medsmith.synthesis.options import SynthesisOptions
from medsmith.synthesis.plan import Plan, relative_paths, relative_run, write_plan
from medsmith.synthesis.references import absolute, check_output, hash_references
from medsmith.synthesis.rejected import write_sheet
from medsmith.synthesis.shards import Shard
from medsmith.synthesis.tasks import CaseTask, Recipe, ResolvedRequest, SynthesisRequest, case_id
from medsmith.synthesis.unchanged import stamps_of
from medsmith.synthesis.worker import open_cohort


def synthesize(
    run: Path | str,
    out: Path | str,
    *,
    count: int,
    seed: int = 0,
    request: BaseModel | Path | str | Mapping[str, Any] | None = None,
    solver: str | None = None,
    steps: int | None = None,
    workers: int | None = None,
    options: SynthesisOptions | None = None,
    progress: Progress | None = None,
) -> folder.Summary:
    """Synthesize cases, or continue an interrupted call.

    Args:
        run: a run folder, or the name of shipped weights.
        out: the cohort's folder; created if missing.
        count: number of cases the folder is to hold; may be raised later.
        seed: of the run; each case's seed is derived from it and the case's index.
        request: conditions on each case: the method's request (``LesionDiffusionRequest``, ...), the same as a mapping,
            or a JSON file with them; None for none.
        solver: of the sampler; None uses the method's default.
        steps: of the sampler; None uses the method's default.
        workers: number of processes; None starts one per core, or one per GPU. The cases do not depend on it.
        options: devices, limits of the checks, timeouts, executor.
        progress: display of the progress; None shows nothing.

    Raises:
        RunError: the run cannot be used.
        RequestError: the request is invalid for the method.
        SynthesisError: the folder has another recipe, a case fails at every attempt, or its lesions miss the request.
        CohortError: another process writes to the folder, it holds something else, or lies in what is read.
        InterruptionError: a signal came; the finished cases are saved.
        FileError: the folder cannot be written to.
    """
    out, options = Path(out), options or SynthesisOptions()
    _check_arguments(run, {"count": count, "workers": workers}, options.devices)
    synthesis_request = SynthesisRequest(
        run=str(run),
        loader=options.loader,
        devices=options.devices,
        seed=seed,
        request=_read_request(request),
        solver=solver,
        steps=steps,
        limits=options.limits,
    )
    shard = _checked_shard(options.shard, count)
    folder.refuse_foreign(out)
    check_not_held(out)
    size = min(workers or _default_workers(options.devices), len(shard.indices(count)))
    try:
        with defer_interrupts() as stop, ExitStack() as work:
            executor = work.enter_context(options.executor(synthesis_request, size, options.timeouts, stop))
            return _fill(executor, work, synthesis_request, out, count, shard, progress or NullProgress())
    except KeyboardInterrupt:
        found = f"interrupted with {len(folder.finished_ids(out))} of {len(shard.indices(count))} cases"
        raise InterruptionError(out, found, cure="run the same command again to continue") from None


def _check_arguments(run: Path | str, numbers: Mapping[str, int | None], devices: tuple[str, ...]) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise RequestError(name, f"{number}", "at least 1")
    check_built(devices)
    if str(run) != printable(str(run)):
        raise RequestError("run", f"'{run}' is no text of one line", "the plan records its name", "rename the folder")


def _checked_shard(shard: Shard | None, count: int) -> Shard:
    """The shard to make, which has a case; without one, all cases."""
    found = shard or Shard(1, 1)
    if not found.indices(count):
        raise RequestError("--shard", f"{found} of {count} cases", "at least one case each", "use fewer shards")
    return found


def _read_request(request: BaseModel | Path | str | Mapping[str, Any] | None) -> Mapping[str, Any]:
    if isinstance(request, BaseModel):
        entries: dict[str, Any] = request.model_dump(mode="json", exclude_unset=True)
        return entries
    return read_json(Path(request)) if isinstance(request, Path | str) else request or {}


def _default_workers(devices: tuple[str, ...]) -> int:
    return usable_cores() if "cpu" in devices else len(devices)


def with_hashes(resolved: ResolvedRequest) -> Recipe:
    """The recipe with the content hashes of all files that the request names.

    Raises:
        FileError, CohortError: a file or cohort is missing or unreadable.
    """
    return resolved.recipe.model_copy(update={"inputs": hash_references(resolved.references)})


def _fill(
    executor: Executor,
    work: ExitStack,
    request: SynthesisRequest,
    out: Path,
    count: int,
    shard: Shard,
    progress: Progress,
) -> folder.Summary:
    resolved = executor.resolve()
    paths = {reference.key: absolute(reference.path) for reference in resolved.references}
    check_output(out, request.run, paths.values())
    stamps = stamps_of(resolved.references)
    recipe = with_hashes(resolved)
    with hold_output(out):
        folder.remove_old_pictures(out)
        cohort = open_cohort(out, resolved.spec)
        folder.clean(out)
        written = relative_paths(paths, out)
        part = None if shard == Shard(1, 1) else str(shard)
        run = relative_run(request.run, out)
        write_plan(out, Plan(count=count, run=run, paths=written, recipe=recipe, shard=part))
        ids = [case_id(recipe.method, index) for index in shard.indices(count)]
        finished = folder.finished_ids(out) & set(cohort.ids)
        there = finished | read_missed(out).keys()
        missing = [index for index, id in zip(shard.indices(count), ids, strict=True) if id not in there]
        template = CaseTask(run=request.run, loader=request.loader, recipe=recipe, paths=paths, stamps=stamps, index=0)
        tasks = (template.model_copy(update={"index": index}) for index in missing)
        try:
            with progress.task("synthesize", len(ids), len(finished)) as advance, _executor_stopped(work, out):
                failures = _collect(executor.submit(tasks, out), out, advance, len(finished))
            write_sheet(out)
            folder.finish(cohort, ids, failures)
        except MedsmithError:
            folder.remove_if_empty(cohort, ids)
            raise
    return folder.summarize(out, ids, made=len(missing))


@contextmanager
def _executor_stopped(work: ExitStack, out: Path) -> Iterator[None]:
    """Stops the executor on exit, so that no worker writes after the folder is unlocked."""
    try:
        yield
    finally:
        work.close()
        folder.remove_temporaries(out)


def _collect(outcomes: Iterable[Outcome], out: Path, advance: Advance, done: int) -> dict[str, str]:
    """Consume the outcomes; case id -> reason of every failed case.

    Stops early if as many attempts as one case may have were refused, at whatever cases, while the folder holds no
    finished case: the others are likely to fail as well. Lesions that miss their request say nothing of the others.
    """
    failures: dict[str, str] = {}
    refused: Counter[str] = Counter()
    rejected = 0
    for outcome in outcomes:
        attempts = outcome.task.recipe.limits.attempts
        match outcome.status:
            case "rejected":
                rejected += not only_missed(outcome.refused)
                refused.update(outcome.refused)
                advance(0, _refusals(refused))
                if not done and rejected >= attempts:
                    check, times = refused.most_common(1)[0]
                    reason = f"the checks refused the first {rejected} attempts, {check} most often ({times})"
                    failures[outcome.task.id] = reason
                    break
            case "made":
                done += 1
                advance(1, _refusals(refused))
            case "lost":
                failures[outcome.task.id] = outcome.reason
                folder.write_failure(out, outcome.task.id, f"{outcome.reason}\n\n{outcome.log}")
            case "refused" if gave_up_on_misses(outcome.refused, outcome.task.recipe.limits):
                record_missed(out, outcome.task.id, outcome.missed)
            case "refused":
                check, times = Counter(outcome.refused).most_common(1)[0]
                failures[outcome.task.id] = f"the checks refused all {attempts} attempts, {check} most often ({times})"
                if not done:
                    break
    return failures


def _refusals(refused: Counter[str]) -> str:
    """How often each check has refused an attempt so far."""
    return "refused: " + ", ".join(f"{check} {times}" for check, times in refused.most_common()) if refused else ""
