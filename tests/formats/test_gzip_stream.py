"""Streams of one and of many members: equal to Python's own reader, and in a time proportional to their size."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsmith.errors import FileError
from medsmith.formats import gzip_stream

PATH = Path("x.nii.gz")
NOISE = np.random.default_rng(0).integers(0, 40, 3 * 2**20, np.uint8).tobytes()


@given(st.lists(st.binary(max_size=40) | st.integers(0, 2**13).map(lambda n: NOISE[:n]), min_size=1, max_size=8))
def test_members_are_joined_as_pythons_gzip_joins_them(parts):
    data = b"".join(map(gzip.compress, parts))
    assert gzip_stream.inflate(data, sum(map(len, parts)), PATH) == (gzip.decompress(data), ())


@given(st.integers(0, 200), st.integers(1, 200))
def test_the_cap_is_of_all_members_together(cap, size):
    data = gzip.compress(NOISE[: size // 2]) + gzip.compress(NOISE[size // 2 : size])
    if size <= cap:
        assert gzip_stream.inflate(data, cap, PATH)[0] == NOISE[:size]
        return
    with pytest.raises(FileError, match="decompresses to more than its header says"):
        gzip_stream.inflate(data, cap, PATH)


def test_a_large_member_is_read_and_checked_to_its_end():
    data = gzip.compress(NOISE, 1)
    assert gzip_stream.inflate(data + b"\0\0", len(NOISE), PATH) == (NOISE, ())
    assert gzip_stream.inflate(data + b"rest", len(NOISE), PATH)[1] == ("4 bytes after the gzip stream are ignored",)
    gzip_stream.check(data, PATH)
    for damaged, words in ((data[:-1], "ends early"), (data[:-8] + bytes(8), "CRC mismatch"), (data[:4], "ends early")):
        for read in (lambda bad: gzip_stream.inflate(bad, len(NOISE), PATH), lambda bad: gzip_stream.check(bad, PATH)):
            with pytest.raises(FileError, match=words):
                read(damaged)


@pytest.mark.parametrize(
    ("member", "count"),
    [(gzip.compress(b""), 20_000), (gzip.compress(NOISE[: 2**16], 1), 100), (gzip.compress(bytes(2**22), 1), 30)],
    ids=["empty", "bgzip", "zeros"],
)
def test_what_zlib_copies_is_proportional_to_what_is_read_and_made(member, count, monkeypatch):
    copied, whole = [0], zlib.decompressobj

    class Spy:
        def __init__(self, bits):
            self._stream = whole(bits)

        def __getattr__(self, name):
            found = getattr(self._stream, name)
            copied[0] += len(found) if name in ("unused_data", "unconsumed_tail") else 0
            return found

    monkeypatch.setattr(zlib, "decompressobj", Spy)
    data = member * count
    size = len(gzip_stream.inflate(data, 2**30, PATH)[0])
    assert copied[0] <= count * 2**12 + 2 * len(data) + size / 100
    copied[0] = 0
    gzip_stream.check(data, PATH)
    assert copied[0] <= 2**12 + 3 * len(member) * 4
