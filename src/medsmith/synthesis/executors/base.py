"""The interface between the coordinator and the executor of case tasks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, final, runtime_checkable

from medsmith.synthesis.missed import Misses
from medsmith.synthesis.tasks import CaseTask, ResolvedRequest, SynthesisRequest


@final
@dataclass(frozen=True)
class Timeouts:
    """Seconds after which a worker counts as hung.

    Attributes:
        load: for loading the run.
        heartbeat: since its last message.
        attempt: for one attempt at a case; None allows 20 times the slowest attempt so far and at least 60 s, and
            3600 s for the first.
    """

    load: float = 600.0
    heartbeat: float = 60.0
    attempt: float | None = None

    def for_attempt(self, slowest: float | None) -> float:
        """Seconds allowed for an attempt when the slowest so far took ``slowest`` seconds."""
        if self.attempt is not None:
            return self.attempt
        return 3600.0 if slowest is None else max(60.0, 20 * slowest)


@final
@dataclass(frozen=True)
class Outcome:
    """How a task, or one attempt at it, ended.

    Attributes:
        task: the case.
        status: "made"; "refused" if the checks refused every attempt, or no template takes its report; "lost" if every
            worker that tried it failed; "rejected" if they refused one attempt, and others follow.
        refused: check -> number of attempts it refused, for a refused case or attempt.
        missed: what the attempts missed of what was requested of lesions, for a refused case.
        reason: one line on why the case was lost.
        log: standard error of the worker that lost the case.
    """

    task: CaseTask
    status: Literal["made", "refused", "lost", "rejected"]
    refused: Mapping[str, int] = field(default_factory=dict)
    missed: Misses = field(default_factory=Misses)
    reason: str = ""
    log: str = ""


@runtime_checkable
class Executor(Protocol):
    """Runs the case tasks of one request by ``resolve_request`` and ``synthesize_case`` of ``case_synthesis``.

    A context manager: after exit, no worker writes cases any more.
    """

    def __enter__(self) -> "Executor": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def resolve(self) -> ResolvedRequest:
        """Load the run and resolve the request.

        Raises:
            MedsmithError: the run cannot be loaded, or the request is invalid for the method.
            KeyboardInterrupt: the stop callback returned True.
        """
        ...

    def submit(self, tasks: Iterable[CaseTask], out: Path) -> Iterator[Outcome]:
        """Synthesize cases into the cohort at ``out``; yields one outcome per task, in any order.

        Before it comes one for each attempt that was rejected, where the executor can tell.

        Raises:
            MedsmithError: an error that affects all cases.
            KeyboardInterrupt: the stop callback returned True.
        """
        ...


StartExecutor = Callable[[SynthesisRequest, int, Timeouts, Callable[[], bool]], Executor]
"""(request, number of workers, timeouts, stop callback) -> executor."""
