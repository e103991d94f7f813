"""A lock file that allows one coordinator per folder; it names the process that holds it."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from medsmith.errors import FileError, SynthesisError
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_folder

LOCK = "synthesis.lock"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_TIME_FIELD = 22  # of /proc/PID/stat, proc(5); fields after the command's closing bracket count from 3
_DEAD = ("Z", "X")  # zombie, dead

Folder = TypeVar("Folder")


@contextmanager
def lock_folder(out: Path, prepare: Callable[[], Folder]) -> Iterator[Folder]:
    """Lock a folder for this process; a context manager.

    A stale lock is taken over: one from another boot, or whose process has ended or has reused the id of another.

    Args:
        out: the folder; created if missing.
        prepare: called before the lock file is written; its result is yielded.

    Raises:
        SynthesisError: a running process holds the folder.
        FileError: the folder cannot be created or written to.
    """
    existed = out.exists()
    busy = SynthesisError(out, "another process is writing here", "one at a time", "wait for it")
    with hold_folder(out, busy):  # so that two coordinators cannot take over one stale lock
        refuse_if_locked(out)
        folder = prepare()
        write_json(out / LOCK, _this_process())
    try:
        yield folder
    finally:
        with suppress(OSError):
            (out / LOCK).unlink(missing_ok=True)
            if not existed:
                out.rmdir()  # succeeds only if it is empty


def refuse_if_locked(out: Path) -> None:
    """Raise if a running process holds the folder.

    Raises:
        SynthesisError: it does.
    """
    path = out / LOCK
    if not path.exists():
        return
    try:
        holder = read_json(path)
    except FileError:
        return  # removed meanwhile, or truncated by a power failure: not held
    if _is_running(holder):
        who = f"process {holder.get('pid')} on {holder.get('host')}"
        raise SynthesisError(out, f"{who} is making cases here", "one at a time", f"wait for it; else remove {path}")


def _is_running(holder: dict[str, Any]) -> bool:
    if holder.get("host") != socket.gethostname():
        return True  # cannot be checked from this host
    pid = holder.get("pid")
    if holder.get("boot") != _boot_id() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # the process exists and belongs to another user
    return bool(holder.get("started") == _start_time(pid))


def _this_process() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": _boot_id(), "pid": pid, "started": _start_time(pid)}


def _boot_id() -> str:
    """An id that changes with every boot; empty if the system does not provide it."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _start_time(pid: int) -> int:
    """Clock ticks from boot to the start of a process; 0 if the system does not provide it, -1 if it is dead."""
    try:
        after_command = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return -1 if after_command[0] in _DEAD else int(after_command[_START_TIME_FIELD - 3])
