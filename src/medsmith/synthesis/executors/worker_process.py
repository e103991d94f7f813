"""The coordinator's handle of one worker: a process, two pipes and a log."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import final

from medsmith.synthesis.executors.base import Timeouts
from medsmith.synthesis.messages import Message, encoded
from medsmith.synthesis.tasks import CaseTask, SynthesisRequest

_LOG_BYTES = 20_000
_EXIT_GRACE_SECONDS = 1.0
# One thread per numerical library: the rounding of a sum depends on how it is split over threads.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


Event = tuple["WorkerProcess", Message | None]
Events = queue.SimpleQueue[Event]
PutEvent = Callable[[Event], None]


@final
class WorkerProcess:
    """A worker process.

    Args:
        request: names the run to load.
        device: the one device of the request that it uses.
        events: queue that receives its messages; the message None marks its exit.
    """

    def __init__(self, request: SynthesisRequest, device: str, events: Events) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by end(); unnamed, so that a kill leaves no file behind)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "medsmith.synthesis.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self.device = device
        self.tasks: dict[int, CaseTask] = {}
        self._attempts_start: dict[int, float] = {}
        self.ready = False
        self.hung = ""
        self.last_heard = self._start = time.monotonic()
        self._log_start = 0
        threading.Thread(target=self._watch, args=(events.put,), daemon=True).start()
        self._send({"request": request.model_dump(mode="json"), "device": device})

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def free_rows(self, batch: int) -> set[int]:
        """Rows of its batch, of so many, that it makes no case of; none before it is ready."""
        taken = {task.recipe.row(task.index) for task in self.tasks.values()}
        return set(range(batch)) - taken if self.ready else set()

    def assign(self, task: CaseTask, out: str) -> None:
        """Send one case task to the worker."""
        if not self.tasks:
            self._log_start = os.fstat(self._log.fileno()).st_size
        self.tasks[task.index], self._attempts_start[task.index] = task, time.monotonic()
        self._send({"out": out, "task": task.model_dump(mode="json")})

    def end_attempt(self, index: int) -> float:
        """Seconds of the attempt at a case that has just ended, by the last message; the next one begins."""
        seconds = self.last_heard - self._attempts_start[index]
        self._attempts_start[index] = self.last_heard
        return seconds

    def take_back(self, index: int) -> CaseTask:
        """The task of a case that the worker has ended."""
        del self._attempts_start[index]
        return self.tasks.pop(index)

    def hang_reason(self, timeouts: Timeouts, slowest: float | None) -> str:
        """Why the worker counts as hung; empty if it does not."""
        now = time.monotonic()
        if not self.ready:
            late = now - self._start > timeouts.load
            return f"did not load the run in {timeouts.load:.0f} s" if late else ""
        if now - self.last_heard > timeouts.heartbeat:
            return f"gave no sign of life for {timeouts.heartbeat:.0f} s"
        allowed = timeouts.for_attempt(slowest)
        late = any(now - start > allowed for start in self._attempts_start.values())
        return f"one attempt took more than {allowed:.0f} s" if late else ""

    def kill_hung(self, reason: str) -> None:
        """Kill a hung worker after it has dumped its stack to its log (SIGUSR1)."""
        self.hung = reason
        self._process.send_signal(signal.SIGUSR1)
        time.sleep(_EXIT_GRACE_SECONDS)
        self._process.kill()

    def log(self) -> str:
        """The last 20 kB that it wrote to standard error since it was given a task while it had none."""
        descriptor = self._log.fileno()
        size = os.fstat(descriptor).st_size
        start = max(self._log_start, size - _LOG_BYTES)
        return os.pread(descriptor, size - start, start).decode(errors="replace")

    def exit_reason(self) -> str:
        """One line on how the process ended."""
        if self.hung:
            return self.hung
        code = self._process.wait()
        if code >= 0:
            return f"the worker ended with exit code {code}"
        more = ", perhaps out of memory" if code == -signal.SIGKILL else ""
        return f"the worker was killed by {signal.Signals(-code).name}{more}"

    def end(self) -> None:
        """Kill the process if it is alive, and close its pipes and log."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._log.close()

    def _send(self, message: Message) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has exited; the event of its exit follows
            self._process.stdin.write(encoded(message))
            self._process.stdin.flush()

    def _watch(self, put: PutEvent) -> None:
        """Forward its messages, then its exit, even if a child of the worker keeps the pipe open."""
        reader = threading.Thread(target=self._listen, args=(put,), daemon=True)
        reader.start()
        self._process.wait()
        reader.join(_EXIT_GRACE_SECONDS)
        put((self, None))

    def _listen(self, put: PutEvent) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith(b"\n"):  # a killed worker may leave an incomplete line
                    put((self, json.loads(line)))
