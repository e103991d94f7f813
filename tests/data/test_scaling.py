"""Conversion of gray values, grids and labels between cases and model space."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import micro
from medsmith.cases.case import Case
from medsmith.data.fingerprint import take_fingerprint
from medsmith.data.resizing import resize
from medsmith.data.scaling import image_to_model, labels_to_model, model_to_image, model_to_labels, to_grid
from medsmith.geometry import Geometry


def with_image(case, image, stored=None):
    return replace(case, image=image.astype(np.float32), stored=np.dtype(stored or case.stored))


# --- gray values


def of_values(values, stored):
    """A 2-D case of these gray values, and its fingerprint."""
    labels = np.zeros((*values.shape, 1), np.uint8)
    labels[0, 0] = 1
    names = {"background": 0, "mass": 1}
    image = values.astype(np.float32)[None, ..., None]
    case = Case("a", image, labels, Geometry.plain(labels.shape), ("us",), names, np.dtype(stored))
    return case, take_fingerprint([case], ".png", "")


@given(hnp.arrays(np.uint8, st.tuples(st.integers(2, 9), st.integers(2, 9))))
def test_8_bit_pictures_come_back_from_model_space_as_they_were(values):
    case, facts = of_values(values, "uint8")
    model = image_to_model(case, facts, values.shape)
    assert float(model.abs().max()) <= 1
    if values.min() < values.max():
        assert (float(model.min()), float(model.max())) == (-1, 1)
    assert np.array_equal(model_to_image(model, facts), case.image)


@given(
    hnp.arrays(np.int16, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.integers(-1024, 3000)),
)
def test_hounsfield_values_come_back_within_the_robust_range(values):
    values[0, 0] = -1000
    case, facts = of_values(values, "int16")
    low, high = facts.robust_range[0]
    back = model_to_image(image_to_model(case, facts, values.shape), facts)
    assert np.abs(back - np.clip(case.image, low, high)).max() <= 0.5 + 1e-3 * max(1, high - low) / 1000
    assert np.array_equal(back, np.rint(back))


def test_float_images_are_not_rounded():
    values = np.linspace(-1000, 0.7, 30).reshape(5, 6)
    case, facts = of_values(values, "float32")
    low, high = facts.robust_range[0]
    back = model_to_image(image_to_model(case, facts, (5, 6)), facts)
    assert np.allclose(back, np.clip(case.image, low, high), atol=1e-3)


def test_relative_gray_values_are_scaled_case_by_case():
    first, second = micro.micro_case(0, 3, 1), micro.micro_case(1, 3, 1)
    brighter = with_image(first, first.image * 7 + 100)
    facts = take_fingerprint([first, brighter, second], ".nii.gz", "")
    assert not facts.absolute
    grid = first.geometry.shape
    assert torch.allclose(image_to_model(first, facts, grid), image_to_model(brighter, facts, grid), atol=1e-4)
    pictures = [micro.micro_case(index, 2, 1) for index in range(2)]
    fixed = take_fingerprint(pictures, ".png", "")
    darker = with_image(pictures[0], pictures[0].image / 2)
    size = pictures[0].geometry.shape[:2]
    assert image_to_model(darker, fixed, size).mean() < image_to_model(pictures[0], fixed, size).mean() - 0.2


def test_channels_have_their_own_range():
    case = micro.micro_case(0, 2, 1)
    image = np.concatenate([case.image, case.image * 0.5 + 20])
    two = replace(case, image=image, channel_names=("a", "b"))
    facts = take_fingerprint([two], ".png", "")
    model = image_to_model(two, facts, case.geometry.shape[:2])
    assert torch.allclose(model[0], model[1], atol=1e-5)
    assert np.array_equal(model_to_image(model, facts)[0], case.image[0])


# --- grids


def volumes(dimensions):
    edges = st.integers(1, 12)
    return st.tuples(*[edges] * dimensions), st.tuples(*[edges] * dimensions)


@settings(deadline=None)
@given(data=st.data(), dimensions=st.sampled_from([2, 3]))
def test_labels_are_never_invented(data, dimensions):
    source, target = (data.draw(shape) for shape in volumes(dimensions))
    facts = micro.fingerprint(dimensions, 2)
    shape = source if dimensions == 3 else (*source, 1)
    labels = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2])))
    masks = labels_to_model(labels, facts, target)
    assert masks.shape == (2, *target)
    assert set(masks.unique().tolist()) <= {-1.0, 1.0}
    assert float((masks > 0).sum(0).max()) <= 1, "one label per voxel"
    back = model_to_labels(masks, facts)
    assert set(np.unique(back)) <= set(np.unique(labels))
    if target == source:
        assert np.array_equal(back, labels)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_each_voxel_takes_the_label_that_covers_most_of_it(dimensions):
    facts = micro.fingerprint(dimensions, 2)
    small = np.random.default_rng(0).integers(0, 3, (5, 4, 3)[:dimensions]).astype(np.uint8)
    large = small
    for axis in range(dimensions):
        large = large.repeat(4, axis)
    large = large if dimensions == 3 else large[..., None]
    back = model_to_labels(labels_to_model(large, facts, small.shape), facts)
    agreement = (back.reshape(small.shape) == small).mean()
    assert agreement > 0.6
    lone = np.zeros((16, 16, 16) if dimensions == 3 else (16, 16, 1), np.uint8)
    lone[5, 6] = 1
    assert not model_to_labels(labels_to_model(lone, facts, (8,) * dimensions), facts).any() or dimensions == 3


@settings(deadline=None)
@given(data=st.data())
def test_pictures_and_volumes_are_resampled_by_one_rule(data):
    # torch's antialiased filter misreads pictures one pixel wide; cohorts refuse them (fewer than 8 voxels).
    source, target = (data.draw(shape.filter(lambda sides: min(sides) > 1)) for shape in volumes(2))
    image = data.draw(hnp.arrays(np.float32, (1, *source), elements=st.floats(-1, 1, width=32)))
    picture = to_grid(torch.from_numpy(image), target).numpy()
    volume = to_grid(torch.from_numpy(image[..., None]), (*target, 1)).numpy()
    assert np.abs(picture - volume[..., 0]).max() <= 2e-6
    assert np.array_equal(volume, resize(image[..., None], (*target, 1)))


@pytest.mark.parametrize(("source", "target"), [((16, 16, 4), (8, 8, 8)), ((15, 9, 7), (8, 9, 3))])
def test_volumes_are_averaged_where_they_shrink_and_interpolated_where_they_grow(source, target):
    stripes = torch.ones((1, *source))
    stripes[:, ::2] = -1  # the finest stripes along x: on half the grid nothing of them may remain
    resampled = to_grid(stripes, target)
    assert resampled.shape == (1, *target)
    inner = resampled[:, 1:-1]
    assert float(inner.abs().max()) < 0.26
    constant = to_grid(torch.full((1, *source), 0.3), target)
    assert torch.allclose(constant, torch.tensor(0.3))


def test_the_strongest_channel_above_zero_is_the_label():
    facts = micro.fingerprint(2, 2)
    masks = torch.tensor([[[0.2, -0.1, 0.9, 0.0]], [[0.5, -0.3, 0.1, 0.0]]])
    assert model_to_labels(masks, facts)[:, :, 0].tolist() == [[2, 0, 1, 0]]


def test_label_values_need_not_be_consecutive():
    case = micro.micro_case(0, 2, 2)
    names = {"background": 0, "mass": 3, "cyst": 7}
    labels = np.select([case.labels == 1, case.labels == 2], [3, 7]).astype(np.uint8)
    facts = take_fingerprint([replace(case, labels=labels, label_names=names)], ".png", "")
    assert facts.foreground_labels == (3, 7)
    assert np.array_equal(model_to_labels(labels_to_model(labels, facts, labels.shape[:2]), facts), labels)
