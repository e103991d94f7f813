"""The catalogue of bad inputs: each refused with the right line and code 2, nothing written, nothing changed.

Rows are those of docs/bad-inputs.md.
"""

import json
import os
import signal
import struct
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from medsmith.cohort import Cohort
from medsmith.formats.volume import ReadOptions
from medsmith.prepare import RECORD, prepare
from medsmith.sources import PrepareOptions
from scan_files import (
    AFFINE,
    ID,
    SHAPE,
    good_source,
    hounsfield_array,
    image_array,
    label_array,
    listing,
    nifti_bytes,
    png_bytes,
    run,
    write_pair,
    zipped,
)

pytestmark = pytest.mark.usefixtures("no_fsync")
SHIFTED = AFFINE + 0.35 * np.outer([1, 0, 0, 0], [0, 0, 0, 1])
GOOD_IMAGE, GOOD_LABEL = nifti_bytes(image_array()), nifti_bytes(label_array())
IMAGE, LABEL = f"images/{ID}.nii.gz", f"labels/{ID}.nii.gz"


@dataclass(frozen=True)
class Row:
    number: int
    name: str
    make: Callable[[Path], object]
    words: tuple[str, ...]
    subject: str = f"{ID}.nii.gz"
    options: PrepareOptions = field(default_factory=PrepareOptions)


def image_is(data):
    return lambda folder: (folder / IMAGE).write_bytes(data)


def label_is(data):
    return lambda folder: (folder / LABEL).write_bytes(data)


def header_has(**fields):
    return image_is(zipped(nifti_bytes(image_array(), fields=fields)))


def image_values(array, **header):
    return image_is(zipped(nifti_bytes(array, **header)))


def label_values(array, **header):
    return label_is(zipped(nifti_bytes(array, **header)))


def pair_of(image, label):
    return lambda folder: write_pair(folder, zipped(nifti_bytes(image)), zipped(nifti_bytes(label)))


def flipped(data, position, bit=3):
    damaged = bytearray(data)
    damaged[position] ^= 1 << bit
    return bytes(damaged)


def affine_with(row, column, value):
    affine = AFFINE.copy()
    affine[row, column] = value
    return {"srow_" + "xyz"[row]: affine[row], "qform_code": 0}


def replaced_by(make):
    def replace(folder):
        (folder / IMAGE).unlink()
        make(folder / IMAGE)

    return replace


def half_pair(folder):
    (folder / IMAGE).unlink()
    data = nifti_bytes(image_array(), fields={"magic": b"ni1", "vox_offset": 0})
    (folder / "images" / f"{ID}.hdr").write_bytes(data[:352])


def without_header(folder):
    (folder / IMAGE).unlink()
    (folder / "images" / f"{ID}.img").write_bytes(GOOD_IMAGE[352:])


def dangling(path):
    path.symlink_to("gone.nii.gz")


def loop(path):
    path.symlink_to(path.name)


def with_dot(array, index, value):
    array = array.copy()
    array[index] = value
    return array


CT = PrepareOptions(channel_names=("CT",))
HU = hounsfield_array()
HU_LABEL = label_array(HU.shape)
TWO_VOLUMES = np.stack([image_array(), image_array(seed=1)], axis=-1)

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
    Row(21, "RGB", header_has(datatype=128, bitpix=24), ("colour overlay, not a scan",)),
    Row(21, "RGBA", header_has(datatype=2304, bitpix=32), ("colour overlay, not a scan",)),
    Row(24, "img missing", half_pair, ("does not exist", "other half"), f"{ID}.img"),
    Row(24, "hdr missing", without_header, ("does not exist", "other half"), f"{ID}.hdr"),
    Row(26, "folder", replaced_by(Path.mkdir), ("a folder, not a file",)),
    Row(26, "pipe", replaced_by(os.mkfifo), ("a pipe or device",)),
    Row(26, "dangling link", replaced_by(dangling), ("gone.nii.gz, which does not exist",)),
    Row(26, "link loop", replaced_by(loop), ("leads back to itself",)),
    Row(27, "no orientation", image_values(image_array(), codes=(0, 0)), ("codes are 0", "--assume-spacing")),
    Row(29, "sheared", header_has(**affine_with(0, 1, 0.3)), ("not at right angles", "dcm2niix")),
    Row(30, "NaN in the affine", header_has(**affine_with(1, 1, np.nan)), ("NaN",)),
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
    Row(49, "grey values as label", label_values(image_array(dtype=np.uint8)), ("is this the image?",)),
    Row(49, "undeclared", label_values(label_array(value=3)), ("undeclared label values 3", "declared: background = 0"),
        options=PrepareOptions(label_names={"lesion": 1})),
    Row(49, "gap in undeclared", label_values(label_array(value=7)), ("label value 7", "--label NAME=VALUE")),
    Row(51, "all background", label_values(np.zeros(SHAPE, np.uint8)), ("all background", "--leave-out empty"), ID),
    Row(53, "negative label", label_values(label_array(dtype=np.int16, value=-1)), ("from -1 to 0",)),
    Row(53, "label 300", label_values(label_array(dtype=np.int16, value=300)), ("from 0 to 300", "0 to 255")),
    Row(53, "label 70000", label_values(label_array(dtype=np.int64, value=70000)), ("from 0 to 70000",)),
    Row(58, "MR as CT", pair_of(image_array((16, 16, 16)) * np.int16(14), HU_LABEL),
        ("not Hounsfield units", "soft tissue", "MR"), ID, CT),
]  # fmt: skip


