"""Keeps workers alive and busy until every case is made or given up."""

import os
import queue
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Literal, final

from medsmith.errors import SynthesisError
from medsmith.synthesis.messages import Message, error_from_json
from medsmith.synthesis.process import Events, Patience, Worker
from medsmith.synthesis.tasks import CaseTask, Form, Order, Recipe

# A case that ends this many workers is set aside until the others are done, then tried once more, alone: what
# kills a worker is most often the memory that several cases need together.
DEATHS_ASIDE = 2
# Workers that end one after another while loading: the fault is not any case's.
STILLBORN = 10
_TICK_SECONDS = 0.2


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


@final
class Crew:
    """Worker processes that make the cases of one order; a context.

    Args:
        order: what they load.
        size: how many of them work at a time.
        patience: when a worker counts as hung.
        stop: whether the work was asked to end.
    """

    def __init__(self, order: Order, size: int, patience: Patience, stop: Callable[[], bool]) -> None:
        self._order, self._size, self._patience, self._stop = order, size, patience, stop
        self._events: Events = queue.SimpleQueue()
        self._workers: set[Worker] = set()
        self._waiting: deque[CaseTask] = deque()
        self._aside: deque[CaseTask] = deque()
        self._deaths: Counter[str] = Counter()
        self._stillborn = 0
        self._slowest: float | None = None
        self._settled: tuple[Recipe, Form] | None = None

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.dismiss()

    def dismiss(self) -> None:
        """End all workers: nobody writes cases any more."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def settled(self) -> tuple[Recipe, Form]:
        """What the loaded method makes of the order; waits for the first worker.

        Raises:
            MedsmithError: the run cannot be loaded, or the method refuses the order.
            KeyboardInterrupt: the work was asked to end.
        """
        while self._settled is None:
            self._staff(self._size)
            self._turn()
        return self._settled

    def work(self, tasks: Iterable[CaseTask], out: Path) -> Iterator[Outcome]:
        """Make cases into a cohort, in any order.

        Raises:
            MedsmithError: something that stops all cases.
            KeyboardInterrupt: the work was asked to end.
        """
        self._waiting.extend(tasks)
        while self._waiting or self._aside or self._busy():
            self._staff(min(self._size, len(self._waiting) + len(self._aside) + self._busy()))
            self._hand_out(str(out.absolute()))
            outcome = self._turn()
            if outcome is not None:
                yield outcome

    def _busy(self) -> int:
        return sum(worker.task is not None for worker in self._workers)

    def _staff(self, size: int) -> None:
        while len(self._workers) < size:
            self._workers.add(Worker(self._order, self._events))

    def _hand_out(self, out: str) -> None:
        idle = [worker for worker in self._workers if worker.ready and worker.task is None]
        for worker in idle:
            if self._waiting:
                worker.give(self._waiting.popleft(), out)
            elif self._aside and not self._busy():
                worker.give(self._aside.popleft(), out)

    def _turn(self) -> Outcome | None:
        """Wait for one event, briefly, and look after workers that hang."""
        if self._stop():
            raise KeyboardInterrupt
        for worker in self._workers:
            reason = "" if worker.hung else worker.overdue(self._patience, self._slowest)
            if reason:
                worker.give_up(reason)
        try:
            worker, message = self._events.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            return None
        if worker not in self._workers:
            return None
        return self._ended(worker) if message is None else self._said(worker, message)

    def _said(self, worker: Worker, message: Message) -> Outcome | None:
        worker.heard = monotonic()
        match message["is"]:
            case "ready":
                worker.ready, self._stillborn = True, 0
                self._settled = (Recipe.model_validate(message["recipe"]), Form.model_validate(message["form"]))
            case "drawing":
                self._time(worker, started=message["attempt"] > 0)
            case "made" | "refused":
                self._time(worker, started=True)
                return self._finished(worker, message)
            case "broken":
                return self._failed(worker, message["trace"])
            case "stop":
                raise error_from_json(message["error"])
        return None

    def _time(self, worker: Worker, *, started: bool) -> None:
        """Take the time of the draw that has just ended, if one had started."""
        if started:
            self._slowest = max(self._slowest or 0.0, worker.heard - worker.since)
        worker.since = worker.heard

    def _finished(self, worker: Worker, message: Message) -> Outcome:
        task, worker.task = worker.task, None
        assert task is not None
        return Outcome(task, message["is"], refused=message.get("refused", {}))

    def _ended(self, worker: Worker) -> Outcome | None:
        """A worker has died: its case goes to another."""
        reason = worker.epitaph()
        self._workers.discard(worker)
        try:
            if worker.task is not None:
                return self._failed(worker, reason)
            if not worker.ready:
                self._stillborn += 1
                self._check_births(reason, worker.log())
        finally:
            worker.end()
        return None

    def _failed(self, worker: Worker, reason: str) -> Outcome | None:
        task, worker.task = worker.task, None
        if task is None:
            raise SynthesisError(self._order.run, f"cannot be loaded ({reason})")
        self._deaths[task.id] += 1
        if self._deaths[task.id] > DEATHS_ASIDE:
            return Outcome(task, "lost", reason=reason, log=worker.log())
        (self._waiting if self._deaths[task.id] < DEATHS_ASIDE else self._aside).append(task)
        return None

    def _check_births(self, reason: str, log: str) -> None:
        if self._stillborn >= STILLBORN:
            words = log.strip().splitlines()
            last = words[-1] if words else "no word in its log"
            found = f"{self._stillborn} workers in a row ended while loading it ({reason}: {last})"
            raise SynthesisError(self._order.run, found, cure="free memory, or use fewer workers")


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
