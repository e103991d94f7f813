"""One worker as its coordinator sees it: a process, two pipes and a log."""

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

from medsmith.synthesis.executors.base import Patience
from medsmith.synthesis.messages import Message, encoded
from medsmith.synthesis.tasks import CaseTask, SynthesisRequest

_LOG_BYTES = 20_000
_LAST_WORDS_SECONDS = 1.0
# One thread for every library that sums: how a sum is split over threads shows in its last bit.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


Event = tuple["WorkerProcess", Message | None]
Events = queue.SimpleQueue[Event]
Put = Callable[[Event], None]


@final
class WorkerProcess:
    """A worker process.

    Args:
        request: what it loads.
        device: of those that the request names, the one that it works on.
        events: where its messages go; None says that it has ended.
    """

    def __init__(self, request: SynthesisRequest, device: str, events: Events) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by end(); nameless, so that no kill leaves it)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "medsmith.synthesis.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self.device = device
        self.task: CaseTask | None = None
        self.ready = False
        self.hung = ""
        self.heard = self.since = time.monotonic()
        self._log_start = 0
        threading.Thread(target=self._watch, args=(events.put,), daemon=True).start()
        self._say({"request": request.model_dump(mode="json"), "device": device})

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def give(self, task: CaseTask, out: str) -> None:
        """Hand over one case."""
        self.task, self.since, self._log_start = task, time.monotonic(), os.fstat(self._log.fileno()).st_size
        self._say({"out": out, "task": task.model_dump(mode="json")})

    def overdue(self, patience: Patience, slowest: float | None) -> str:
        """Why it counts as hung; empty if it does not."""
        now = time.monotonic()
        if not self.ready:
            late = now - self.since > patience.loading
            return f"did not load the run in {patience.loading:.0f} s" if late else ""
        if now - self.heard > patience.silence:
            return f"gave no sign of life for {patience.silence:.0f} s"
        allowed = patience.for_draw(slowest)
        late = self.task is not None and now - self.since > allowed
        return f"one draw took more than {allowed:.0f} s" if late else ""

    def give_up(self, reason: str) -> None:
        """Kill a worker that hangs, after it has written to its log where."""
        self.hung = reason
        self._process.send_signal(signal.SIGUSR1)
        time.sleep(_LAST_WORDS_SECONDS)
        self._process.kill()

    def log(self) -> str:
        """The end of what it wrote to standard error since it got its task."""
        descriptor = self._log.fileno()
        size = os.fstat(descriptor).st_size
        start = max(self._log_start, size - _LOG_BYTES)
        return os.pread(descriptor, size - start, start).decode(errors="replace")

    def exit_reason(self) -> str:
        """How it ended."""
        if self.hung:
            return self.hung
        code = self._process.wait()
        if code >= 0:
            return f"the worker ended with exit code {code}"
        more = ", out of memory perhaps" if code == -signal.SIGKILL else ""
        return f"the worker was killed by {signal.Signals(-code).name}{more}"

    def end(self) -> None:
        """Kill it, if it lives, and let go of its pipes and log."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._log.close()

    def _say(self, message: Message) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended; its end is among the events
            self._process.stdin.write(encoded(message))
            self._process.stdin.flush()

    def _watch(self, put: Put) -> None:
        """Pass on its messages, then its end; a child of its own that keeps the pipe open cannot hide that."""
        reader = threading.Thread(target=self._listen, args=(put,), daemon=True)
        reader.start()
        self._process.wait()
        reader.join(_LAST_WORDS_SECONDS)
        put((self, None))

    def _listen(self, put: Put) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith(b"\n"):  # a killed writer may leave half a line
                    put((self, json.loads(line)))
