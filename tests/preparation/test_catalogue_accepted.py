"""The catalogue of odd inputs that are accepted: with what note, and to what values (docs/bad-inputs.md)."""

import json
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
    TWO_VOLUMES,
    half_pair,
    header_has,
    image_is,
    image_values,
    label_values,
    pair_of,
    with_dot,
)
from medsmith.errors import CohortError
from medsmith.formats.volume import ReadOptions
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import RECORD, prepare
from scan_files import (
    AFFINE,
    ID,
    SHAPE,
    good_source,
    hounsfield_array,
    image_array,
    label_array,
    nifti_bytes,
    write_pair,
    zipped,
)


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
    case = prepare(source, out, row.options, report=lambda _: None)[ID]
    notes = json.loads((out / RECORD).read_text())["notes"]
    assert [note for note in notes if row.note in note] if row.note else not notes
    assert set(np.unique(case.require_labels())) == {0, 1}
    if row.values is not None:
        np.testing.assert_array_equal(case.require_image()[0], row.values)


@pytest.mark.parametrize("name", ["A B.NII.GZ", "läsion ü.nii.gz", "-rf.nii.gz", "a\nb.nii.gz", "x" * 200 + ".nii.gz"])
def test_row_25_odd_names(name, tmp_path):
    source = good_source(tmp_path / "source")
    for sub in ("images", "labels"):
        (source / sub / f"{ID}.nii.gz").rename(source / sub / name)
    cohort = prepare(source, tmp_path / "out", report=lambda _: None)
    assert len(cohort) == 1
    assert cohort.ids[0][0] not in "-."
    assert "\n" not in cohort.ids[0]
    np.testing.assert_array_equal(cohort[cohort.ids[0]].require_image()[0], image_array())


def test_row_6_gzip_named_nii(tmp_path):
    source = tmp_path / "source"
    write_pair(source, zipped(GOOD_IMAGE), zipped(GOOD_LABEL), ending=".nii")
    cohort = prepare(source, tmp_path / "out", report=lambda _: None)
    np.testing.assert_array_equal(cohort[ID].require_image()[0], image_array())


def test_row_24_both_halves(tmp_path):
    source = good_source(tmp_path / "source")
    half_pair(source)
    (source / "images" / f"{ID}.img").write_bytes(GOOD_IMAGE[352:])
    cohort = prepare(source, tmp_path / "out", report=lambda _: None)
    np.testing.assert_array_equal(cohort[ID].require_image()[0], image_array())


def test_row_27_spacing_assumed(tmp_path):
    source = good_source(tmp_path / "source")
    image_values(image_array(), codes=(0, 0))(source)
    label_values(label_array(), codes=(0, 0))(source)
    said: list[str] = []
    options = PrepareOptions(read=ReadOptions(assume_spacing=True))
    case = prepare(source, tmp_path / "out", options, report=said.append)[ID]
    assert any("no orientation: 0.7 x 0.8 x 2.5 mm along R, A, S assumed" in line for line in said)
    np.testing.assert_allclose(case.geometry.affine, np.diag([0.7, 0.8, 2.5, 1]), rtol=1e-6)


def test_row_29_slight_shear_is_kept(tmp_path):
    source = good_source(tmp_path / "source")
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.0006
    write_pair(source, zipped(nifti_bytes(image_array(), sheared)), zipped(nifti_bytes(label_array(), sheared)))
    case = prepare(source, tmp_path / "out", report=lambda _: None)[ID]
    np.testing.assert_allclose(case.geometry.affine, sheared, rtol=1e-6, atol=1e-9)


def test_row_51_empty_labels_left_out(tmp_path):
    source = good_source(tmp_path / "source", count=3)
    (source / "labels" / "a1.nii.gz").write_bytes(zipped(nifti_bytes(np.zeros(SHAPE, np.uint8))))
    cohort = prepare(source, tmp_path / "out", PrepareOptions(leave_out=frozenset({"empty"})), report=lambda _: None)
    assert cohort.ids == ("a0", "a2")
    assert json.loads((tmp_path / "out" / RECORD).read_text())["left_out"] == ["a1"]


def test_row_51_maps_that_are_all_background_throughout_give_images(tmp_path):
    source = good_source(tmp_path / "source", count=2)
    for path in (source / "labels").iterdir():
        path.write_bytes(zipped(nifti_bytes(np.zeros(SHAPE, np.uint8))))
    said: list[str] = []
    cohort = prepare(source, tmp_path / "out", report=said.append)
    assert cohort.ids_with_image == ("a0", "a1")
    assert cohort.ids_with_labels == ()
    assert "labels: background = 0 (every label map is all background: images alone are taken)" in said
    assert prepare(source, tmp_path / "out", report=said.append).ids == cohort.ids
    options = PrepareOptions(leave_out=frozenset({"empty"}))
    with pytest.raises(CohortError, match="all 2 label maps are all background"):
        prepare(source, tmp_path / "left", options, report=said.append)


@pytest.mark.parametrize("declared", [True, False])
def test_row_44_padding_is_said_also_where_ct_is_inferred(declared, tmp_path):
    for number in range(12):
        scan = hounsfield_array((20, 20, 20), seed=number)
        scan[:2] = -2000
        path = tmp_path / "in" / f"p{number:02d}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zipped(nifti_bytes(scan)))
    said: list[str] = []
    options = PrepareOptions(channel_names=("CT",) if declared else ())
    cohort = prepare(tmp_path / "in", tmp_path / "out", options, report=said.append)
    assert cohort.channel_names == ("CT",)
    assert cohort["p03"].require_image().min() == -1024
    note = (
        "800 voxels of padding (value -2000) were set to -1024 HU: usual in CT, which fills the corners around the "
        "reconstructed circle"
    )
    assert said[-1] == f"note, 12 times: {note} (p00, p01, p02 and 9 more)"
    assert sum("padding" in line for line in said) == 1
    notes = json.loads((tmp_path / "out" / RECORD).read_text())["notes"]
    assert notes == [f"p{number:02d}: {note}" for number in range(12)]
