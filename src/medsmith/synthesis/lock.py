"""One coordinator per folder: a file that names the process that holds it."""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from medsmith.errors import FileError, SynthesisError
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json

LOCK = "synthesis.lock"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_TIME_FIELD = 22  # of /proc/PID/stat, proc(5); fields after the command's closing bracket count from 3
_DEAD = ("Z", "X")  # killed, but its parent has not asked yet

Folder = TypeVar("Folder")


@contextmanager
def claimed(out: Path, prepare: Callable[[], Folder]) -> Iterator[Folder]:
    """Hold a folder for this process.

    A lock whose process is gone (another boot, no such process, or its number now belongs to a younger one) is taken
    over.

    Args:
        out: the folder; made if missing.
        prepare: what to do with the folder before the lock lies in it; its result is yielded.

    Raises:
        SynthesisError: a living process holds the folder.
        FileError: the folder cannot be made or written to.
    """
    existed = out.exists()
    with _alone(out):
        refuse_if_held(out)
        folder = prepare()
        write_json(out / LOCK, _this_process())
    try:
        yield folder
    finally:
        with suppress(OSError):
            (out / LOCK).unlink(missing_ok=True)
            if not existed:
                out.rmdir()  # goes only where nothing was put into it


def refuse_if_held(out: Path) -> None:
    """Look whether a living process holds the folder.

    Raises:
        SynthesisError: it does.
    """
    path = out / LOCK
    if not path.exists():
        return
    try:
        holder = read_json(path)
    except FileError:
        return  # gone between the two lines, or torn by a power cut: nobody holds it
    if _lives(holder):
        who = f"process {holder.get('pid')} on {holder.get('host')}"
        raise SynthesisError(out, f"{who} is making cases here", "one at a time", f"wait for it; else remove {path}")


def _lives(holder: dict[str, Any]) -> bool:
    if holder.get("host") != socket.gethostname():
        return True  # nobody can know from here
    pid = holder.get("pid")
    if holder.get("boot") != _boot_id() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it exists and is somebody else's
    return bool(holder.get("started") == _start_time(pid))


def _this_process() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": _boot_id(), "pid": pid, "started": _start_time(pid)}


def _boot_id() -> str:
    """Changes with every boot; empty where the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _start_time(pid: int) -> int:
    """Clock ticks from boot to the start of a process; 0 where the system does not tell, -1 if it is dead."""
    try:
        after_command = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return -1 if after_command[0] in _DEAD else int(after_command[_START_TIME_FIELD - 3])


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps two coordinators from reading one stale lock at a time."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FileError(out, f"cannot be made ({error.strerror})", cure="choose another folder") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
