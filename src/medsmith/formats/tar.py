"""Tar archives whose bytes depend on names and contents alone, and archives of others that are read with distrust.

The format is POSIX.1-2001 (pax), without compression; owners, times and modes are fixed.
"""

import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, cast, final, runtime_checkable

from medsmith.errors import FileError
from medsmith.formats.hashing import HashingWriter
from medsmith.formats.opening import open_regular

_MODE = 0o644
_CURE = "take it from where it was made"
_DAMAGE = (tarfile.TarError, EOFError, ValueError)
"""What tarfile raises for an archive that is cut short or has malformed headers."""


def write_tar(target: HashingWriter, files: Iterable[tuple[str, Path]]) -> None:
    """Writes an archive.

    Args:
        target: receives the bytes in order.
        files: names in the archive and what they hold, in the order of the archive.

    Raises:
        FileError: a file cannot be read.
        OSError: the target does not take the bytes.
    """
    with tarfile.open(fileobj=cast("BinaryIO", target), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, path in files:
            with open_regular(path) as file:
                member = tarfile.TarInfo(name)
                member.size, member.mode, member.mtime = path.stat().st_size, _MODE, 0
                archive.addfile(member, file)


@runtime_checkable
class Readable(Protocol):
    """What the content of a member is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes."""


@final
class MemberContent:
    """The content of a member, from its start.

    Args:
        file: of the member.
        subject: name of the archive in messages.
    """

    def __init__(self, file: Readable, subject: str) -> None:
        self._file, self._subject = file, subject

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; none at the end.

        Raises:
            FileError: the archive ends early.
        """
        try:
            return self._file.read(size)
        except _DAMAGE as error:
            raise _not_whole(self._subject, error) from None


@final
class TarMembers:
    """The members of an archive, in their order; each is read before the next is asked for.

    Args:
        path: of the archive.
        subject: its name in messages.
    """

    def __init__(self, path: Path, subject: str) -> None:
        self._path, self._subject = path, subject

    def __iter__(self) -> Iterator[tuple[str, MemberContent]]:
        """Names and contents.

        Raises:
            FileError: it is no archive or ends early, or a member is no plain file of a plain name that occurs once.
        """
        seen: set[str] = set()
        try:
            with open_regular(self._path) as file, tarfile.open(fileobj=file, mode="r|") as archive:
                for member in archive:
                    self._check(member, seen)
                    seen.add(member.name)
                    content = archive.extractfile(member)
                    assert content is not None
                    yield member.name, MemberContent(content, self._subject)
        except _DAMAGE as error:
            raise _not_whole(self._subject, error) from None

    def _check(self, member: tarfile.TarInfo, seen: set[str]) -> None:
        """Refuses what a shard never has, before anything is made of it."""
        name, found = member.name, ""
        if member.issym() or member.islnk():
            found = "is a link"
        elif member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            found = "is no plain file"
        elif member.issparse():
            found = "is sparse"
        elif name.startswith(("/", "\\")) or PurePosixPath(name).is_absolute():
            found = "has an absolute path"
        elif ".." in PurePosixPath(name.replace("\\", "/")).parts:
            found = "leads out of the folder"
        elif name in seen:
            found = "is there twice"
        if found:
            raise FileError(self._subject, f"its member {name!r:.80} {found}", "plain files of the cases", _CURE)


def _not_whole(subject: str, error: Exception) -> FileError:
    return FileError(subject, f"is no whole tar archive ({error})", cure=_CURE)
