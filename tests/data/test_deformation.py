"""Deformed label maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medsmith.data.deformation import DeformationConfig, draw_deformation

CUBE = (1.0, 1.0, 1.0)
STILL = DeformationConfig(rotation=0, scale=0, shift=0, elastic=0)


def deformed(labels, config, seed, voxel):
    return draw_deformation(labels.shape, config, seed, voxel)(labels)


def ball(dimensions=3, edge=33, radius=8):
    grid = np.indices((edge,) * dimensions) - edge // 2
    return (np.sqrt((grid**2).sum(0)) <= radius).astype(np.uint8) * 2


@given(st.integers(0, 2**31), st.sampled_from((2, 3)))
def test_without_deformation_nothing_changes(seed, dimensions):
    labels = np.random.default_rng(seed).integers(0, 4, (7, 9, 5)[:dimensions]).astype(np.uint8)
    assert np.array_equal(deformed(labels, STILL, seed, CUBE[:dimensions]), labels)


@given(st.integers(0, 2**31))
def test_values_stay_and_a_seed_decides(seed):
    labels = ball()
    one = deformed(labels, DeformationConfig(), seed, CUBE)
    assert np.array_equal(one, deformed(labels, DeformationConfig(), seed, CUBE))
    assert set(np.unique(one)) <= {0, 2}
    assert one.dtype == np.uint8
    # Nearest voxels at the poles of a ball may part from it.
    assert np.bincount(ndimage.label(one)[0].ravel())[1:].max() > 0.99 * (one > 0).sum()


def test_volumes_scale_as_drawn():
    # Per axis the logarithm of the size has the deviation .1, clipped at two: that of the volume is sqrt(3) as large.
    only = DeformationConfig(rotation=0, scale=0.1, shift=0, elastic=0)
    logs = [np.log((deformed(ball(), only, seed, CUBE) > 0).sum() / (ball() > 0).sum()) for seed in range(150)]
    clipped = 0.96  # standard deviation of a standard normal number clipped at two
    assert np.std(logs) == pytest.approx(0.1 * np.sqrt(3) * clipped, rel=0.2)
    assert abs(np.mean(logs)) < 0.04


def test_shifts_are_shares_of_the_grid():
    only = DeformationConfig(rotation=0, scale=0, shift=0.05, elastic=0)
    moved = np.array([ndimage.center_of_mass(deformed(ball(), only, seed, CUBE)) for seed in range(150)]) - 16
    assert np.abs(moved).max() <= 2 * 0.05 * 33 + 0.5
    assert moved.std() == pytest.approx(0.05 * 33 * 0.96, rel=0.2)


def test_a_slice_turns_about_its_center_alone():
    bar = np.zeros((41, 41), np.uint8)
    bar[18:23, 5:36] = 1
    only = DeformationConfig(rotation=20, scale=0, shift=0, elastic=0)
    angles = []
    for seed in range(60):
        points = np.argwhere(deformed(bar, only, seed, CUBE[:2])) - 20
        along = np.linalg.eigh(np.cov(points.T))[1][:, -1]
        angles.append(abs(np.degrees(np.arctan2(along[0], along[1])) + 90) % 180 - 90)
        assert np.abs(points.mean(0)).max() < 0.5
    assert np.max(np.abs(angles)) <= 42
    assert np.std(angles) > 5


def test_a_turn_keeps_shapes_where_voxels_are_no_cubes():
    """A ball in mm on a grid of 1 x 1 x 3 mm stays a ball; turned by indices it would become an ellipsoid."""
    mm = np.indices((41, 41, 15)) * np.array([1.0, 1.0, 3.0])[:, None, None, None] - np.array([20, 20, 21.0]).reshape(
        3, 1, 1, 1
    )
    labels = (np.sqrt((mm**2).sum(0)) <= 13).astype(np.uint8)
    only = DeformationConfig(rotation=30, scale=0, shift=0, elastic=0)
    for seed in range(20):
        turned = deformed(labels, only, seed, (1.0, 1.0, 3.0)) > 0
        assert (turned & (labels > 0)).sum() / (turned | (labels > 0)).sum() > 0.88


def test_the_record_says_what_was_drawn():
    """Growth and way of the grid, and the angle of a bar, are as recorded."""
    only = DeformationConfig(rotation=0, scale=0.1, shift=0.05, elastic=0)
    for seed in range(10):
        drawn = draw_deformation((9, 7, 5), only, seed, CUBE)
        steps = [np.diff(drawn.sources[axis], axis=axis) for axis in range(3)]
        np.testing.assert_allclose([1 / step.mean() for step in steps], drawn.record["stretch"], atol=1e-4)
        ways = [drawn.sources[axis].mean() - (n - 1) / 2 for axis, n in enumerate((9, 7, 5))]
        np.testing.assert_allclose(np.divide(ways, (9, 7, 5)), drawn.record["shift"], atol=1e-4)
        assert drawn.record["elastic"] == 0
    bar = np.zeros((41, 41), np.uint8)
    bar[18:23, 5:36] = 1
    for seed in range(8):
        drawn = draw_deformation((41, 41), DeformationConfig(rotation=20, scale=0, shift=0, elastic=0), seed, CUBE[:2])
        points = np.argwhere(drawn(bar)) - 20
        along = np.linalg.eigh(np.cov(points.T))[1][:, -1]
        angle = np.degrees(np.arctan2(along[0], along[1]))
        (recorded,) = drawn.record["rotation_degrees"]
        assert abs((angle - recorded + 90) % 180 - 90) < 1.5
