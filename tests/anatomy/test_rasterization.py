"""Masks from closed curves, against analytical disks and two libraries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path
from skimage.draw import polygon

from anatomy_slices import circle, ellipse
from medsmith.anatomy.rasterization import centroid, rasterize, signed_area


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (100, 160)])
@pytest.mark.parametrize("center", [(0.5, 0.5), (0.413, 0.577)])
def test_a_circle_gives_the_pixels_whose_centers_lie_inside(size, center):
    mask = rasterize(circle(0.3, center, 4000), size)
    assert (mask != ellipse(size, center, (0.3, 0.3))).sum() <= 2  # centers within 2e-7 of the edge
    x, y = np.nonzero(mask)
    middle = (x.mean() + 0.5) / size[0], (y.mean() + 0.5) / size[1]
    assert middle == pytest.approx(center, abs=0.1 / min(size))


def test_whole_pixels_are_found_again():
    square = np.array([[2, 3], [5, 3], [5, 9], [2, 9]]) / 10
    expected = np.zeros((10, 10), bool)
    expected[2:5, 3:9] = True
    assert np.array_equal(rasterize(square, (10, 10)), expected)


def polygons():
    coordinate = st.floats(-0.4, 1.4, allow_nan=False)
    return st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=30).map(np.array)


@given(curve=polygons(), size=st.tuples(st.integers(8, 40), st.integers(8, 40)))
@settings(max_examples=60, deadline=None)
def test_other_libraries_find_the_same_pixels(curve, size):
    curve = curve + np.random.default_rng(len(curve)).uniform(0, 1e-3, curve.shape)  # no center on an edge
    mask = rasterize(curve, size)
    x, y = (curve * size - 0.5).T
    expected = np.zeros(size, bool)
    expected[polygon(x, y, size)] = True
    assert np.array_equal(mask, expected)


@given(turn=st.floats(0, 6.3), lobes=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_matplotlib_finds_the_same_pixels(turn, lobes):
    angle = np.arange(200) * 2 * np.pi / 200
    radius = 0.3 + 0.1 * np.sin(lobes * angle + turn)
    curve = np.stack([0.5 + radius * np.cos(angle), 0.48 + radius * np.sin(angle)], axis=1)
    grid = (np.stack(np.meshgrid(np.arange(50), np.arange(60), indexing="ij"), axis=-1) + 0.5) / (50, 60)
    inside = Path(curve).contains_points(grid.reshape(-1, 2)).reshape(50, 60)
    assert np.array_equal(rasterize(curve, (50, 60)), inside)


def test_area_and_centroid_of_a_circle():
    curve = circle(0.25, (0.4, 0.6), 4000)
    assert signed_area(curve) == pytest.approx(np.pi * 0.25**2, rel=1e-6)
    assert signed_area(curve[::-1]) == pytest.approx(-np.pi * 0.25**2, rel=1e-6)
    assert centroid(curve) == pytest.approx((0.4, 0.6), abs=1e-9)
    assert centroid(np.full((5, 2), 0.3)) == pytest.approx((0.3, 0.3))
