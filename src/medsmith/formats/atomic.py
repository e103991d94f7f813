"""Atomic writes: a temporary file in the same folder, fsync, then rename."""

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medsmith.errors import FileError, printable
from medsmith.formats.opening import open_regular

_TEMPORARY = ".medsmith-"
_REMOVED = "its folder was removed meanwhile: restore it, or begin in a new one"
_NOT_YOURS = "choose a folder that you may write to"
_CURES = {
    errno.ENOENT: _REMOVED,
    errno.ENOTDIR: "part of its path is a file: choose another folder",
    errno.EISDIR: "a folder has its name: choose another folder",
    errno.EACCES: _NOT_YOURS,
    errno.EPERM: _NOT_YOURS,
    errno.EROFS: _NOT_YOURS,
    errno.ENAMETOOLONG: "choose shorter names",
}
_BLOCK = 2**20
_SHOWN = 40


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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path that replaces ``path`` when the block succeeds.

    The temporary name ends as ``path`` does, for writers that choose the format by the ending. If the block
    fails, the file at ``path`` stays as it was and the temporary file is removed.

    Raises:
        FileError: the file cannot be written.
    """
    temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}{''.join(path.suffixes[-2:])[-16:]}")
    try:
        with _as_file_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


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


def mark(path: Path) -> None:
    """Creates an empty marker file and syncs it before any later write.

    Raises:
        FileError: the file cannot be created.
    """
    with _as_file_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        _sync(path.parent)


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
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    try:
        data = (text + "\n").encode()
    except UnicodeEncodeError as error:
        shown = printable(text[max(0, error.start - _SHOWN) : error.end].rpartition("\n")[2].strip())
        raise FileError(path, f"was to name {shown}, which is no UTF-8", cure="rename that file or folder") from None
    write_bytes(path, data)


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
    leftovers = list(folder.glob(f"{_TEMPORARY}*"))
    for path in leftovers:
        remove(path)
    return len(leftovers)
