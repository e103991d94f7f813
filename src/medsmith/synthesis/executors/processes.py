"""Worker processes on this machine, kept alive and busy until every case is made or given up."""

import os
import queue
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import final

from medsmith.errors import SynthesisError
from medsmith.synthesis.executors.base import Outcome, Patience
from medsmith.synthesis.executors.worker_process import Events, WorkerProcess
from medsmith.synthesis.messages import Message, error_from_json
from medsmith.synthesis.tasks import CaseTask, Settled, SynthesisRequest

# A case that ends this many workers is set aside until the others are done, then tried once more, alone: what
# kills a worker is most often the memory that several cases need together.
DEATHS_ASIDE = 2
# Workers that end one after another while loading: the fault is not any case's.
FAILED_STARTS = 10
_TICK_SECONDS = 0.2


@final
class ProcessExecutor:
    """Worker processes that make the cases of one request (``Executor``).

    Args:
        request: what they load.
        workers: how many of them work at a time, spread over the devices of the request.
        patience: when a worker counts as hung.
        stop: whether the work was asked to end.
    """

    def __init__(self, request: SynthesisRequest, workers: int, patience: Patience, stop: Callable[[], bool]) -> None:
        self._request, self._size, self._patience, self._stop = request, workers, patience, stop
        self._events: Events = queue.SimpleQueue()
        self._workers: set[WorkerProcess] = set()
        self._waiting: deque[CaseTask] = deque()
        self._aside: deque[CaseTask] = deque()
        self._deaths: Counter[str] = Counter()
        self._failed_starts = 0
        self._slowest: float | None = None
        self._settled: Settled | None = None

    def __enter__(self) -> "ProcessExecutor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def settle(self) -> Settled:
        """As ``Executor.settle``; waits for the first worker."""
        while self._settled is None:
            self._staff(self._size)
            self._turn()
        return self._settled

    def submit(self, tasks: Iterable[CaseTask], out: Path) -> Iterator[Outcome]:
        """As ``Executor.submit``."""
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
            staffed = Counter(worker.device for worker in self._workers)
            device = min(self._request.devices, key=staffed.__getitem__)  # of equals the first
            self._workers.add(WorkerProcess(self._request, device, self._events))

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
        if self._events.empty():  # else who was long away, hashing, say, would take what waits here for silence
            self._give_up_on_hung()
        try:
            worker, message = self._events.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            return None
        if worker not in self._workers:
            return None
        return self._ended(worker) if message is None else self._said(worker, message)

    def _give_up_on_hung(self) -> None:
        for worker in self._workers:
            reason = "" if worker.hung else worker.overdue(self._patience, self._slowest)
            if reason:
                worker.give_up(reason)

    def _said(self, worker: WorkerProcess, message: Message) -> Outcome | None:
        worker.heard = monotonic()
        match message["is"]:
            case "ready":
                worker.ready, self._failed_starts = True, 0
                self._settled = Settled.model_validate(message["settled"])
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

    def _time(self, worker: WorkerProcess, *, started: bool) -> None:
        """Take the time of the draw that has just ended, if one had started."""
        if started:
            self._slowest = max(self._slowest or 0.0, worker.heard - worker.since)
        worker.since = worker.heard

    def _finished(self, worker: WorkerProcess, message: Message) -> Outcome:
        task, worker.task = worker.task, None
        assert task is not None
        return Outcome(task, message["is"], refused=message.get("refused", {}))

    def _ended(self, worker: WorkerProcess) -> Outcome | None:
        """A worker has died: its case goes to another."""
        reason = worker.exit_reason()
        self._workers.discard(worker)
        try:
            if worker.task is not None:
                return self._failed(worker, reason)
            if not worker.ready:
                self._failed_starts += 1
                self._check_starts(reason, worker.log())
        finally:
            worker.end()
        return None

    def _failed(self, worker: WorkerProcess, reason: str) -> Outcome | None:
        task, worker.task = worker.task, None
        if task is None:
            raise SynthesisError(self._request.run, f"cannot be loaded ({reason})")
        self._deaths[task.id] += 1
        if self._deaths[task.id] > DEATHS_ASIDE:
            return Outcome(task, "lost", reason=reason, log=worker.log())
        (self._waiting if self._deaths[task.id] < DEATHS_ASIDE else self._aside).append(task)
        return None

    def _check_starts(self, reason: str, log: str) -> None:
        if self._failed_starts >= FAILED_STARTS:
            words = log.strip().splitlines()
            last = words[-1] if words else "no word in its log"
            found = f"{self._failed_starts} workers in a row ended while loading it ({reason}: {last})"
            raise SynthesisError(self._request.run, found, cure="free memory, or use fewer workers")


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
