"""From a request to a folder of cases: exactly as many valid ones as asked for, whatever is killed on the way."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from medsmith.errors import MedsmithError, RequestError, SynthesisError
from medsmith.formats.json_file import read_json
from medsmith.interruption import defer_interrupts
from medsmith.progress import NullProgress, Progress
from medsmith.synthesis import folder
from medsmith.synthesis.conditions import Conditions
from medsmith.synthesis.devices import check_names
from medsmith.synthesis.executors.base import Executor, Outcome
from medsmith.synthesis.executors.processes import usable_cores
from medsmith.synthesis.lock import claimed, refuse_if_held
from medsmith.synthesis.plan import Plan, agree, places_as_written, run_as_written
from medsmith.synthesis.references import absolute, hash_references
from medsmith.synthesis.tasks import CaseTask, Recipe, Settled, SynthesisRequest, case_id
from medsmith.synthesis.worker import open_cohort


def synthesize(
    run: Path | str,
    out: Path | str,
    *,
    count: int,
    seed: int = 0,
    request: Path | str | Mapping[str, Any] | None = None,
    solver: str | None = None,
    steps: int | None = None,
    workers: int | None = None,
    conditions: Conditions | None = None,
    progress: Progress | None = None,
) -> folder.Summary:
    """Make synthetic cases, or go on where an earlier call was stopped.

    Args:
        run: a run folder, or the name of shipped weights.
        out: the cohort's folder; made if missing.
        count: cases that it will hold; may be raised later.
        seed: decides every case, together with its number.
        request: what is asked of each case, or a JSON file that says it; None asks for nothing in particular.
        solver: None takes the method's.
        steps: None takes the method's.
        workers: processes; None takes one per core, on GPUs one per device. The cases do not depend on it.
        conditions: devices, checks, patience, executor.
        progress: where to show progress; None shows nothing.

    Raises:
        RunError: the run cannot be used.
        RequestError: the method cannot do what is asked.
        SynthesisError: another process works in the folder, the folder was made by another recipe, cases fail the
            checks at every draw or end every worker that tries them, or the work was interrupted.
        FileError: the folder cannot be written to.
    """
    out, conditions = Path(out), conditions or Conditions()
    for name, number in (("count", count), ("workers", workers)):
        if number is not None and number < 1:
            raise RequestError(name, f"{number}", "at least 1")
    check_names(conditions.devices)
    asked = SynthesisRequest(
        run=str(run),
        loader=conditions.loader,
        devices=conditions.devices,
        seed=seed,
        request=_read_request(request),
        solver=solver,
        steps=steps,
        limits=conditions.limits,
    )
    folder.refuse_foreign(out)
    refuse_if_held(out)
    size = min(workers or _usual_workers(conditions.devices), count)
    try:
        with defer_interrupts() as stop, ExitStack() as work:
            executor = work.enter_context(conditions.executor(asked, size, conditions.patience, stop))
            return _fill(executor, work, asked, out, count, progress or NullProgress())
    except KeyboardInterrupt:
        found = f"interrupted with {len(folder.finished_ids(out))} of {count} cases"
        raise SynthesisError(out, found, cure="the same command goes on from here") from None


def _read_request(request: Path | str | Mapping[str, Any] | None) -> Mapping[str, Any]:
    return read_json(Path(request)) if isinstance(request, Path | str) else request or {}


def _usual_workers(devices: tuple[str, ...]) -> int:
    return usable_cores() if "cpu" in devices else len(devices)


def with_hashes(settled: Settled) -> Recipe:
    """The recipe with the content of all files that the request names, each read once.

    Raises:
        FileError, CohortError: something is not there, or cannot be read.
    """
    return settled.recipe.model_copy(update={"inputs": hash_references(settled.references)})


def _fill(
    executor: Executor, work: ExitStack, asked: SynthesisRequest, out: Path, count: int, progress: Progress
) -> folder.Summary:
    settled = executor.settle()
    recipe = with_hashes(settled)
    places = {reference.key: absolute(reference.place) for reference in settled.references}
    with claimed(out, lambda: open_cohort(out, settled.spec)) as cohort:
        folder.sweep(out)
        written = places_as_written(places, out)
        agree(out, Plan(count=count, run=run_as_written(asked.run, out), places=written, recipe=recipe))
        ids = [case_id(recipe.method, index) for index in range(count)]
        there = folder.finished_ids(out) & set(cohort.ids)
        missing = [index for index, id in enumerate(ids) if id not in there]
        same = CaseTask(run=asked.run, loader=asked.loader, recipe=recipe, places=places, index=0)
        tasks = [same.model_copy(update={"index": index}) for index in missing]
        try:
            with progress.task("synthesize", count, len(there)) as advance, _none_left_working(work, out):
                failures = _collect(executor.submit(tasks, out), out, partial(advance, 1, ""), len(there))
            folder.close(cohort, ids, failures)
        except MedsmithError:
            folder.forget_if_empty(cohort, ids)
            raise
    return folder.summarise(out, ids, made=len(tasks))


@contextmanager
def _none_left_working(work: ExitStack, out: Path) -> Iterator[None]:
    """Nobody writes any more when the folder is given free."""
    try:
        yield
    finally:
        work.close()
        folder.remove_temporaries(out)


def _collect(outcomes: Iterable[Outcome], out: Path, count_one: Callable[[], None], done: int) -> dict[str, str]:
    """Take what comes; the reason of every case that failed.

    The first case that no draw can get past the checks ends the work, if no case ever got past them: the next would
    fare no better.
    """
    failures: dict[str, str] = {}
    for outcome in outcomes:
        match outcome.ended:
            case "made":
                done += 1
                count_one()
            case "lost":
                failures[outcome.task.id] = outcome.reason
                folder.write_failure(out, outcome.task.id, f"{outcome.reason}\n\n{outcome.log}")
            case "refused":
                check, times = Counter(outcome.refused).most_common(1)[0]
                draws = outcome.task.recipe.limits.attempts
                failures[outcome.task.id] = f"the checks refused all {draws} draws, {check} most often ({times})"
                if not done:
                    break
    return failures
