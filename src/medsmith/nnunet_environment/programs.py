"""Programs of another environment: started, logged, watched line by line, and ended with the caller."""

import fcntl
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from medsmith.errors import FileError
from medsmith.progress import silent

_PATIENCE_SECONDS = 20
_KEPT_LINES = 50
_LONGEST = 300
_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP")
"""Variables that are meant for the interpreter of medsmith."""
_DRAWING = re.compile(r"[\s\W]*")


def run_program(
    words: Sequence[str | Path],
    log: Path,
    variables: Mapping[str, str],
    watch: Callable[[str], None] = silent,
) -> tuple[int, list[str]]:
    """Runs a program to its end, in a session of its own that ends with an interruption of this process.

    If this process is killed, the program goes on; its log is locked until it ends.

    Args:
        words: of the command.
        log: file that receives its output, after what is there.
        variables: environment variables besides those of this process.
        watch: receives each line.

    Returns:
        Its exit code and its last lines that say anything.

    Raises:
        FileError: it cannot be started, or the log cannot be written or is that of a program that still runs.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    environment |= {"PYTHONUNBUFFERED": "1", **variables}
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", errors="replace") as written:
            _lock(written, log)
            process = subprocess.Popen(
                [str(word) for word in words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment,
                start_new_session=True,
                pass_fds=(written.fileno(),),
            )
            with _ended(process):
                for line in process.stdout or ():
                    written.write(line)
                    written.flush()
                    if not _DRAWING.fullmatch(line):
                        last.append(line.strip()[:_LONGEST])
                    watch(line.rstrip("\n"))
                return process.wait(), list(last)
    except OSError as error:
        raise FileError(error.filename or log, error.strerror or str(error), cure="check path and disk") from error


def _lock(written: TextIO, log: Path) -> None:
    """Locks a log for this process and the program that inherits the file."""
    try:
        fcntl.flock(written, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        found = "a program of an earlier call still writes here"
        raise FileError(log, found, "one at a time", "wait for it, or end it") from None


@contextmanager
def _ended(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Ends a process, and those that it started, if the context is left before it ends."""
    try:
        yield
    finally:
        if process.poll() is None:
            _end(process)
        if process.stdout is not None:
            process.stdout.close()


def _end(process: "subprocess.Popen[str]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
