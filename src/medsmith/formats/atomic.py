"""Atomic writes: a temporary file in the same folder, fsync, then rename.

Many small files are synced together (``deferred_sync``): a sync of each takes longer than writing it.
"""

import ctypes
import errno
import hashlib
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from medsmith.errors import FileError, printable
from medsmith.formats.opening import open_regular

_TEMPORARY = ".medsmith-"
_TEMPORARY_NAME = re.compile(r"\.medsmith-[0-9a-f]{16}(\.[^/]*)?")
"""Names of a user that begin alike are left alone."""
_REMOVED = "its folder was removed meanwhile: restore it, or begin in a new one"
_NOT_YOURS = "choose a folder that you may write to"
_CURES = {
    errno.ENOENT: _REMOVED,
    errno.ENOTDIR: "part of its path is a file: choose another folder",
    errno.EEXIST: "a file has the name of its folder: choose another folder",
    errno.EISDIR: "a folder has its name: choose another folder",
    errno.EACCES: _NOT_YOURS,
    errno.EPERM: _NOT_YOURS,
    errno.EROFS: _NOT_YOURS,
    errno.ENAMETOOLONG: "choose shorter names",
}
_BLOCK = 2**20
_SHOWN = 40
_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if sys.platform == "linux" else None
"""Linux's syncfs(2), which returns when a file system is written out."""
_later: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("later", default=None)
"""Temporary and final paths of the files that ``deferred_sync`` syncs."""


@contextmanager
def _as_file_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> FileError:
    """The error for a file that the system does not take, with the cure that fits the reason."""
    cure = _CURES.get(error.errno or 0, "free or choose another disk")
    return FileError(path, f"cannot be written ({error.strerror or error})", cure=cure)


def temporary_name(ending: str = "") -> str:
    """A new name for a file that is being written; ``temporary_files`` finds it."""
    return f"{_TEMPORARY}{secrets.token_hex(8)}{ending}"


def is_temporary(name: str) -> bool:
    """Whether a file's name is one of ``temporary_name``."""
    return _TEMPORARY_NAME.fullmatch(name) is not None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path that replaces ``path`` when the block succeeds.

    The temporary name ends as ``path`` does, for writers that choose the format by the ending. If the block
    fails, the file at ``path`` stays as it was and the temporary file is removed.

    Raises:
        FileError: the file cannot be written.
    """
    temporary = path.with_name(temporary_name("".join(path.suffixes[-2:])[-16:]))
    later = _later.get()
    done = False
    try:
        with _as_file_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if later is None:
                _sync(temporary)
                temporary.replace(path)
                _sync(path.parent)
            else:
                later.append((temporary, path))
            done = True
    finally:
        if not done:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def deferred_sync() -> Iterator[Callable[[], None]]:
    """Files written within are synced together, by the function that this yields and at the end.

    Until then they have temporary names: as always, a file has its name only when its content is on the disk.

    Raises:
        FileError: the files cannot be synced or renamed.
    """
    written: list[tuple[Path, Path]] = []

    def sync() -> None:
        if not written:
            return
        with _as_file_error(written[0][1].parent):
            _sync_all([temporary for temporary, _ in written])
            folders = dict.fromkeys(path.parent for _, path in written)
            while written:  # what is renamed is not renamed again, if this is interrupted
                temporary, path = written[0]
                temporary.replace(path)
                del written[0]
            for folder in folders:
                _sync(folder)

    token = _later.set(written)
    try:
        yield sync
    finally:
        _later.reset(token)
        try:
            sync()
        finally:
            for temporary, _ in written:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)


def _sync_all(paths: Sequence[Path]) -> None:
    """Syncs files: their file systems as a whole, where the system has a call that waits for it."""
    if _syncfs is None:
        for path in paths:
            _sync(path)
        return
    for folder in {path.parent.stat().st_dev: path.parent for path in paths}.values():
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if _syncfs(descriptor):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file atomically.

    Raises:
        FileError: the file cannot be written.
    """
    write_parts(path, (data,))


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """``write_bytes`` for data in parts, so that they need not all be in memory.

    Raises:
        FileError: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(parts)


def mark(*paths: Path) -> None:
    """Creates empty marker files and syncs them before any later write.

    Args:
        paths: of the files, in one folder.

    Raises:
        FileError: a file cannot be created.
    """
    for path in paths:
        with _as_file_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    if paths:
        with _as_file_error(paths[0]):
            _sync(paths[0].parent)


def remove(path: Path) -> None:
    """Removes a file if it exists.

    Raises:
        FileError: the file cannot be removed.
    """
    with _as_file_error(path):
        path.unlink(missing_ok=True)


def remove_if_empty(folder: Path) -> None:
    """Removes a folder if it is empty."""
    with suppress(OSError):
        folder.rmdir()


def write_json(path: Path, value: object) -> None:
    """Writes JSON atomically: sorted keys, indent 2, a final newline, no NaN.

    Raises:
        FileError: the file cannot be written, or a text is no UTF-8, as the name of a file may be.
    """
    write_bytes(path, json_bytes(path, value))


def json_bytes(subject: object, value: object) -> bytes:
    """The bytes that ``write_json`` writes.

    Args:
        subject: the file, for the message.
        value: of JSON's kinds.

    Raises:
        FileError: a text is no UTF-8, as the name of a file may be.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    try:
        return (text + "\n").encode()
    except UnicodeEncodeError as error:
        shown = printable(text[max(0, error.start - _SHOWN) : error.end].rpartition("\n")[2].strip())
        found = f"was to name {shown}, which is no UTF-8"
        raise FileError(subject, found, cure="rename that file or folder") from None


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        FileError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def is_free(folder: Path) -> bool:
    """Whether a new folder can be made here: there is nothing, or a folder with hidden files alone.

    Hidden are also the temporary files of writers that were killed before they had written anything.
    """
    return not folder.exists() or (folder.is_dir() and not visible_names(folder))


def visible_names(folder: Path) -> set[str]:
    """Names in a folder but for hidden files."""
    return {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}


def remove_temporary_files(folder: Path) -> int:
    """Removes temporary files of writers that were killed; returns how many.

    Only for a folder that no process is writing to.
    """
    leftovers = temporary_files(folder)
    for path in leftovers:
        remove(path)
    return len(leftovers)


def remove_temporary_files_below(folder: Path) -> None:
    """``remove_temporary_files`` of a folder, if it exists, and of all below it."""
    for place, _, _ in os.walk(folder):
        remove_temporary_files(Path(place))


def temporary_files(folder: Path) -> list[Path]:
    """Files that are being written, or that killed writers left."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if is_temporary(entry.name)]
    return []
