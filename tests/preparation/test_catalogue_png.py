"""Bad and odd pictures: each refused with the right line, or accepted with a note."""

import shutil
import struct

import numpy as np
import pytest

from bad_scans import flipped
from medsmith.cases.cohort import Cohort
from medsmith.errors import ContentError
from medsmith.preparation.prepare import PrepareOptions, prepare
from scan_files import ID, listing, png_bytes, run, write_pair

PNG_IMAGE = np.random.default_rng(0).integers(0, 255, (14, 12), dtype=np.uint8)
PNG_LABEL = (PNG_IMAGE > 200).astype(np.uint8)
BOMB = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 100_000, 100_000, 8, 0, 0, 0, 0)


def color(differs):
    pixels = np.repeat(PNG_IMAGE[..., None], 3, axis=2)
    pixels[0, 0, 0] += differs
    return pixels


def with_crc(chunk_start):
    import zlib

    return chunk_start + struct.pack(">I", zlib.crc32(chunk_start[12:]))


PNG_REFUSED = [
    ("empty", b"", "empty (0 bytes)"),
    ("truncated", png_bytes(PNG_IMAGE)[:-20], "the file ends early"),
    ("damaged", flipped(png_bytes(PNG_IMAGE), 60), "CRC mismatch"),
    ("JPEG", b"\xff\xd8\xff\xe0" + bytes(400), "a JPEG picture"),
    ("web page", b"<html></html>", "a web page"),
    ("bomb", with_crc(BOMB), "100000 x 100000 pixels"),
    ("color", png_bytes(color(1)), "in color (1 pixels"),
    ("transparent", png_bytes(np.dstack([color(0), PNG_IMAGE])), "partly transparent"),
    ("small", png_bytes(PNG_IMAGE[:5]), "12 x 5 x 1 voxels"),
    ("1-bit", png_bytes(PNG_IMAGE > 128), "1-bit"),
]


@pytest.mark.parametrize(("data", "words"), [row[1:] for row in PNG_REFUSED], ids=[row[0] for row in PNG_REFUSED])
def test_png_refused(data, words, tmp_path):
    source = write_pair(tmp_path / "source", data, png_bytes(PNG_LABEL), ending=".png")
    before = listing(tmp_path)
    code, line = run(lambda: prepare(source, tmp_path / "out", report=lambda _: None))
    assert code == 2
    assert line.split(":")[0].endswith(f"{ID}.png")
    assert words in line
    assert listing(tmp_path) == before


def test_png_color_with_equal_channels_is_gray(tmp_path):
    source = write_pair(tmp_path / "source", png_bytes(color(0)), png_bytes(PNG_LABEL * 255), ending=".png")
    said: list[str] = []
    case = prepare(source, tmp_path / "out", report=said.append)[ID]
    np.testing.assert_array_equal(case.require_image()[0, :, :, 0].T, PNG_IMAGE)
    np.testing.assert_array_equal(case.require_labels()[:, :, 0].T, PNG_LABEL)
    assert any("0 and 255 in a file mean 0 and 1" in line for line in said)
    assert any("its channels are equal: read as gray" in line for line in said)
    assert Cohort.open(tmp_path / "out")[ID].stored == np.uint8


@pytest.mark.parametrize("value", [1, 255])
def test_masks_of_0_and_1_and_of_0_and_255_in_one_folder_have_the_one_declared_label(value, tmp_path):
    source = tmp_path / "source"
    said: list[str] = []
    write_pair(source, png_bytes(PNG_IMAGE), png_bytes(PNG_LABEL), ending=".png")
    for folder in ("images", "labels"):
        shutil.copy(source / folder / f"{ID}.png", source / folder / "other.png")
    (source / "labels" / "other.png").write_bytes(png_bytes(PNG_LABEL * 255))
    cohort = prepare(source, tmp_path / "out", PrepareOptions(label_names={"mass": value}), report=said.append)
    assert cohort.label_names == {"background": 0, "mass": 1}
    for case in cohort:
        np.testing.assert_array_equal(case.require_labels()[:, :, 0].T, PNG_LABEL)
    assert any("; 255, where a file has it, means 1)" in line for line in said)
    both = PNG_LABEL.copy()
    both[0, 0] = 255
    (source / "labels" / "other.png").write_bytes(png_bytes(both))
    with pytest.raises(ContentError, match=r"other.png: label values 0, 1, 255; a mask of one label has 0 and 1, or"):
        prepare(source, tmp_path / "both", PrepareOptions(label_names={"mass": value}))
    both[0, 0] = 7
    (source / "labels" / "other.png").write_bytes(png_bytes(both))
    with pytest.raises(ContentError, match=f"values 7 .*declared: background = 0, mass = {value};"):
        prepare(source, tmp_path / "seven", PrepareOptions(label_names={"mass": value}))
