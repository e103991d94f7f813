"""The process of a trial, and what it answers until its time is up."""

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any

from medsmith.errors import error_from_json
from medsmith.started_processes import environment_of_one
from medsmith.training.trial import Measured, Trial

_EXIT_GRACE_SECONDS = 1.0


def measured(trial: Trial, seconds: float) -> Iterator[Measured | str]:
    """What each stage of a trial took, in order, or why the next one has no answer.

    The process ends with the iterator.

    Args:
        trial: of some stages.
        seconds: after which it is given up.

    Raises:
        MedsmithError: the settings do not fit the cohort, or a method from elsewhere raised an exception.
    """
    end = monotonic() + seconds
    command = [sys.executable, "-P", "-m", "medsmith.training.trial"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment_of_one(),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        reader = threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            process.stdin.write(trial.model_dump_json())
            process.stdin.close()
            for stage in trial.stages:
                found = _next(lines, end, seconds)
                if not found:
                    log.seek(0)
                    found = _ended(process.wait(), stage, log.read())
                yield found
                if isinstance(found, str):
                    return
        finally:
            process.kill()
            process.wait()
            reader.join(_EXIT_GRACE_SECONDS)
            if not reader.is_alive():  # else a child of the process keeps the pipe open
                process.stdout.close()


def _forward(stream: Iterable[str], lines: "queue.SimpleQueue[str]") -> None:
    """Passes on the lines of a stream, and an empty one at its end."""
    for line in stream:
        lines.put(line)
    lines.put("")


def _next(lines: "queue.SimpleQueue[str]", end: float, seconds: float) -> Measured | str:
    """The next answer, or why there is none in time; empty if the process has ended."""
    while True:
        try:
            line = lines.get(timeout=max(0.0, end - monotonic()))
        except queue.Empty:
            return f"does not finish its first steps in what is left of the time for planning ({seconds:.0f} s)"
        if not line:
            return ""
        if line.startswith("{"):  # a library of a method may write lines of its own
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                raise error_from_json(answer["error"])
            return Measured.model_validate(answer)


def _ended(code: int, stage: str, log: str) -> str:
    if code == -signal.SIGKILL:
        return "was killed, as processes are that take too much memory"
    raise RuntimeError(f"the trial of stage '{stage}' failed:\n{log}")
