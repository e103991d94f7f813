"""The catalogue of bad inputs: each refused with the right line and code 2, nothing written, nothing changed.

Rows are those of docs/bad-inputs.md.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from bad_scans import (
    CT,
    GOOD_IMAGE,
    GOOD_LABEL,
    HU,
    HU_LABEL,
    IMAGE,
    LABEL,
    SHIFTED,
    TWO_VOLUMES,
    affine_with,
    dangling,
    flipped,
    half_pair,
    header_has,
    image_is,
    image_values,
    label_is,
    label_values,
    loop,
    no_longer_than,
    pair_of,
    replaced_by,
    with_dot,
    without_header,
)
from medsmith.formats.volume import ReadOptions
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import prepare
from scan_files import AFFINE, ID, SHAPE, good_source, image_array, label_array, listing, nifti_bytes, run, zipped


@dataclass(frozen=True)
class Row:
    number: int
    name: str
    make: Callable[[Path], object]
    words: tuple[str, ...]
    subject: str = f"{ID}.nii.gz"
    options: PrepareOptions = field(default_factory=PrepareOptions)


REFUSED = [
    Row(1, "empty file", image_is(b""), ("empty (0 bytes)", "interrupted copy")),
    Row(2, "truncated stream", image_is(zipped(GOOD_IMAGE)[:900]), ("compressed stream ends early",)),
    Row(3, "bit flip in data", image_is(flipped(zipped(GOOD_IMAGE), 1200)), ("damaged",)),
    Row(3, "bit flip in label", label_is(flipped(zipped(GOOD_LABEL), 100)), ("damaged",)),
    Row(4, "checksum damaged", image_is(flipped(zipped(GOOD_IMAGE), -6)), ("CRC mismatch",)),
    Row(4, "length damaged", image_is(flipped(zipped(GOOD_IMAGE), -2)), ("CRC mismatch",)),
    Row(7, "web page", image_is(b"<!DOCTYPE html><html>404</html>"), ("a web page", "fetch it again")),
    Row(7, "git-lfs pointer", image_is(b"version https://git-lfs.github.com/spec/v1\n"), ("git-lfs pointer",)),
    Row(7, "JSON", image_is(b'{"message": "Not Found"}'), ("a JSON document",)),
    Row(7, "DICOM", image_is(bytes(128) + b"DICM" + bytes(400)), ("a DICOM file",)),
    Row(8, "ends inside the header", image_is(GOOD_IMAGE[:200]), ("ends inside the header (200 bytes)", "348")),
    Row(8, "the same, compressed", image_is(zipped(GOOD_IMAGE[:200])), ("ends inside the header (200 bytes)",)),
    Row(9, "data too short", image_is(GOOD_IMAGE[:-50]), ("header claims", "the file has")),
    Row(9, "the same, compressed", image_is(zipped(GOOD_IMAGE[:-50])), (f"{len(GOOD_IMAGE) - 50} bytes where",)),
    Row(11, "negative dim", header_has(dim=[3, 12, -20, 10, 1, 1, 1, 1]), ("dim[2] = -20",)),
    Row(12, "dim zero", header_has(dim=[3, 12, 0, 10, 1, 1, 1, 1]), ("dim[2] = 0",)),
    Row(13, "no dimensions", header_has(dim=[0, 12, 11, 10, 1, 1, 1, 1]), ("dim[0] = 0", "1 to 7")),
    Row(13, "eight dimensions", header_has(dim=[8, 12, 11, 10, 1, 1, 1, 1]), ("dim[0] = 8",)),
    Row(14, "absurd claim", header_has(dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]), ("30000x30000x30000", "49.1 TiB")),
    Row(14, "claim beyond DEFLATE", header_has(dim=[3, 800, 800, 800, 1, 1, 1, 1]), ("800x800x800", "compressed")),
    Row(15, "bomb", image_is(zipped(GOOD_IMAGE + bytes(2**22))), ("decompresses to more than its header says",)),
    Row(16, "bad magic", header_has(magic=b"xyz"), ("magic is",)),
    Row(16, "no magic", header_has(magic=b""), ("Analyze",)),
    Row(17, "unknown datatype", header_has(datatype=77), ("datatype 77", "4 int16")),
    Row(19, "vox_offset 0", header_has(vox_offset=0), ("vox_offset = 0",)),
    Row(19, "vox_offset 1e9", header_has(vox_offset=1e9), ("header claims",)),
    Row(19, "vox_offset NaN", header_has(vox_offset=np.nan), ("vox_offset = nan",)),
    Row(20, "complex", image_values(image_array().astype(np.complex64)), ("complex numbers", "magnitude")),
    Row(21, "RGB", header_has(datatype=128, bitpix=24), ("color overlay, not a scan",)),
    Row(21, "RGBA", header_has(datatype=2304, bitpix=32), ("color overlay, not a scan",)),
    Row(24, "img missing", half_pair, ("does not exist", "other half"), f"{ID}.img"),
    Row(24, "hdr missing", without_header, ("does not exist", "other half"), f"{ID}.hdr"),
    Row(26, "folder", replaced_by(Path.mkdir), ("a folder, not a file",)),
    Row(26, "pipe", replaced_by(os.mkfifo), ("a pipe or device",)),
    Row(26, "dangling link", replaced_by(dangling), ("gone.nii.gz, which does not exist",)),
    Row(26, "link loop", replaced_by(loop), ("leads back to itself",)),
    Row(27, "no orientation", image_values(image_array(), codes=(0, 0)), ("codes are 0", "--assume-spacing")),
    Row(29, "sheared", header_has(**affine_with(0, 1, 0.3)), ("not at right angles", "dcm2niix")),
    Row(30, "NaN in the affine", header_has(**affine_with(1, 1, np.nan)), ("NaN",)),
    Row(30, "quaternion that is no rotation", header_has(sform_code=0, quatern_b=3), ("not a rotation",)),
    Row(31, "zero column", header_has(**affine_with(2, 2, 0)), ("zero column", "along z")),
    Row(31, "pixdim 0", header_has(pixdim=[1, 0.7, 0, 2.5, 1, 1, 1, 1]), ("pixdim[2] = 0",)),
    Row(31, "pixdim negative", header_has(pixdim=[1, 0.7, -0.8, 2.5, 1, 1, 1, 1]), ("pixdim[2] = -0.8",)),
    Row(32, "1000 mm", header_has(**affine_with(0, 0, 1000)), ("1000 mm along x", "0.05 to 20")),
    Row(32, "1e-4 mm", header_has(**affine_with(0, 0, 1e-4)), ("0.0001 mm along x",)),
    Row(32, "micrometres that are mm", header_has(xyzt_units=3), ("0.0007 mm",)),
    Row(36, "shapes differ", label_values(label_array((12, 11, 12))), ("(12, 11, 12)", "(12, 11, 10)")),
    Row(37, "half a voxel off", label_values(label_array(), affine=SHIFTED),
        ("0.35 mm away",)),
    Row(37, "flipped", label_values(label_array(), affine=AFFINE * [-1, 1, 1, 1]), ("15.4 mm away",)),
    Row(38, "four slices", pair_of(image_array((12, 12, 4)), label_array((12, 12, 4))), ("12 x 12 x 4", "at least 8")),
    Row(38, "thin", pair_of(image_array((12, 3, 12)), label_array((12, 3, 12))), ("12 x 3 x 12",)),
    Row(40, "two volumes", image_values(TWO_VOLUMES), ("2 volumes", "--volume K, 0 to 1")),
    Row(40, "vector", image_values(TWO_VOLUMES[:, :, :, None, :]), ("2 volumes",)),
    Row(40, "volume 5 of 2", image_values(TWO_VOLUMES), ("volume 5 of 2",),
        options=PrepareOptions(read=ReadOptions(volume=5))),
    Row(40, "volume 3 of 1", image_values(image_array()), ("has one volume, not volume 3", "leave out --volume"),
        options=PrepareOptions(read=ReadOptions(volume=3))),
    Row(41, "NaN", image_values(with_dot(image_array(dtype=np.float32), (3, 0, 7), np.nan)),
        ("1 NaN or infinite", "(3, 0, 7)", "--nan-fill")),
    Row(41, "infinite", image_values(with_dot(image_array(dtype=np.float32), 2, -np.inf)), ("110 NaN or infinite",)),
    Row(42, "constant", image_values(np.zeros(SHAPE, np.int16)), ("no body found",), ID),
    Row(43, "CT in [0, 1]", pair_of((HU + 1000).astype(np.float32) / 3000, HU_LABEL), ("scaled to [0, 1]",), ID, CT),
    Row(43, "CT in [-1, 1]", pair_of(HU.astype(np.float32) / 3000, HU_LABEL), ("scaled to [-1, 1]",), ID, CT),
    Row(43, "CT in [0, 255]", pair_of(np.clip(HU, 0, 255), HU_LABEL), ("scaled to [0, 255]",), ID, CT),
    Row(44, "offset lost", pair_of(HU + np.int16(1024), HU_LABEL), ("1024 too high", "--hu-offset -1024"), ID, CT),
    Row(47, "1e300", image_values(with_dot(image_array(dtype=np.float64), 3, 1e300)), ("1e+300", "3.4e38")),
    Row(47, "integers beyond float32", image_values(with_dot(image_array(dtype=np.int32), 3, 2**24 + 1)),
        ("16777217", "store the image as float32")),
    Row(48, "label 0.5", label_values(label_array(dtype=np.float32) * np.float32(0.5)), ("0.5", "(3, 3, 2)")),
    Row(48, "label NaN", label_values(with_dot(label_array(dtype=np.float32), (1, 2, 3), np.nan)), ("nan",)),
    Row(49, "image as label", label_values(HU[:12, :11, :10]), ("-1000", "is this the image?")),
    Row(49, "gray values as label", label_values(image_array(dtype=np.uint8)), ("is this the image?",)),
    Row(49, "undeclared", label_values(label_array(value=3)), ("undeclared label values 3", "declared: background = 0"),
        options=PrepareOptions(label_names={"lesion": 1})),
    Row(49, "gap in undeclared", label_values(label_array(value=7)), ("label value 7", "--label NAME=VALUE")),
    Row(53, "negative label", label_values(label_array(dtype=np.int16, value=-1)), ("from -1 to 0",)),
    Row(53, "label 300", label_values(label_array(dtype=np.int16, value=300)), ("from 0 to 300", "0 to 255")),
    Row(53, "label 70000", label_values(label_array(dtype=np.int64, value=70000)), ("from 0 to 70000",)),
    Row(58, "MR as CT", pair_of(image_array((16, 16, 16)) * np.int16(14), HU_LABEL),
        ("not Hounsfield units", "soft tissue", "MR"), ID, CT),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: f"{row.number}-{row.name}")
def test_refused(row, tmp_path):
    source, out = good_source(tmp_path / "source"), tmp_path / "out"
    row.make(source)
    before = listing(tmp_path)
    with no_longer_than(2):
        code, line = run(lambda: prepare(source, out, row.options, report=lambda _: None))
    assert code == 2
    assert "\n" not in line
    assert line.split(":")[0].split(",")[0].endswith(row.subject)
    for word in row.words:
        assert word in line
    assert listing(tmp_path) == before


def test_the_source_that_rows_spoil_is_good(tmp_path):
    said: list[str] = []
    cohort = prepare(good_source(tmp_path / "source"), tmp_path / "out", report=said.append)
    assert len(cohort) == 1
    assert not [line for line in said if line.startswith("note")]


def test_row_26_no_permission(tmp_path, monkeypatch):
    source = good_source(tmp_path / "source")
    true_open = os.open

    def refuse(path, *rest, **named):
        if str(path).endswith(IMAGE):
            raise PermissionError(13, "Permission denied", str(path))
        return true_open(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    code, line = run(lambda: prepare(source, tmp_path / "out", report=lambda _: None))
    assert code == 2
    assert "no permission to read it" in line


def test_row_55_report_lists_lesions_but_the_label_is_empty(tmp_path):
    first = prepare(good_source(tmp_path / "source"), tmp_path / "first", report=lambda _: None)
    (first.root / "reports").mkdir()
    (first.root / "reports" / f"{ID}.json").write_text('{"lesions": [{"size_mm": 9}, {"size_mm": 4}]}')
    (first.root / "labelsTr" / f"{ID}.nii.gz").write_bytes(zipped(nifti_bytes(np.zeros(SHAPE, np.uint8))))
    code, line = run(lambda: prepare(first.root, tmp_path / "out", report=lambda _: None))
    assert code == 2
    assert "the report lists 2 lesions, the label is all background" in line
    assert not (tmp_path / "out").exists()


def test_row_51_label_all_background_where_others_are_not(tmp_path):
    source = good_source(tmp_path / "source", count=3)
    (source / "labels" / "a1.nii.gz").write_bytes(zipped(nifti_bytes(np.zeros(SHAPE, np.uint8))))
    code, line = run(lambda: prepare(source, tmp_path / "out", report=lambda _: None))
    assert code == 2
    assert line.startswith("a1: all background")
    assert "--leave-out empty" in line
    assert not (tmp_path / "out").exists()


def test_several_maps_of_background_are_counted_among_all_cases(tmp_path):
    source = good_source(tmp_path / "source", count=5)
    for index in (1, 3):
        (source / "labels" / f"a{index}.nii.gz").write_bytes(zipped(nifti_bytes(np.zeros(SHAPE, np.uint8))))
    code, line = run(lambda: prepare(source, tmp_path / "out", report=lambda _: None))
    assert code == 2
    assert "2 of 5 cases cannot be used, the first: a1: all background" in line


def test_several_bad_cases_are_named_at_once(tmp_path):
    source = good_source(tmp_path / "source", count=9)
    said: list[str] = []
    for index in range(7):
        (source / "images" / f"a{index}.nii.gz").write_bytes(b"")
    code, line = run(lambda: prepare(source, tmp_path / "out", report=said.append))
    assert code == 2
    assert "7 of 9 cases cannot be used" in line
    assert "a0.nii.gz: empty" in line
    assert len(said) == 5
    assert not (tmp_path / "out").exists()


def test_a_claim_is_refused_without_allocating(tmp_path, monkeypatch):
    """Row 14: not even the array of what the header claims is asked for."""
    source = good_source(tmp_path / "source")
    header_has(dim=[3, 1500, 1500, 1500, 1, 1, 1, 1])(source)
    monkeypatch.setattr(np, "frombuffer", lambda *_, **__: pytest.fail("allocated"))
    label = source / LABEL
    monkeypatch.setattr("medsmith.preparation.sources.label_values", lambda *_: {label: frozenset({0, 1})})
    code, line = run(lambda: prepare(source, tmp_path / "out", report=lambda _: None))
    assert code == 2
    assert "1500x1500x1500" in line
