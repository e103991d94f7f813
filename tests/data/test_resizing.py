import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from medsmith.data.resizing import resize, resize_labels


@pytest.mark.parametrize("target", [(9, 5), (17, 23), (40, 61), (20, 31)])
def test_equals_the_antialiased_bilinear_rule_of_torch(target):
    image = np.random.default_rng(0).random((2, 20, 31, 1), dtype=np.float32)
    ours = resize(image, (*target, 1))[..., 0]
    picture = torch.from_numpy(image[None, ..., 0])
    theirs = functional.interpolate(picture, size=target, mode="bilinear", antialias=True, align_corners=False)
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=2e-6)


def test_volumes_are_resized_axis_by_axis():
    image = np.random.default_rng(1).random((8, 12, 10), dtype=np.float32)
    once = resize(image, (4, 5, 7))
    in_steps = resize(resize(resize(image, (8, 12, 7)), (8, 5, 7)), (4, 5, 7))
    np.testing.assert_allclose(once, in_steps, atol=1e-6)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(-1000, 1000, width=32))
def test_a_constant_stays_constant(source, target, value):
    image = np.full((source, 3, 1), value, np.float32)
    np.testing.assert_allclose(resize(image, (target, 3, 1)), value, rtol=1e-6)


def test_texture_is_averaged_and_not_sampled():
    chessboard = (np.indices((64, 64)).sum(axis=0) % 2).astype(np.float32)[..., None]
    assert np.abs(resize(chessboard, (8, 8, 1))[1:-1, 1:-1] - 0.5).max() < 0.01


@given(st.integers(1, 30), st.integers(1, 30))
def test_labels_take_no_new_value(source, target):
    labels = np.random.default_rng(source).choice(np.array([0, 3, 7], np.uint8), (source, 4, 1))
    assert set(np.unique(resize_labels(labels, (target, 4, 1)))) <= set(np.unique(labels))


def test_labels_doubled_and_halved_come_back():
    labels = np.random.default_rng(2).integers(0, 4, (6, 5, 3), dtype=np.uint8)
    doubled = resize_labels(labels, (12, 10, 6))
    np.testing.assert_array_equal(resize_labels(doubled, (6, 5, 3)), labels)