@contextmanager
def no_longer_than(seconds):
    def stop(*_):
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: f"{row.number}-{row.name}")
def test_refused(row, tmp_path):
    source, out = good_source(tmp_path / "source"), tmp_path / "out"
    row.make(source)
    before = listing(tmp_path)
    with no_longer_than(2):
        code, line = run(lambda: prepare(source, out, row.options, say=lambda _: None))
    assert code == 2
    assert "\n" not in line
    assert line.split(":")[0].split(",")[0].endswith(row.subject)
    for word in row.words:
        assert word in line
    assert listing(tmp_path) == before


def test_the_source_that_rows_spoil_is_good(tmp_path):
    said = []
    cohort = prepare(good_source(tmp_path / "source"), tmp_path / "out", say=said.append)
    assert len(cohort) == 1
    assert not [line for line in said if line.startswith("note")]


@dataclass(frozen=True)
class Odd:
    number: int
    name: str
    make: Callable[[Path], object]
    note: str
    options: PrepareOptions = field(default_factory=PrepareOptions)
    values: np.ndarray | None = None


def at_other_angle(folder):
    header = {"quatern_b": 0.0, "quatern_c": 0.0, "quatern_d": float(np.sin(np.radians(5)))}
    header_has(**header)(folder)


def metal():
    values = HU.copy()
    values[8, 8, 8] = 30000
    return values


def padded():
    values = HU.copy()
    values[0] = -3024
    values[15, 15] = 32767
    return values


def clipped():
    values = HU.copy()
    values[0] = -1024
    values[15, 15] = 3071
    return values


def repeated():
    values = image_array()
    values[:, :, 5:] = values[:, :, :5]
    return values


def one_voxel():
    return with_dot(np.zeros(SHAPE, np.uint8), (4, 4, 4), 1)


def dots():
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[::2, ::2, ::2] = 1
    return labels


def thin_lesion(folder):
    affine = np.diag([0.7, 0.7, 10, 1])
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:7, 3:7, 4:6] = 1
    write_pair(folder, zipped(nifti_bytes(image_array(), affine)), zipped(nifti_bytes(labels, affine)))


