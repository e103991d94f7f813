"""Label maps with a volume for each label."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medsmith.errors import ContentError, GeometryError
from medsmith.formats.nifti import read_labels, read_labels_region
from medsmith.formats.one_hot import joined_volumes
from medsmith.formats.volume import ReadOptions
from medsmith.preparation import PrepareOptions, prepare
from scan_files import SHAPE, image_array, label_array, nifti_bytes, write_pair, zipped


@given(
    labels=arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3)),
    on=st.sampled_from([1, 255]),
    background=st.booleans(),
)
def test_volumes_of_one_label_each_give_back_the_map(labels, on, background):
    first = 0 if background else 1
    volumes = [(labels == value).astype(np.uint8) * on for value in range(first, 4)]
    joined, notes = joined_volumes(volumes, Path("x.nii"))
    if background or (labels == 0).any():
        np.testing.assert_array_equal(joined, labels)
    assert "read as one map, labels 1 to " in notes[0]


@pytest.mark.parametrize(
    ("second", "found"),
    [
        (np.full((2, 2, 2), 3), "2 volumes (2 x 2 x 2 x 2) that are no masks of one label each"),
        (np.ones((2, 2, 2)), "of which volume 1 overlaps earlier ones in 1 voxels"),
    ],
)
def test_other_volumes_are_refused(second, found):
    first = np.zeros((2, 2, 2))
    first[0, 0, 0] = 1
    with pytest.raises(ContentError) as refused:
        joined_volumes([first, second], Path("x.nii"))
    assert found in refused.value.line
    assert "write one map with a value for each label" in refused.value.line


def one_hot(labels):
    return np.stack([labels == value for value in range(1, 4)], -1).astype(np.uint8)


def test_a_one_hot_file_is_read_as_its_map_whole_and_in_part(tmp_path):
    labels = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
    path = tmp_path / "x.nii.gz"
    path.write_bytes(zipped(nifti_bytes(one_hot(labels))))
    np.testing.assert_array_equal(read_labels(path).values, labels)
    region = (slice(2, 5), slice(0, 4), slice(3, 7))
    np.testing.assert_array_equal(read_labels_region(path, region), labels[region])
    np.testing.assert_array_equal(read_labels(path, ReadOptions(volume=1)).values, labels == 2)


@pytest.mark.parametrize("volume", [None, 0])
def test_prepare_keeps_every_label_and_says_so_although_a_volume_is_chosen(volume, tmp_path):
    labels = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
    write_pair(tmp_path / "in", zipped(nifti_bytes(image_array())), zipped(nifti_bytes(one_hot(labels))))
    said: list[str] = []
    options = PrepareOptions(read=ReadOptions(volume=volume))
    made = prepare(tmp_path / "in", tmp_path / "out", options, report=said.append)
    np.testing.assert_array_equal(made.stored(made.ids[0]).require_labels(), labels)
    assert any("3 volumes of one label each were read as one map, labels 1 to 3" in line for line in said)


def test_of_label_maps_alone_a_volume_that_they_lack_is_refused(tmp_path):
    (tmp_path / "in" / "labelsTr").mkdir(parents=True)
    (tmp_path / "in" / "labelsTr" / "x.nii.gz").write_bytes(zipped(nifti_bytes(label_array())))
    options = PrepareOptions(read=ReadOptions(volume=2))
    with pytest.raises(GeometryError, match=r"x\.nii\.gz: has one volume, not volume 2; volumes are counted from 0"):
        prepare(tmp_path / "in", tmp_path / "out", options, report=lambda _: None)


def test_a_volume_of_image_with_one_label_map_is_chosen(tmp_path):
    images = np.stack([image_array(seed=seed) for seed in range(3)], -1)
    write_pair(tmp_path / "in", zipped(nifti_bytes(images)), zipped(nifti_bytes(label_array())))
    options = PrepareOptions(read=ReadOptions(volume=2))
    made = prepare(tmp_path / "in", tmp_path / "out", options, report=lambda _: None)
    np.testing.assert_array_equal(made.stored(made.ids[0]).require_image()[0], images[..., 2])


def test_a_volume_of_image_and_labels_is_chosen_where_both_have_several(tmp_path):
    labels = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
    images = np.stack([image_array(seed=seed) for seed in range(3)], -1)
    write_pair(tmp_path / "in", zipped(nifti_bytes(images)), zipped(nifti_bytes(one_hot(labels))))
    options = PrepareOptions(read=ReadOptions(volume=1))
    made = prepare(tmp_path / "in", tmp_path / "out", options, report=lambda _: None)
    case = made.stored(made.ids[0])
    np.testing.assert_array_equal(case.require_image()[0], images[..., 1])
    np.testing.assert_array_equal(case.require_labels(), labels == 2)
