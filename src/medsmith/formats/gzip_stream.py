"""gzip with verified checksums on reading and reproducible bytes on writing.

Readers that stop at the last byte they need skip the checksum and may return damaged voxels.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from medsmith.errors import FileError
from medsmith.formats.opening import format_bytes

MAGIC = b"\x1f\x8b"
MAX_EXPANSION = 1032
"""Maximum expansion factor of DEFLATE (zlib, technical details)."""
_GZIP = 31
_START = 2**18
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
    parts: list[bytes] = []
    total = 0
    while data.startswith(MAGIC):
        part, data = _inflate_member(data, cap - total, path)
        parts.append(part)
        total += len(part)
    rest = data.rstrip(b"\0")
    notes = (f"{len(rest)} bytes after the gzip stream are ignored",) if rest else ()
    return (parts[0] if len(parts) == 1 else b"".join(parts)), notes


def _inflate_member(data: bytes, cap: int, path: Path) -> tuple[bytes, bytes]:
    stream = zlib.decompressobj(_GZIP)
    try:
        part = stream.decompress(data, cap + 1)
    except zlib.error as error:
        raise _damaged(path, error) from error
    if len(part) > cap:
        limit = f"its header allows {format_bytes(cap)}"
        raise FileError(path, "decompresses to more than its header says", limit, "do not trust this file")
    if not stream.eof:
        raise FileError(path, "the compressed stream ends early", cure=_CURE)
    return part, stream.unused_data


def check(data: bytes, path: Path) -> None:
    """Decompresses the first member in blocks to verify its checksum.

    Raises:
        FileError: the stream ends early or is damaged.
    """
    stream, total = zlib.decompressobj(_GZIP), 0
    try:
        while not stream.eof and total < _MOST_CHECKED:
            block = stream.decompress(stream.unconsumed_tail if total else data, _BLOCK)
            if not block and not stream.eof:
                raise FileError(path, "the compressed stream ends early", cure=_CURE)
            total += len(block)
    except zlib.error as error:
        raise _damaged(path, error) from error


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
