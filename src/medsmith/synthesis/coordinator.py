"""From an order to a folder of cases: exactly as many valid ones as asked for, whatever is killed on the way."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, final

from medsmith.checks.verdict import Limits
from medsmith.errors import MedsmithError, RequestError, SynthesisError
from medsmith.formats.json_file import read_json
from medsmith.interruption import held_back
from medsmith.progress import Progress, Silent
from medsmith.synthesis import folder
from medsmith.synthesis.crew import Crew, Outcome, usable_cores
from medsmith.synthesis.lock import claimed, refuse_if_held
from medsmith.synthesis.plan import Plan, agree, places_as_written, run_as_written
from medsmith.synthesis.process import Patience
from medsmith.synthesis.tasks import LOADER, CaseTask, Order, case_id, places_of
from medsmith.synthesis.worker import open_cohort


@final
@dataclass(frozen=True)
class Conditions:
    """How the work is done; nothing here changes a byte but the device and the limits.

    Attributes:
        device: where the networks live.
        limits: of the checks.
        patience: when a worker counts as hung.
        loader: ``module:function`` that loads the run.
    """

    device: str = "cpu"
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)
    loader: str = LOADER


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
        workers: processes; None takes one per core. The cases do not depend on it.
        conditions: device, checks, patience.
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
    order = Order(
        run=str(run),
        loader=conditions.loader,
        device=conditions.device,
        seed=seed,
        request=_read_request(request),
        solver=solver,
        steps=steps,
        limits=conditions.limits,
    )
    folder.refuse_foreign(out)
    refuse_if_held(out)
    try:
        size = min(workers or usable_cores(), count)
        with held_back() as stop, Crew(order, size, conditions.patience, stop) as crew:
            return _fill(crew, order, out, count, progress or Silent())
    except KeyboardInterrupt:
        found = f"interrupted with {len(folder.finished_ids(out))} of {count} cases"
        raise SynthesisError(out, found, cure="the same command goes on from here") from None


def _read_request(request: Path | str | Mapping[str, Any] | None) -> Mapping[str, Any]:
    return read_json(Path(request)) if isinstance(request, Path | str) else request or {}


def _fill(crew: Crew, order: Order, out: Path, count: int, progress: Progress) -> folder.Summary:
    recipe, form = crew.settled()
    with claimed(out, lambda: open_cohort(out, form)) as cohort:
        folder.sweep(out)
        places = places_of(order, recipe)
        written = places_as_written(places, out)
        agree(out, Plan(count=count, run=run_as_written(order.run, out), places=written, recipe=recipe))
        ids = [case_id(recipe.method, index) for index in range(count)]
        there = folder.finished_ids(out) & set(cohort.ids)
        missing = [index for index, id in enumerate(ids) if id not in there]
        same = CaseTask(run=order.run, loader=order.loader, recipe=recipe, places=places, index=0)
        tasks = [same.model_copy(update={"index": index}) for index in missing]
        try:
            with progress.task("synthesize", count, len(there)) as advance, _none_left_working(crew, out):
                failures = _collect(crew.work(tasks, out), out, partial(advance, 1, ""), len(there))
            folder.close(cohort, ids, failures)
        except MedsmithError:
            folder.forget_if_empty(cohort, ids)
            raise
    return folder.summarise(out, ids, made=len(tasks))


@contextmanager
def _none_left_working(crew: Crew, out: Path) -> Iterator[None]:
    """Nobody writes any more when the folder is given free."""
    try:
        yield
    finally:
        crew.dismiss()
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
