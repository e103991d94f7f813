"""One writer per folder: a lock of the system, which ends with the process that holds it."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from medsmith.errors import CohortError, MedsmithError
from medsmith.formats.folders import check_can_be_made, unusable

LOCK = ".medsmith.lock"
_ATTEMPTS = 100
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)

_log = logging.getLogger("medsmith")


@contextmanager
def hold_folder(folder: Path, busy: MedsmithError) -> Iterator[None]:
    """Locks a folder, made if missing, for this process; a context manager.

    The lock is a file in the folder, ``.medsmith.lock``, which only this process has locked: another container of this
    host, which counts processes otherwise, is kept out as well. At the end the file is removed, and so is a folder that
    was made here and is empty.

    Args:
        folder: to lock.
        busy: raised if another process holds the lock.

    Raises:
        FileError: the folder or the lock cannot be made.
    """
    existed = folder.exists()
    lock = _acquired(folder, busy)
    try:
        yield
    finally:
        try:
            # While it is locked: whoever waits for the file that is gone finds it without a name, and makes a new one.
            with suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)
                if not existed:
                    folder.rmdir()
        finally:
            lock.release()


@contextmanager
def hold_output(folder: Path) -> Iterator[None]:
    """``hold_folder`` for a folder that one call writes to.

    Raises:
        CohortError: another process writes to it.
        FileError: the folder or the lock cannot be made.
    """
    with hold_folder(folder, CohortError(folder, "another process is writing here", "one at a time", "wait for it")):
        yield


def check_not_held(folder: Path) -> None:
    """Checks that a folder can be made, or written to, and no process does, before anything is computed for it.

    Raises:
        CohortError: one does.
        FileError: a file is in the place of the folder or on its path, or it cannot be made or written to.
    """
    if not folder.exists():
        check_can_be_made(folder)
        return
    with hold_output(folder):
        pass


def _acquired(folder: Path, busy: MedsmithError) -> FileLock:
    """The lock of a folder, which is tried again while other processes take folder and lock away."""
    path = folder / LOCK
    for _ in range(_ATTEMPTS):
        lock = FileLock(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(folder, error) from None
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if path.exists():
                break
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise unusable(folder, error) from None
            _log.warning("%s: is on a file system without locks; take care that one process writes here", folder)
            return lock
        else:
            return lock
    raise busy
