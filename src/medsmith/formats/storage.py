"""A place for files that is a folder of this machine or lies behind a URL, reached through fsspec.

A file that ``write`` has written has its name only when it is whole. fsspec: https://filesystem-spec.readthedocs.io.
"""

import io
import os
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, final

import fsspec
from fsspec.core import split_protocol
from fsspec.utils import get_protocol

from medsmith.errors import FileError, RequestError
from medsmith.formats.atomic import is_temporary, temporary_name, unwritable
from medsmith.formats.opening import open_regular

_LOCAL = ("file", "local")
_CURE = "check the place and your access to it"
_EXTRAS = {"s3": "s3", "s3a": "s3"}
"""Protocol -> the extra of this package that installs its file system."""


def is_url(location: str) -> bool:
    """Whether a location is behind a URL, such as ``s3://bucket/shards``, not a folder of this machine."""
    return split_protocol(location)[0] is not None and get_protocol(location) not in _LOCAL


@final
@dataclass(frozen=True)
class Storage:
    """The files of one folder.

    Attributes:
        location: as it was given, for messages.
        files: the file system of fsspec.
        root: the folder in it.
        folder: the folder on this machine; None behind a URL.
    """

    location: str
    files: Any
    root: str
    folder: Path | None

    @classmethod
    def at(cls, location: Path | str) -> "Storage":
        """The storage at a path or URL; nothing is made yet.

        Raises:
            RequestError: the protocol is unknown, or its package is not installed.
        """
        text = str(location)
        if split_protocol(text)[0] is None:
            root = os.path.abspath(text)  # noqa: PTH100  (as given: links are not followed)
            return cls(text, fsspec.filesystem("file"), root, Path(root))
        protocol = get_protocol(text)
        try:
            files, root = fsspec.url_to_fs(text)
        except ImportError as error:
            known = _EXTRAS.get(protocol)
            cure = f"install the extra {known}: pip install -e '.[{known}]'" if known else str(error)
            raise RequestError(text, f"the package for {protocol}:// is not installed", cure=cure) from None
        except (OSError, ValueError) as error:
            cure = "give a folder, or a URL that fsspec knows"
            raise RequestError(text, f"cannot be used ({error})", cure=cure) from None
        return cls(text, files, str(root).rstrip("/"), Path(root) if protocol in _LOCAL else None)

    def name_of(self, name: str) -> str:
        """The place of a file, for messages."""
        return f"{self.location.rstrip('/')}/{name}"

    def names(self) -> set[str]:
        """Names of its files but for hidden ones; none where the folder is missing.

        Raises:
            FileError: it cannot be listed.
        """
        return {name for name in self._listed() if not name.startswith(".")}

    def remove_temporaries(self, names: Set[str]) -> None:
        """Removes what killed calls of ``write`` left of some files, which no other call writes.

        Args:
            names: of the files.

        Raises:
            FileError: it cannot be listed, or one cannot be removed.
        """
        endings = tuple(map(_ending_for, names))
        for name in filter(is_temporary, self._listed()):
            if name.endswith(endings):
                self.remove(name)

    def _listed(self) -> set[str]:
        try:
            self.files.invalidate_cache()
            listed = self.files.ls(self.root, detail=False)
        except FileNotFoundError:
            return set()
        except Exception as error:  # of a file system's package: of its own kind, such as missing credentials
            raise FileError(self.location, f"cannot be listed ({error})", cure=_CURE) from error
        return {str(path).rstrip("/").rpartition("/")[2] for path in listed}

    def size(self, name: str) -> int | None:
        """The bytes of a file; None where there is none."""
        try:
            return int(self.files.info(self._path(name))["size"])
        except OSError:
            return None

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """A file, to be read from its start.

        Raises:
            FileError: it is missing, no regular file, or cannot be read.
        """
        try:
            with self._opened(name) as file:
                yield file
        except FileNotFoundError:
            raise FileError(self.name_of(name), "does not exist", cure="restore it") from None
        except OSError as error:
            raise FileError(self.name_of(name), f"cannot be read ({error})", cure=_CURE) from error

    def _opened(self, name: str) -> Any:
        if self.folder is None:
            return self.files.open(self._path(name), "rb")
        try:
            return open_regular(self.folder / name)
        except FileError as error:
            raise FileError(self.name_of(name), error.found, error.limit, error.cure) from None

    def read(self, name: str, limit: int) -> bytes:
        """All of a small file.

        Raises:
            FileError: it is missing, cannot be read, or has more than ``limit`` bytes.
        """
        with self.reading(name) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise FileError(self.name_of(name), f"more than {limit} bytes", cure="restore it")
        return data

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file under its final name, which may be left half-written: something else has to say that it is whole.

        Raises:
            FileError: it cannot be written.
        """
        try:
            self.files.makedirs(self.root, exist_ok=True)
            with self.files.open(self._path(name), "wb") as file:
                yield file
                file.flush()
                with suppress(AttributeError, io.UnsupportedOperation):  # only files of this machine have a number
                    os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritable(name, error) from error

    def write(self, name: str, data: bytes) -> None:
        """Writes a small file atomically: under another name first.

        Raises:
            FileError: it cannot be written.
        """
        temporary = temporary_name(_ending_for(name))
        try:
            with self.writing(temporary) as file:
                file.write(data)
            self.files.mv(self._path(temporary), self._path(name))
        except OSError as error:
            raise self._unwritable(name, error) from error

    def remove(self, name: str) -> None:
        """Removes a file if it exists.

        Raises:
            FileError: it cannot be removed.
        """
        try:
            self.files.rm_file(self._path(name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unwritable(name, error) from error

    def _unwritable(self, name: str, error: OSError) -> FileError:
        """The error for a file that is not taken."""
        if self.folder is not None:
            return unwritable(Path(self.name_of(name)), error)
        return FileError(self.name_of(name), f"cannot be written ({error.strerror or error})", cure=_CURE)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"


def _ending_for(name: str) -> str:
    """The ending of the temporary name of a file."""
    return f".{name}"
