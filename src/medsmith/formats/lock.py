"""One writer per folder: a lock of the system, which ends with the process that holds it."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medsmith.errors import CohortError, FileError, MedsmithError

_log = logging.getLogger("medsmith")


@contextmanager
def hold_folder(folder: Path, busy: MedsmithError) -> Iterator[None]:
    """Locks a folder, made if missing, for this process; a context manager.

    A folder that was made here and is empty at the end is removed.

    Args:
        folder: to lock.
        busy: raised if another process holds the lock.

    Raises:
        FileError: the folder cannot be made.
    """
    existed = folder.exists()
    descriptor = _locked(folder, busy)
    try:
        yield
    finally:
        if not existed:
            with suppress(OSError):  # not empty
                folder.rmdir()
        os.close(descriptor)


@contextmanager
def hold_output(folder: Path) -> Iterator[None]:
    """``hold_folder`` for a cohort or a study that one call writes to.

    Raises:
        CohortError: another process writes to it.
        FileError: the folder cannot be made.
    """
    with hold_folder(folder, CohortError(folder, "another process is writing here", "one at a time", "wait for it")):
        yield


def _locked(folder: Path, busy: MedsmithError) -> int:
    """A descriptor of the folder with the lock; opened anew if the folder was removed meanwhile."""
    while True:
        descriptor = _opened(folder)
        try:
            _lock(descriptor, folder, busy)
            if _is_at(descriptor, folder):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _opened(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FileError(folder, f"cannot be made ({error.strerror})", cure="choose another folder") from None


def _lock(descriptor: int, folder: Path, busy: MedsmithError) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise busy from None
    except OSError:
        _log.warning("%s: is on a file system without locks; take care that one process at a time writes here", folder)


def _is_at(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except OSError:
        return False
