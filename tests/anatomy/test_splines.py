"""Closed cubic B-splines: closed forms, and SciPy's periodic splines."""

import numpy as np
import pytest
from scipy.interpolate import make_interp_spline

from anatomy_slices import circle
from medsmith.anatomy.rasterization import signed_area
from medsmith.anatomy.splines import basis, control_points, curve_points


@pytest.mark.parametrize(("points", "along"), [(8, 64), (48, 384), (11, 50)])
def test_the_splines_are_a_partition_of_unity_without_a_seam(points, along):
    rows = basis(points, along)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-12)
    shifted = basis(points, points)
    for index in range(points):
        np.testing.assert_allclose(np.roll(shifted[0], index), shifted[index], atol=1e-12)
    np.testing.assert_allclose(np.sort(shifted[0])[-3:], [1 / 6, 1 / 6, 2 / 3], atol=1e-12)


def test_a_circle_keeps_area_and_perimeter():
    curve = curve_points(control_points(circle(0.3), 48), 2000)
    assert signed_area(curve) == pytest.approx(np.pi * 0.09, rel=1e-4)
    steps = np.linalg.norm(np.roll(curve, -1, axis=0) - curve, axis=1)
    assert steps.sum() == pytest.approx(2 * np.pi * 0.3, rel=1e-4)
    assert np.linalg.norm(curve - 0.5, axis=1) == pytest.approx(0.3, abs=1e-5)


def test_scipy_draws_the_same_curve():
    control = np.random.default_rng(0).random((12, 2))
    knots = curve_points(control, 12)
    spline = make_interp_spline(np.arange(13), np.concatenate([knots, knots[:1]]), k=3, bc_type="periodic")
    np.testing.assert_allclose(curve_points(control, 120), spline(np.arange(120) / 10), atol=1e-9)


def test_control_points_of_a_spline_are_found_again():
    control = np.random.default_rng(1).random((48, 2))
    np.testing.assert_allclose(control_points(curve_points(control, 384), 48), control, atol=1e-10)
    many = np.random.default_rng(2).random((3, 48, 2))
    np.testing.assert_array_equal(curve_points(many, 96)[1], curve_points(many[1], 96))