PLAIN = image_array()
ACCEPTED = [
    Odd(5, "plain NIfTI named .nii.gz", image_is(GOOD_IMAGE), "not compressed", values=PLAIN),
    Odd(10, "bytes after the data", image_is(zipped(GOOD_IMAGE + bytes(99))), "99 bytes after the array"),
    Odd(10, "bytes after the stream", image_is(zipped(GOOD_IMAGE) + b"xy"), "2 bytes after the gzip stream"),
    Odd(18, "bitpix wrong", header_has(bitpix=8), "bitpix is 8", values=PLAIN),
    Odd(22, "big-endian", image_values(PLAIN, order=">"), "", values=PLAIN),
    Odd(23, "NIfTI-2", image_values(PLAIN, version=2), "", values=PLAIN),
    Odd(23, "NIfTI-2 big-endian", image_values(PLAIN, version=2, order=">"), "", values=PLAIN),
    Odd(28, "forms disagree", at_other_angle, "sform and qform disagree by 10.00 degrees"),
    Odd(32, "metres", lambda folder: write_pair(
        folder,
        zipped(nifti_bytes(PLAIN, AFFINE / [1000, 1000, 1000, 1000], fields={"xyzt_units": 1})),
        zipped(nifti_bytes(label_array(), AFFINE / [1000, 1000, 1000, 1000], fields={"xyzt_units": 1})),
    ), "metres were converted to mm"),
    Odd(35, "lesion in two thick slices", thin_lesion, "spans 2 slices of 10 mm"),
    Odd(40, "trailing axis of 1", image_values(PLAIN[..., None]), "", values=PLAIN),
    Odd(40, "chosen volume", image_values(TWO_VOLUMES), "", PrepareOptions(read=ReadOptions(volume=1)),
        TWO_VOLUMES[..., 1]),
    Odd(41, "NaN filled", image_values(with_dot(image_array(dtype=np.float32), (3, 0, 7), np.nan)),
        "filled with -5", PrepareOptions(read=ReadOptions(nan_fill=-5.0)),
        with_dot(image_array(dtype=np.float32), (3, 0, 7), -5)),
    Odd(44, "offset added", pair_of(HU + np.int16(1024), HU_LABEL), "",
        PrepareOptions(channel_names=("CT",), hu_offset=-1024), HU),
    Odd(44, "padding", pair_of(padded(), HU_LABEL), "voxels of padding", CT, clipped()),
    Odd(45, "metal", pair_of(metal(), HU_LABEL), "", CT, metal()),
    Odd(46, "slope 0", header_has(scl_slope=0, scl_inter=7), "", values=PLAIN),
    Odd(46, "slope NaN", header_has(scl_slope=np.nan, scl_inter=np.nan), "", values=PLAIN),
    Odd(46, "slope infinite", header_has(scl_slope=np.inf), "not finite; no scaling", values=PLAIN),
    Odd(47, "denormals", image_values(with_dot(image_array(dtype=np.float64), 3, 1e-310)), "rounded to float32"),
    Odd(48, "label 0.9999", label_values(label_array(dtype=np.float32) * np.float32(0.9999)), ""),
    Odd(52, "one voxel", label_values(one_voxel()), "label label_1 has 1 voxel"),
    Odd(52, "512 components", pair_of(image_array((16, 16, 16)), dots()), "512 separate components"),
    Odd(53, "boolean label as 64-bit", label_values(label_array(dtype=np.int64)), ""),
    Odd(56, "repeated slices", image_values(repeated()), "5 slices repeat earlier ones (slice 5 is slice 0)"),
]  # fmt: skip


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: f"{row.number}-{row.name}")
def test_accepted_with_a_note(row, tmp_path):
    source, out = good_source(tmp_path / "source"), tmp_path / "out"
    row.make(source)
    case = prepare(source, out, row.options, say=lambda _: None)[ID]
    notes = json.loads((out / RECORD).read_text())["notes"]
    assert [note for note in notes if row.note in note] if row.note else not notes
    assert set(np.unique(case.labels)) == {0, 1}
    if row.values is not None:
        np.testing.assert_array_equal(case.image[0], row.values)


@pytest.mark.parametrize("name", ["A B.NII.GZ", "läsion ü.nii.gz", "-rf.nii.gz", "a\nb.nii.gz", "x" * 200 + ".nii.gz"])
def test_row_25_odd_names(name, tmp_path):
    source = good_source(tmp_path / "source")
    for sub in ("images", "labels"):
        (source / sub / f"{ID}.nii.gz").rename(source / sub / name)
    cohort = prepare(source, tmp_path / "out", say=lambda _: None)
    assert len(cohort) == 1
    assert cohort.ids[0][0] not in "-."
    assert "\n" not in cohort.ids[0]
    np.testing.assert_array_equal(cohort[cohort.ids[0]].image[0], image_array())


def test_row_6_gzip_named_nii(tmp_path):
    source = tmp_path / "source"
    write_pair(source, zipped(GOOD_IMAGE), zipped(GOOD_LABEL), ending=".nii")
    cohort = prepare(source, tmp_path / "out", say=lambda _: None)
    np.testing.assert_array_equal(cohort[ID].image[0], image_array())


def test_row_24_both_halves(tmp_path):
    source = good_source(tmp_path / "source")
    half_pair(source)
    (source / "images" / f"{ID}.img").write_bytes(GOOD_IMAGE[352:])
    cohort = prepare(source, tmp_path / "out", say=lambda _: None)
    np.testing.assert_array_equal(cohort[ID].image[0], image_array())


