"""Opens regular files only; pipes, devices and folders are refused. Notes the files used, where it is asked for."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

from medsmith.errors import FileError
from medsmith.memory_limits import available_memory

MAX_BYTES = 8 * 2**30
"""Largest file, and largest array that a header may claim, in bytes."""
_SMALL = 2**28
"""Bytes that every machine is taken to have."""

_REASONS = {
    errno.ELOOP: ("a link that leads back to itself", "replace it by the file"),
    errno.EACCES: ("no permission to read it", "change its mode or owner"),
    errno.EPERM: ("no permission to read it", "change its mode or owner"),
    errno.ENAMETOOLONG: ("its name is too long for this file system", "rename it"),
    errno.ENOTDIR: ("part of its path is not a folder", "check the path"),
}
_used: ContextVar[set[Path] | None] = ContextVar("used", default=None)
"""Files that are used within ``noting_used``."""


@contextmanager
def noting_used() -> Iterator[set[Path]]:
    """Collects the files that are opened within, and those that ``note_used`` names."""
    used: set[Path] = set()
    token = _used.set(used)
    try:
        yield used
    finally:
        _used.reset(token)


def note_used(*paths: Path) -> None:
    """Names files that are used in another way: read by other software, or found to be missing."""
    used = _used.get()
    if used is not None:
        used.update(paths)


def format_bytes(count: int) -> str:
    """A human-readable byte count: ``format_bytes(2048) == "2.0 KiB"``."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def check_memory(subject: object, size: int) -> None:
    """Checks that reading something does not take more memory than is free; the system would swap, or end programs.

    Args:
        subject: names it in the error.
        size: bytes that it takes.

    Raises:
        FileError: less is free.
    """
    free = available_memory() if size > _SMALL else None
    if free is not None and size > free:
        found, limit = f"takes {format_bytes(size)} of memory", f"{format_bytes(free)} are free"
        raise FileError(subject, found, limit, "close other programs, or crop or split it")


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file for reading.

    Raises:
        FileError: it is missing, a folder, a pipe, a device, a broken link, or may not be read.
    """
    note_used(path)
    # O_NONBLOCK: otherwise opening a pipe without a writer would block forever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise _not_opened(path, error) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
    raise FileError(path, f"{kind}, not a file", cure="give the path of a file")


def _not_opened(path: Path, error: OSError | ValueError) -> FileError:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT:
        if path.is_symlink():
            return FileError(path, f"a link to {path.readlink()}, which does not exist", cure="restore it")
        return FileError(path, "does not exist", cure="check the path")
    found, cure = _REASONS.get(number or 0, (f"cannot be opened ({error})", "check the path"))
    return FileError(path, found, cure=cure)


def read_lines(path: Path) -> tuple[str, ...]:
    """The lines of a text file in UTF-8, without spaces around them and without empty ones.

    Raises:
        FileError: it cannot be read, is empty, or is no text.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileError(path, "is no text in UTF-8", cure="save it as text") from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The whole of a regular file.

    Raises:
        FileError: it cannot be read, is empty, or is larger than ``limit`` bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise FileError(path, "empty (0 bytes), probably an interrupted copy", cure="copy it again")
        if size > limit:
            raise FileError(path, f"{format_bytes(size)}", f"at most {format_bytes(limit)}", "crop or split it")
        try:
            return file.read()
        except OSError as error:
            raise FileError(path, f"cannot be read ({error.strerror})", cure="check the disk") from error
