"""Random fields, outlines and the picture of speckle, against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.phantoms.breast.ultrasound import Probe, b_mode
from medsmith.phantoms.fields import (
    DEPTH_MM,
    LATERAL_MM,
    NATIVE,
    NATIVE_MM,
    area_average,
    ridges,
    smooth_field,
    smooth_line,
    step_below,
)
from medsmith.phantoms.outline import ANGLES, Outline, signed_distance

WIDE = Probe(range_db=120.0, floor_db=-300.0)
"""No echo is clipped."""


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize(("depth_mm", "lateral_mm"), [(0.5, 1.5), (2.0, 7.0), (12.0, 12.0)])
def test_smooth_fields_have_unit_variance_at_every_pixel(depth_mm: float, lateral_mm: float) -> None:
    rng = generator()
    corner = np.stack([smooth_field(rng, depth_mm, lateral_mm)[::85, ::85] for _ in range(600)])
    np.testing.assert_allclose(corner.mean(axis=0), 0, atol=5 / np.sqrt(600))
    np.testing.assert_allclose(corner.std(axis=0), 1, atol=5 / np.sqrt(1200))


def test_a_smooth_field_varies_over_its_knot_distance_along_each_axis() -> None:
    field = smooth_field(generator(), 1.0, 8.0)
    down, across = (np.abs(np.diff(field, axis=axis)).mean() for axis in (0, 1))
    assert down / across == pytest.approx(8, rel=0.3)


def test_smooth_lines_have_unit_variance() -> None:
    rng = generator(1)
    lines = np.stack([smooth_line(rng, 4.0) for _ in range(600)])
    np.testing.assert_allclose(lines.std(axis=0)[::50], 1, atol=5 / np.sqrt(1200))


@pytest.mark.parametrize("tilt", [0.0, 0.6, 1.2])
def test_ridges_have_the_stated_width_and_fall_with_the_angle_to_the_beam(tilt: float) -> None:
    plane = 3.7 * ((DEPTH_MM - 19.2) * np.cos(tilt) + (LATERAL_MM - 19.2) * np.sin(tilt))
    profile = ridges(plane, 0.5)
    expected = np.exp(-0.5 * (plane / 3.7 / 0.5) ** 2) * np.cos(tilt) ** 2
    np.testing.assert_allclose(profile, expected, atol=1e-5)


def test_a_step_runs_from_0_above_to_1_below() -> None:
    step = step_below(np.full(NATIVE, 10.0), 0.6)
    assert step[0, 0] == pytest.approx(0, abs=1e-9)
    assert step[-1, 0] == pytest.approx(1, abs=1e-9)
    assert np.interp(10.0, DEPTH_MM[:, 0], step[:, 0]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_area_average_is_the_block_mean_where_the_size_divides_the_grid(size: int) -> None:
    field, edge = generator().normal(size=(NATIVE, NATIVE)), NATIVE // size
    blocks = field.reshape(size, edge, size, edge).mean(axis=(1, 3))
    np.testing.assert_allclose(area_average(field, size), blocks, atol=1e-12)


@given(size=st.integers(32, 256))
@settings(max_examples=30, deadline=None)
def test_area_average_keeps_the_mean_and_a_slope_at_every_size(size: int) -> None:
    field = generator(size).normal(size=(NATIVE, NATIVE))
    assert area_average(field, size).mean() == pytest.approx(field.mean(), abs=1e-10)
    slope = area_average(np.broadcast_to(LATERAL_MM, (NATIVE, NATIVE)).copy(), size)
    np.testing.assert_allclose(slope[0], (np.arange(size) + 0.5) * 38.4 / size, atol=NATIVE_MM / 2)


def test_a_circle_is_measured_exactly() -> None:
    circle = Outline(np.full(ANGLES.size, 5.0), (12.0, 20.0))
    assert circle.area_mm2 == pytest.approx(np.pi * 25, rel=1e-4)
    assert circle.circularity == pytest.approx(1, abs=1e-4)
    assert circle.solidity == pytest.approx(1, abs=1e-9)
    assert circle.longest_diameter_mm == pytest.approx(10, rel=1e-4)


def test_an_ellipse_is_measured_exactly() -> None:
    ellipse = Outline(1 / np.hypot(np.cos(ANGLES) / 8, np.sin(ANGLES) / 2))
    assert ellipse.area_mm2 == pytest.approx(np.pi * 16, rel=1e-3)
    assert ellipse.longest_diameter_mm == pytest.approx(16, rel=1e-3)
    assert ellipse.circularity == pytest.approx(4 * np.pi * np.pi * 16 / 34.3136**2, rel=2e-3)


def test_a_star_is_not_solid() -> None:
    star = Outline(5 + 2 * np.cos(5 * ANGLES))
    assert star.area_mm2 == pytest.approx(np.pi * (25 + 2), rel=1e-3)
    assert star.solidity < 0.85


def test_an_outline_contains_what_lies_inside_and_distance_is_signed() -> None:
    coverage = Outline(np.full(ANGLES.size, 6.0), (15.0, 22.0)).coverage()
    from_center = np.hypot(LATERAL_MM - 15.0, DEPTH_MM - 22.0)
    inside = coverage > 0.5
    np.testing.assert_array_equal(inside, from_center < 6.0)
    np.testing.assert_allclose(signed_distance(inside), from_center - 6.0, atol=NATIVE_MM)


@pytest.mark.parametrize("looks", [1, 3])
def test_speckle_of_uniform_tissue_is_fully_developed(looks: int) -> None:
    """One look's intensity is exponential (contrast 1, mean of the squared amplitude); looks divide its variance."""
    intensity = _intensity(-20.0, looks, seeds=4)
    assert intensity.mean() == pytest.approx(10**-2, rel=0.02)
    assert intensity.std() / intensity.mean() == pytest.approx(1 / np.sqrt(looks), rel=0.02)