def test_row_26_no_permission(tmp_path, monkeypatch):
    source = good_source(tmp_path / "source")
    true_open = os.open

    def refuse(path, *rest, **named):
        if str(path).endswith(IMAGE):
            raise PermissionError(13, "Permission denied", str(path))
        return true_open(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    code, line = run(lambda: prepare(source, tmp_path / "out", say=lambda _: None))
    assert code == 2
    assert "no permission to read it" in line


def test_row_27_spacing_assumed(tmp_path):
    source = good_source(tmp_path / "source")
    image_values(image_array(), codes=(0, 0))(source)
    label_values(label_array(), codes=(0, 0))(source)
    said = []
    options = PrepareOptions(read=ReadOptions(assume_spacing=True))
    case = prepare(source, tmp_path / "out", options, say=said.append)[ID]
    assert any("no orientation: 0.7 x 0.8 x 2.5 mm along R, A, S assumed" in line for line in said)
    np.testing.assert_allclose(case.geometry.affine, np.diag([0.7, 0.8, 2.5, 1]), rtol=1e-6)


def test_row_29_slight_shear_is_kept(tmp_path):
    source = good_source(tmp_path / "source")
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.0006
    write_pair(source, zipped(nifti_bytes(image_array(), sheared)), zipped(nifti_bytes(label_array(), sheared)))
    case = prepare(source, tmp_path / "out", say=lambda _: None)[ID]
    np.testing.assert_allclose(case.geometry.affine, sheared, rtol=1e-6, atol=1e-9)


def test_row_51_empty_labels_left_out(tmp_path):
    source = good_source(tmp_path / "source", count=3)
    (source / "labels" / "a1.nii.gz").write_bytes(zipped(nifti_bytes(np.zeros(SHAPE, np.uint8))))
    cohort = prepare(source, tmp_path / "out", PrepareOptions(leave_out=frozenset({"empty"})), say=lambda _: None)
    assert cohort.ids == ("a0", "a2")
    assert json.loads((tmp_path / "out" / RECORD).read_text())["left_out"] == ["a1"]


def test_row_55_report_lists_lesions_but_the_label_is_empty(tmp_path):
    first = prepare(good_source(tmp_path / "source"), tmp_path / "first", say=lambda _: None)
    (first.root / "reports").mkdir()
    (first.root / "reports" / f"{ID}.json").write_text('{"lesions": [{"size_mm": 9}, {"size_mm": 4}]}')
    (first.root / "labelsTr" / f"{ID}.nii.gz").write_bytes(zipped(nifti_bytes(np.zeros(SHAPE, np.uint8))))
    code, line = run(lambda: prepare(first.root, tmp_path / "out", say=lambda _: None))
    assert code == 2
    assert "the report lists 2 lesions, the label is all background" in line
    assert not (tmp_path / "out").exists()


def test_several_bad_cases_are_named_at_once(tmp_path):
    source, said = good_source(tmp_path / "source", count=9), []
    for index in range(7):
        (source / "images" / f"a{index}.nii.gz").write_bytes(b"")
    code, line = run(lambda: prepare(source, tmp_path / "out", say=said.append))
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
    monkeypatch.setattr("medsmith.sources.label_values", lambda *_: {0: label, 1: label})
    code, line = run(lambda: prepare(source, tmp_path / "out", say=lambda _: None))
    assert code == 2
    assert "1500x1500x1500" in line


PNG_IMAGE = np.random.default_rng(0).integers(0, 255, (14, 12), dtype=np.uint8)
PNG_LABEL = (PNG_IMAGE > 200).astype(np.uint8)
BOMB = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 100_000, 100_000, 8, 0, 0, 0, 0)


def colour(differs):
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
    ("colour", png_bytes(colour(1)), "in colour (1 pixels"),
    ("transparent", png_bytes(np.dstack([colour(0), PNG_IMAGE])), "partly transparent"),
    ("small", png_bytes(PNG_IMAGE[:5]), "12 x 5 x 1 voxels"),
    ("1-bit", png_bytes(PNG_IMAGE > 128), "1-bit"),
]


@pytest.mark.parametrize(("data", "words"), [row[1:] for row in PNG_REFUSED], ids=[row[0] for row in PNG_REFUSED])
def test_png_refused(data, words, tmp_path):
    source = write_pair(tmp_path / "source", data, png_bytes(PNG_LABEL), ending=".png")
    before = listing(tmp_path)
    code, line = run(lambda: prepare(source, tmp_path / "out", say=lambda _: None))
    assert code == 2
    assert line.split(":")[0].endswith(f"{ID}.png")
    assert words in line
    assert listing(tmp_path) == before


def test_png_colour_with_equal_channels_is_grey(tmp_path):
    source = write_pair(tmp_path / "source", png_bytes(colour(0)), png_bytes(PNG_LABEL * 255), ending=".png")
    said = []
    case = prepare(source, tmp_path / "out", say=said.append)[ID]
    np.testing.assert_array_equal(case.image[0, :, :, 0].T, PNG_IMAGE)
    np.testing.assert_array_equal(case.labels[:, :, 0].T, PNG_LABEL)
    assert any("0 and 255 in the files mean 0 and 1" in line for line in said)
    assert any("its channels are equal: read as grey" in line for line in said)
    assert Cohort.open(tmp_path / "out")[ID].stored == np.uint8
