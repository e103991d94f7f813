"""Files that one process has written and another reads, on a file system of several machines.

Such a file system may show a new file some seconds later elsewhere (the attribute cache of NFS: up to a minute).
"""

import time
from collections.abc import Callable
from pathlib import Path

from medsmith.errors import RunError

PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.5


def await_shared(path: Path, folder: Path) -> None:
    """Wait until this machine sees a file that the first process has written.

    Args:
        path: of the file.
        folder: the run folder.

    Raises:
        RunError: it does not appear.
    """
    if not seen_in_time(path.exists):
        raise not_shared(path, folder)


def seen_in_time(seen: Callable[[], bool]) -> bool:
    """Whether something is seen before patience ends; it is looked for at least once."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not seen():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def not_shared(path: Path, folder: Path) -> RunError:
    """The error of a process that does not see what the first has written."""
    limit = "all processes see the files of the first"
    return RunError(folder, f"{path.name} is not seen on this machine", limit, "use a folder that all machines share")