def test_the_envelope_of_one_look_is_rayleigh() -> None:
    envelope = np.sqrt(_intensity(-20.0, 1, seeds=4))
    assert envelope.mean() / envelope.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.02)
    quantiles = np.quantile(envelope**2 / 10**-2, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(quantiles, -np.log([0.9, 0.5, 0.1]), rtol=0.04)


def test_brightness_does_not_depend_on_the_width_of_the_beam() -> None:
    bands = _intensity(-20.0, 3, seeds=4).reshape(4, 8, -1).mean(axis=(0, 2))
    np.testing.assert_allclose(bands, 10**-2, rtol=0.03)


def test_coverage_adds_up_to_the_area_of_a_rough_outline() -> None:
    outline = Outline(4 + 0.8 * np.cos(7 * ANGLES), (15.03, 22.11))
    assert outline.coverage().sum() * NATIVE_MM**2 == pytest.approx(outline.area_mm2, rel=1e-3)


def test_speckle_is_fine_along_depth_and_coarser_away_from_the_focus() -> None:
    flat = np.zeros((NATIVE, NATIVE))
    level = b_mode(flat - 60, flat, WIDE, generator())
    focus, far = level[85:115], level[226:256]
    assert _correlation(focus, axis=0) < _correlation(focus, axis=1) < _correlation(far, axis=1)
    assert _correlation(far, axis=0) == pytest.approx(_correlation(focus, axis=0), abs=0.1)


def test_gain_moves_the_picture_by_its_decibels_and_never_out_of_range() -> None:
    flat = np.full((NATIVE, NATIVE), -60.0)
    quiet = b_mode(flat, np.zeros_like(flat), WIDE, generator())
    loud = b_mode(flat, np.full_like(flat, 12.0), WIDE, generator())
    np.testing.assert_allclose(loud - quiet, 255 * 12 / 120, atol=1e-3)
    for gain in (-200.0, 200.0):
        extreme = b_mode(flat, np.full_like(flat, gain), Probe(), generator())
        assert extreme.min() >= 0
        assert extreme.max() <= 255


def _intensity(echo_db: float, looks: int, seeds: int) -> np.ndarray:
    """Received intensity (seeds h w) of uniform tissue, away from the picture's edges."""
    flat = np.full((NATIVE, NATIVE), echo_db)
    probe = Probe(looks=looks, range_db=400.0, floor_db=-300.0)
    gray = np.stack([b_mode(flat, np.zeros_like(flat), probe, generator(seed)) for seed in range(seeds)])
    return 10 ** ((gray[:, 12:-12, 12:-12] / 255 - 1) * 400.0 / 10)


def _correlation(field: np.ndarray, axis: int, pixels: int = 2) -> float:
    """Correlation of the field with itself moved by some pixels along one axis."""
    moved = np.moveaxis(field, axis, 0)
    return float(np.corrcoef(moved[:-pixels].ravel(), moved[pixels:].ravel())[0, 1])


def test_the_distance_to_a_circle_is_exact() -> None:
    circle = Outline(np.full(ANGLES.size, 6.0), (15.0, 22.0))
    rng = np.random.default_rng(0)
    lateral, depth = rng.uniform(0, 40, (2, 50))
    np.testing.assert_allclose(circle.distance(lateral, depth), np.hypot(lateral - 15, depth - 22) - 6, atol=1e-9)


def test_the_distance_to_an_ellipse_is_that_to_its_nearest_point_close_to_the_edge() -> None:
    ellipse = Outline(1 / np.hypot(np.cos(ANGLES) / 8, np.sin(ANGLES) / 5))
    normals = np.stack([ellipse.points[:, 0] / 64, ellipse.points[:, 1] / 25], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    for off in (-0.3, 0.3):
        lateral, depth = (ellipse.points + off * normals).T
        np.testing.assert_allclose(ellipse.distance(lateral, depth), off, atol=0.03)
