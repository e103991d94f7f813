"""What the coordinator asks of whoever makes the cases."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, final, runtime_checkable

from medsmith.synthesis.tasks import CaseTask, Settled, SynthesisRequest


@final
@dataclass(frozen=True)
class Patience:
    """Seconds after which a worker counts as hung.

    Attributes:
        loading: without having loaded the run.
        silence: without a sign of life.
        draw: on one draw of a case; None allows 20 times the slowest so far, at least a minute, and an hour before
            the first is done.
    """

    loading: float = 600.0
    silence: float = 60.0
    draw: float | None = None

    def for_draw(self, slowest: float | None) -> float:
        """Seconds allowed to a draw when the slowest so far took ``slowest``."""
        if self.draw is not None:
            return self.draw
        return 3600.0 if slowest is None else max(60.0, 20 * slowest)


@final
@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        task: the case.
        ended: "made", or "refused" by the checks at every draw, or "lost" with the workers that tried.
        refused: check -> draws that it refused, of a refused case.
        reason: of a lost case, one line.
        log: of a lost case.
    """

    task: CaseTask
    ended: Literal["made", "refused", "lost"]
    refused: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    log: str = ""


@runtime_checkable
class Executor(Protocol):
    """Makes the cases of one request, with ``making.settle`` and ``making.make_case`` wherever its workers run.

    A context: once it is left, nobody writes cases any more.
    """

    def __enter__(self) -> "Executor": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def settle(self) -> Settled:
        """What the loaded method makes of the request.

        Raises:
            MedsmithError: the run cannot be loaded, or the method refuses the request.
            KeyboardInterrupt: the work was asked to end.
        """
        ...

    def submit(self, tasks: Iterable[CaseTask], out: Path) -> Iterator[Outcome]:
        """Make cases into the cohort at ``out``; one outcome per task, in any order.

        Raises:
            MedsmithError: something that stops all cases.
            KeyboardInterrupt: the work was asked to end.
        """
        ...


StartExecutor = Callable[[SynthesisRequest, int, Patience, Callable[[], bool]], Executor]
"""From a request, the number of workers, their patience, and whether the work was asked to end."""
