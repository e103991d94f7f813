"""What the coordinator does with the outcomes of an executor: counts refusals, keeps logs, stops what is hopeless."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from medsmith.progress import Advance
from medsmith.synthesis import folder
from medsmith.synthesis.checks.result import gave_up_on_misses, only_missed
from medsmith.synthesis.executors.base import Outcome
from medsmith.synthesis.missed import MissedCases
from medsmith.synthesis.tasks import CaseTask


@contextmanager
def executor_stopped(work: ExitStack, out: Path) -> Iterator[None]:
    """Stops the executor, which ``work`` holds, on exit, so that no worker writes after the folder is unlocked."""
    try:
        yield
    finally:
        work.close()
        folder.remove_temporaries(out)


def _ignored(_task: CaseTask) -> None:
    """Does nothing about a case."""


def collect(
    outcomes: Iterable[Outcome],
    out: Path,
    advance: Advance,
    done: int,
    missed: MissedCases,
    settled: Callable[[CaseTask], None] = _ignored,
) -> dict[str, str]:
    """Consume the outcomes; case id -> reason of every failed case.

    Args:
        outcomes: of an executor.
        out: folder of the cases, for the logs of those that are lost.
        advance: of the display.
        done: number of cases that are finished already.
        missed: receives the cases whose lesions miss the request or have no place.
        settled: receives each case that is made, or never will be since its lesions miss the request or have no place.

    Stops early if as many attempts as one case may have were refused, at whatever cases, while the folder holds no
    finished case: the others are likely to fail as well. Lesions that miss their request say nothing of the others.
    """
    try:
        return _failures(outcomes, out, advance, done, missed, settled)
    finally:
        missed.save()


def _failures(
    outcomes: Iterable[Outcome],
    out: Path,
    advance: Advance,
    done: int,
    missed: MissedCases,
    settled: Callable[[CaseTask], None],
) -> dict[str, str]:
    failures: dict[str, str] = {}
    refused: Counter[str] = Counter()
    images = rejected = 0
    for outcome in outcomes:
        attempts = outcome.task.recipe.limits.attempts
        match outcome.status:
            case "rejected":
                rejected += not only_missed(outcome.refused)
                images += 1
                refused.update(outcome.refused)
                advance(0, folder.refused_images(images, refused))
                if not done and rejected >= attempts:
                    check, times = refused.most_common(1)[0]
                    first = "first attempt" if rejected == 1 else f"first {rejected} attempts"
                    reason = f"the checks refused the {first}, {check} most often ({times})"
                    failures[outcome.task.id] = reason
                    break
            case "made":
                done += 1
                settled(outcome.task)
                advance(1, folder.refused_images(images, refused))
            case "lost":
                failures[outcome.task.id] = outcome.reason
                folder.write_failure(out, outcome.task.id, f"{outcome.reason}\n\n{outcome.log}")
            case "refused" if outcome.missed.unplaced or gave_up_on_misses(outcome.refused, outcome.task.recipe.limits):
                missed.add(outcome.task.id, outcome.missed)
                settled(outcome.task)
            case "refused":
                check, times = Counter(outcome.refused).most_common(1)[0]
                every = "the only attempt" if attempts == 1 else f"all {attempts} attempts"
                failures[outcome.task.id] = f"the checks refused {every}, {check} most often ({times})"
                if not done:
                    break
    return failures
