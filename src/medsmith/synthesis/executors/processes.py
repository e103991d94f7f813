"""An executor of worker processes on this machine; failed workers are replaced."""

import queue
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import final

from medsmith.errors import SynthesisError, error_from_json
from medsmith.synthesis.executors.base import Outcome, Timeouts
from medsmith.synthesis.executors.worker_process import Events, WorkerProcess
from medsmith.synthesis.messages import Message
from medsmith.synthesis.missed import Misses
from medsmith.synthesis.tasks import CaseTask, ResolvedRequest, SynthesisRequest

# A case that kills this many workers is retried once more, alone, after all others: most often the workers together
# ran out of memory.
MAX_CONCURRENT_DEATHS = 2
# Consecutive workers that die while loading: the fault is not in a case.
MAX_FAILED_STARTS = 10
_TICK_SECONDS = 0.2
_WAITING_OF_A_ROW = 8
"""Tasks that wait for each row on average: rows of a shard's cases are random, and with fewer some would be idle."""


@final
class ProcessExecutor:
    """Worker processes that synthesize the cases of one request (``Executor``).

    Args:
        request: names the run to load.
        workers: number of processes, distributed over the devices of the request.
        timeouts: after which a worker counts as hung.
        stop: returns True once the synthesis is to be interrupted.
    """

    def __init__(self, request: SynthesisRequest, workers: int, timeouts: Timeouts, stop: Callable[[], bool]) -> None:
        self._request, self._size, self._timeouts, self._stop = request, workers, timeouts, stop
        self._events: Events = queue.SimpleQueue()
        self._workers: set[WorkerProcess] = set()
        self._waiting: deque[CaseTask] = deque()
        self._retry_alone: deque[CaseTask] = deque()
        self._deaths: Counter[str] = Counter()
        self._failed_starts = 0
        self._slowest: float | None = None
        self._resolved: ResolvedRequest | None = None

    def __enter__(self) -> "ProcessExecutor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def resolve(self) -> ResolvedRequest:
        """As ``Executor.resolve``; waits for the first worker."""
        while self._resolved is None:
            self._start_workers(self._size)
            self._process_event()
        return self._resolved

    def submit(self, tasks: Iterable[CaseTask], out: Path) -> Iterator[Outcome]:
        """As ``Executor.submit``."""
        source = iter(tasks)
        while self._refill(source) or self._retry_alone or self._running():
            left = len(self._waiting) + len(self._retry_alone) + self._running()
            self._start_workers(min(self._size, -(-left // self._request.batch)))
            self._assign_tasks(str(out.absolute()))
            yield from self._process_event()

    def _refill(self, source: Iterator[CaseTask]) -> bool:
        """Takes as many tasks as the workers need next, so that memory does not grow with their number."""
        rows = self._size * self._request.batch
        most = (2 if self._request.batch == 1 else _WAITING_OF_A_ROW) * rows
        self._waiting.extend(islice(source, max(0, most - len(self._waiting))))
        return bool(self._waiting)

    def _running(self) -> int:
        """Cases that are being made."""
        return sum(len(worker.tasks) for worker in self._workers)

    def _start_workers(self, size: int) -> None:
        while len(self._workers) < size:
            staffed = Counter(worker.device for worker in self._workers)
            device = min(self._request.devices, key=staffed.__getitem__)  # the first of the least used
            self._workers.add(WorkerProcess(self._request, device, self._events))

    def _assign_tasks(self, out: str) -> None:
        for worker in self._workers:
            free = worker.free_rows(self._request.batch)
            for _ in range(len(self._waiting) if free else 0):
                task = self._waiting.popleft()
                row = task.recipe.row(task.index)
                if row in free:
                    free.remove(row)
                    worker.assign(task, out)
                else:
                    self._waiting.append(task)
        idle = next((worker for worker in self._workers if worker.ready), None)
        if self._retry_alone and idle and not self._waiting and not self._running():
            idle.assign(self._retry_alone.popleft(), out)

    def _process_event(self) -> Iterable[Outcome]:
        """Wait briefly for one event and handle it; kill hung workers."""
        if self._stop():
            raise KeyboardInterrupt
        if self._events.empty():  # queued messages may be recent signs of life that were not read for long
            self._kill_hung_workers()
        try:
            worker, message = self._events.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            return ()
        if worker not in self._workers:
            return ()
        found = self._handle_exit(worker) if message is None else [self._handle_message(worker, message)]
        return [outcome for outcome in found if outcome is not None]

    def _kill_hung_workers(self) -> None:
        for worker in self._workers:
            reason = "" if worker.hung else worker.hang_reason(self._timeouts, self._slowest)
            if reason:
                worker.kill_hung(reason)

    def _handle_message(self, worker: WorkerProcess, message: Message) -> Outcome | None:
        worker.last_heard = monotonic()
        match message["type"]:
            case "ready":
                worker.ready, self._failed_starts = True, 0
                self._resolved = ResolvedRequest.model_validate(message["resolved"])
            case "attempt":
                seconds = worker.end_attempt(message["index"])
                self._record_time(seconds if message["attempt"] > 0 else 0.0)
            case "rejected":
                return Outcome(worker.tasks[message["index"]], "rejected", refused=dict.fromkeys(message["checks"], 1))
            case "made" | "refused":
                self._record_time(worker.end_attempt(message["index"]))
                return self._handle_result(worker.take_back(message["index"]), message)
            case "broken":
                return self._handle_failure(worker, worker.take_back(message["index"]), message["trace"])
            case "unusable":
                raise SynthesisError(self._request.run, f"cannot be loaded ({message['trace']})")
            case "stop":
                raise error_from_json(message["error"])
        return None

    def _record_time(self, seconds: float) -> None:
        """Record the duration of an attempt; 0 where none has ended."""
        if seconds > 0:
            self._slowest = max(self._slowest or 0.0, seconds)

    def _handle_result(self, task: CaseTask, message: Message) -> Outcome:
        missed = Misses.model_validate(message.get("missed", {}))
        return Outcome(task, message["type"], refused=message.get("refused", {}), missed=missed)

    def _handle_exit(self, worker: WorkerProcess) -> list[Outcome | None]:
        """Handle a worker's exit: its cases are queued again."""
        reason = worker.exit_reason()
        self._workers.discard(worker)
        try:
            if not worker.ready:
                self._failed_starts += 1
                self._check_starts(reason, worker.log())
            return [self._handle_failure(worker, worker.take_back(index), reason) for index in [*worker.tasks]]
        finally:
            worker.end()

    def _handle_failure(self, worker: WorkerProcess, task: CaseTask, reason: str) -> Outcome | None:
        self._deaths[task.id] += 1
        if self._deaths[task.id] > MAX_CONCURRENT_DEATHS:
            return Outcome(task, "lost", reason=reason, log=worker.log())
        (self._waiting if self._deaths[task.id] < MAX_CONCURRENT_DEATHS else self._retry_alone).append(task)
        return None

    def _check_starts(self, reason: str, log: str) -> None:
        if self._failed_starts >= MAX_FAILED_STARTS:
            lines = log.strip().splitlines()
            last = lines[-1] if lines else "its log is empty"
            found = f"{self._failed_starts} workers in a row ended while loading it ({reason}: {last})"
            raise SynthesisError(self._request.run, found, cure="free memory, or use fewer workers")
