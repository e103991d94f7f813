"""gzip with verified checksums on reading and reproducible bytes on writing.

Readers that stop at the last byte they need skip the checksum and may return damaged voxels.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import final

from medsmith.errors import FileError
from medsmith.formats.opening import format_bytes

MAGIC = b"\x1f\x8b"
MAX_EXPANSION = 1032
"""Maximum expansion factor of DEFLATE (zlib, technical details)."""
_GZIP = 31
_START = 2**18
_SMALLEST_WINDOW = 2**12
_BLOCK = 2**20
_MOST_CHECKED = 2**30
_RAW = -15
_CURE = "copy or download the file again"
# ID1 ID2 CM FLG MTIME(4) XFL OS: deflate, no name, no time, fastest, unknown system (RFC 1952).
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


def inflate_prefix(data: bytes, count: int, path: Path) -> bytes:
    """At most the first ``count`` bytes of a gzip stream.

    Raises:
        FileError: the stream is damaged.
    """
    try:
        return zlib.decompressobj(_GZIP).decompress(data[:_START], count)
    except zlib.error as error:
        raise _damaged(path, error) from error


def inflate(data: bytes, cap: int, path: Path) -> tuple[bytes, tuple[str, ...]]:
    """Decompresses all members of a gzip stream and verifies checksums; notes on trailing bytes.

    Args:
        data: the compressed bytes.
        cap: maximum number of decompressed bytes, from the header of the content.
        path: for error lines.

    Raises:
        FileError: the stream ends early, is damaged, or goes beyond ``cap``.
    """
    view, position, left = memoryview(data), 0, cap
    parts: list[bytes] = []
    while view[position : position + len(MAGIC)] == MAGIC:
        member = _Member(view, position, path)
        for part in member.blocks(left + 1):
            left -= len(part)
            if left < 0:
                limit = f"its header allows {format_bytes(cap)}"
                raise FileError(path, "decompresses to more than its header says", limit, "do not trust this file")
            parts.append(part)
        position = member.end
    rest = data[position:].rstrip(b"\0")
    notes = (f"{len(rest)} bytes after the gzip stream are ignored",) if rest else ()
    return (parts[0] if len(parts) == 1 else b"".join(parts)), notes


@final
class _Member:
    """One member of a stream.

    zlib copies the input that it leaves over. The stream is therefore passed on in windows, which begin small and grow:
    the time stays proportional to the size both for many small members and for one large one.
    """

    def __init__(self, data: memoryview, start: int, path: Path) -> None:
        self._data, self._path = data, path
        self.end = start

    def blocks(self, most: int) -> Iterator[bytes]:
        """Decompressed blocks; ``end`` is behind the member when all were taken.

        Args:
            most: bytes of all blocks at which to stop.
        """
        stream, window, taken = zlib.decompressobj(_GZIP), _SMALLEST_WINDOW, 0
        tail: bytes | memoryview = b""
        while not stream.eof and taken < most:
            if not tail:
                tail = self._data[self.end : self.end + window]
                self.end, window = self.end + len(tail), min(2 * window, _BLOCK)
            if not tail:
                raise FileError(self._path, "the compressed stream ends early", cure=_CURE)
            try:
                block = stream.decompress(tail, min(_BLOCK, most - taken))
            except zlib.error as error:
                raise _damaged(self._path, error) from error
            tail, taken = stream.unconsumed_tail, taken + len(block)
            if block:
                yield block
        self.end -= len(stream.unused_data)


def check(data: bytes, path: Path) -> None:
    """Decompresses the first member in blocks to verify its checksum.

    Raises:
        FileError: the stream ends early or is damaged.
    """
    for _ in _Member(memoryview(data), 0, path).blocks(_MOST_CHECKED):
        pass


def _damaged(path: Path, error: zlib.error) -> FileError:
    if "incorrect data check" in str(error) or "incorrect length check" in str(error):
        return FileError(path, "CRC mismatch, the compressed data are damaged", cure=_CURE)
    return FileError(path, "the compressed stream is damaged", cure=_CURE)


def deflate(data: bytes) -> bytes:
    """One gzip member without name and time, fastest level: equal data give equal bytes."""
    return b"".join(deflate_parts((data,)))


def deflate_parts(parts: Iterable[bytes]) -> Iterator[bytes]:
    """``deflate`` for data in parts; the bytes do not depend on how the data are split."""
    stream = zlib.compressobj(1, zlib.DEFLATED, _RAW)
    checksum, length = 0, 0
    yield _HEADER
    for part in parts:
        checksum, length = zlib.crc32(part, checksum), length + len(part)
        yield stream.compress(part)
    yield stream.flush() + struct.pack("<II", checksum, length & 0xFFFFFFFF)
