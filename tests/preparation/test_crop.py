"""Crops of one field of view."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import MedsmithError, RequestError
from medsmith.geometry import Geometry
from medsmith.preparation.crop import CropOptions, crop, crops_of
from narrowing import present

AFFINE = np.diag([2.0, 1.0, 3.0, 1.0])
AFFINE[:3, 3] = (10, -20, 30)
NAMES = {"background": 0, "lesion": 1}


def case(id="a", shape=(20, 24, 16), lesion=(slice(6, 8), slice(2, 6), slice(1, 3))):
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape) + 5
    labels = np.zeros(shape, np.uint8)
    if lesion:
        labels[lesion] = 1
    return Case(id, image, labels if lesion else None, Geometry(shape, AFFINE), ("MR",), NAMES, np.dtype(np.float32))


def patient(geometry, index):
    return geometry.affine[:3, :3] @ np.array(index) + geometry.affine[:3, 3]


def test_a_crop_about_the_labels_keeps_voxels_values_and_places_in_the_patient():
    whole = case()
    (part,) = crops_of(whole, CropOptions((16.0, 10.0, 30.0)))
    assert part.geometry.shape == (8, 10, 10)
    assert present(part.labels).sum() == present(whole.labels).sum()
    for index in np.argwhere(present(part.labels)):
        there = patient(part.geometry, index)
        source = np.linalg.solve(AFFINE[:3, :3], there - AFFINE[:3, 3]).round().astype(int)
        assert present(whole.labels)[tuple(source)] == 1
        assert present(part.image)[(0, *index)] == present(whole.image)[(0, *source)]
    bounds = np.argwhere(present(part.labels))
    middle = (bounds.min(0) + bounds.max(0) + 1) / 2
    assert np.abs(middle - np.array(part.geometry.shape) / 2).max() <= 0.5


def test_beyond_the_scan_is_its_lowest_value_without_label():
    whole = case()
    (part,) = crops_of(whole, CropOptions((100.0, 100.0, 100.0), place="center"))
    assert part.geometry.shape == (50, 100, 33)
    assert present(part.image).min() == present(whole.image).min()
    assert (present(part.image) > present(whole.image).min()).sum() == whole.require_image().size - 1
    assert present(part.labels).sum() == present(whole.labels).sum()


@given(
    st.tuples(*[st.integers(3, 30)] * 3),
    st.tuples(*[st.floats(24.0, 60.0)] * 3),
    st.floats(0.0, 0.9),
)
def test_sliding_crops_cover_every_voxel_and_overlap_as_asked(shape, extent, overlap):
    whole, options = case(shape=shape, lesion=(slice(0, 1),) * 3), CropOptions(extent, "sliding", overlap)
    seen = np.zeros(shape, bool)
    starts = set()
    for part in crops_of(whole, options):
        offset = np.linalg.solve(AFFINE[:3, :3], part.geometry.affine[:3, 3] - AFFINE[:3, 3]).round().astype(int)
        starts.add(tuple(offset))
        low = np.maximum(offset, 0)
        high = np.minimum(offset + part.geometry.shape, shape)
        seen[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    assert seen.all()
    for axis, edge in enumerate(part.geometry.shape):
        along = sorted({start[axis] for start in starts})
        assert all(b - a <= max(1.0, edge * (1 - overlap)) + 1 for a, b in pairwise(along))


@pytest.fixture
def source(tmp_path):
    cohort = Cohort.create(tmp_path / "in", channel_names=("MR",), label_names=NAMES, file_ending=".nii.gz")
    cohort.write(case("a"))
    cohort.write(case("b", lesion=(slice(0, 20), slice(2, 6), slice(1, 3))))
    cohort.write(case("c", lesion=None))
    cohort.finish()
    return tmp_path / "in"


def test_a_cohort_of_crops_says_what_was_cut_off_and_is_the_same_when_repeated(source, tmp_path):
    lines: list[str] = []
    made = crop(source, tmp_path / "out", CropOptions((16.0, 10.0, 30.0)), report=lines.append)
    assert made.ids == ("a", "b", "c")
    assert lines == [f"3 cases, 3 crops -> {tmp_path / 'out'}", "1 of 3 cases: labels reach beyond the crop (b)"]
    assert {made[id].geometry.shape for id in made.ids} == {(8, 10, 10)}
    before = made.content_hash()
    again = crop(source, tmp_path / "out", CropOptions((16.0, 10.0, 30.0)), report=lines.append)
    assert again.content_hash() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (CropOptions((0.0, 5.0, 5.0)), "--mm: 0 x 5 x 5 mm; edges above 0, at most 2000 mm; choose others"),
        (CropOptions((float("nan"), 5.0, 5.0)), "--mm: nan x 5 x 5 mm; edges above 0"),
        (CropOptions((5.0, 5.0, 5.0), overlap=1.0), "--overlap: 1; 0 to 0.9; choose another"),
    ],
)
def test_options_out_of_range_are_refused(source, tmp_path, options, said):
    with pytest.raises(RequestError, match=re.escape(said)):
        crop(source, tmp_path / "out", options, report=print)
    assert not (tmp_path / "out").exists()


def test_a_crop_of_too_few_voxels_is_refused(source, tmp_path):
    said = "--mm: 10 x 10 x 30 mm are 5 x 10 x 10 voxels of a; at least 8 voxels along each axis; choose a larger crop"
    with pytest.raises(RequestError, match=re.escape(said)):
        crop(source, tmp_path / "out", CropOptions((10.0, 10.0, 30.0)), report=print)


def test_labels_are_needed_to_crop_about_them(tmp_path):
    cohort = Cohort.create(tmp_path / "in", channel_names=("MR",), label_names={"background": 0}, file_ending=".nii.gz")
    cohort.write(Case("a", case().image, None, Geometry((20, 24, 16), AFFINE), ("MR",), {"background": 0}))
    cohort.finish()
    with pytest.raises(MedsmithError, match="foreground needs some; choose --place center or sliding"):
        crop(tmp_path / "in", tmp_path / "out", CropOptions((16.0, 10.0, 30.0)), report=print)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (CropOptions((900.0, 30.0, 30.0)), "--mm: 900 x 30 x 30 mm are 450 x 30 x 10 voxels"),
        (CropOptions((16.0, 8.0, 24.0), place="sliding", overlap=0.9), "crops; 20 at most; choose larger crops"),
    ],
)
def test_huge_and_countless_crops_are_refused_before_anything_is_written(source, tmp_path, monkeypatch, options, said):
    monkeypatch.setattr("medsmith.preparation.crop._MOST_CROPS", 20)
    with pytest.raises(RequestError, match=re.escape(said)):
        crop(source, tmp_path / "out", options, report=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_a_report_of_what_was_cut_off_is_left_out():
    whole = replace(case(), report={"lesions": []}, provenance={"synthetic": True})
    (inside,) = crops_of(whole, CropOptions((16.0, 10.0, 30.0)))
    (part,) = crops_of(whole, CropOptions((16.0, 10.0, 24.0), place="center"))
    assert inside.report == whole.report
    assert part.report is None
    assert part.provenance == {"synthetic": True, "crop_of": "a"}


def test_pictures_without_spacing_are_refused():
    flat = replace(case(), geometry=Geometry((20, 24, 16), AFFINE, spacing_known=False))
    with pytest.raises(RequestError, match="--mm: a has no spacing; mm need one; crop scans, not pictures"):
        list(crops_of(flat, CropOptions((16.0, 10.0, 30.0))))
