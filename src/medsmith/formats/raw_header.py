"""What NRRD and MetaImage headers say of the array that follows, checked against the bytes that are there.

SimpleITK, which reads the voxels, accepts files that were cut in half.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float64

from medsmith.errors import FileError
from medsmith.formats import gzip_stream
from medsmith.formats.opening import MAX_BYTES, format_bytes, read_bytes

_SLACK = 2**20
"""Bytes after the array that are tolerated."""
_CURE = "copy or download the file again"
LONGEST_HEADER = 2**20


@final
@dataclass(frozen=True)
class RawHeader:
    """The array of a file.

    Attributes:
        path: of the header.
        data_path: of the array; the same where it follows the header.
        offset: bytes before the array; -1 where it ends with the file.
        shape: x y z.
        components: numbers per voxel.
        dtype: of a number.
        encoding: raw, gzip or zlib.
        affine: voxel index -> mm, RAS+.
        oriented: whether the header gives directions; else the affine has the voxel sizes alone.
        fields: of the header, for what a format adds.
    """

    path: Path
    data_path: Path
    offset: int
    shape: tuple[int, int, int]
    components: int
    dtype: np.dtype[Any]
    encoding: str
    affine: Float64[np.ndarray, "4 4"]
    oriented: bool
    fields: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.components * self.dtype.itemsize

    def check_data(self) -> tuple[str, ...]:
        """Checks that the array is whole, and notes on bytes after it.

        Raises:
            FileError: it is cut, damaged, or too large.
        """
        if self.size > MAX_BYTES:
            raise FileError(
                self.path, format_bytes(self.size), f"at most {format_bytes(MAX_BYTES)}", "crop or split it"
            )
        data = read_bytes(self.data_path)
        data = (
            data[len(data) - self.size :] if self.offset < 0 and len(data) >= self.size else data[max(0, self.offset) :]
        )
        notes: tuple[str, ...] = ()
        if self.encoding == "gzip":
            data, notes = gzip_stream.inflate(data, self.size + _SLACK, self.data_path)
        elif self.encoding == "zlib":
            data = self._inflated(data)
        if len(data) < self.size:
            found = f"{format_bytes(len(data))} of voxels"
            raise FileError(self.data_path, found, f"its header gives {format_bytes(self.size)}", _CURE)
        extra = len(data) - self.size
        return (*notes, f"{extra} bytes after the array are ignored") if extra else notes

    def _inflated(self, data: bytes) -> bytes:
        stream = zlib.decompressobj()
        try:
            result = stream.decompress(data, self.size + _SLACK)
        except zlib.error:
            raise FileError(self.data_path, "the compressed stream is damaged", cure=_CURE) from None
        if not stream.eof:
            found = "the compressed stream ends early, or holds more than its header says"
            raise FileError(self.data_path, found, cure=_CURE)
        return result


def beside(path: Path, name: str) -> Path:
    """The array's file as a header names it: in the same folder.

    Raises:
        FileError: the name is a path, a list or a pattern.
    """
    if not name or "/" in name or "\\" in name or "%" in name or name.split()[0] == "LIST":
        raise FileError(path, f"its array is in {name[:80]!r}", "one file beside the header", "save it as one file")
    return path.with_name(name)


def numbers(text: str, path: Path, field: str, count: int) -> Float64[np.ndarray, "n"]:
    """The finite numbers of a field.

    Raises:
        FileError: it holds anything else.
    """
    try:
        values = np.array([float(part) for part in text.replace("(", " ").replace(")", " ").replace(",", " ").split()])
    except ValueError:
        values = np.zeros(0)
    if len(values) != count or not np.isfinite(values).all():
        raise FileError(path, f"{field} is {text[:60]!r}", f"{count} numbers", "correct the header")
    return values


def whole_numbers(text: str, path: Path, field: str, count: int) -> tuple[int, ...]:
    """The positive whole numbers of a field.

    Raises:
        FileError: it holds anything else.
    """
    values = numbers(text, path, field, count)
    if (values != np.rint(values)).any() or values.min() < 1:
        raise FileError(path, f"{field} is {text[:60]!r}", f"{count} positive whole numbers", "correct the header")
    return tuple(int(value) for value in values)
