"""Space and bodies of the CT phantoms against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from scipy.stats import normaltest

from medsmith.phantoms.solids import Tubes, ellipsoid, smooth_curve, smooth_minimum, within_smoothly, without
from medsmith.phantoms.space import Grid, Warp, cover, sample_displacement, sample_warp, spline_matrix, stream
from medsmith.phantoms.tissue import scanner_noise, smooth_noise
from medsmith.phantoms.trees import grown_tree

STILL = Warp((1.0, 1.0, 1.0), (sample_displacement(np.random.default_rng(0), 48.0, 0.0),))
"""Anatomical positions are patient positions."""


@pytest.fixture(scope="module")
def warp() -> Warp:
    return sample_warp(11)


def still_grid(low: float, high: float, spacing: float) -> Grid:
    return Grid.around(STILL, np.full(3, float(low)), np.full(3, float(high)), spacing)


def test_splines_are_those_of_another_library() -> None:
    positions = np.linspace(10.0, 40.0, 37)
    coefficients = np.random.default_rng(0).normal(size=12)
    ours = spline_matrix(positions, 2.0, 5.0, 12) @ coefficients.astype(np.float32)
    knots = 2.0 + 5.0 * np.arange(-2, 14)
    np.testing.assert_allclose(ours, BSpline(knots, coefficients, 3)(positions), atol=1e-5)


@given(st.lists(st.tuples(*[st.floats(-120, 120)] * 3), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None)
def test_the_warp_is_undone(points: list[tuple[float, float, float]]) -> None:
    warp = sample_warp(11)
    anatomical = np.array(points)
    patient = warp.back(anatomical)
    for own, wanted in zip(patient, anatomical, strict=True):
        found = warp.on(tuple(np.array([value]) for value in own))[:, 0, 0, 0]
        np.testing.assert_allclose(found, wanted, atol=0.3)


def test_the_warp_is_smooth_and_never_folds(warp: Warp) -> None:
    grid = Grid.over(warp, np.full(3, -60.0), (40, 40, 40), 3.0)
    for axis in range(3):
        along = np.diff(grid.anatomical[axis], axis=axis) / 3.0
        assert along.min() > 0.35
        assert along.max() < 1.9


def test_streams_differ_by_name_and_seed() -> None:
    draws = {(seed, name): stream(seed, name).uniform() for seed in (0, 1) for name in ("liver", "spleen")}
    assert len(set(draws.values())) == 4
    assert stream(1, "liver").uniform() == draws[1, "liver"]


def test_a_part_of_a_grid_holds_the_centers_in_the_box(warp: Warp) -> None:
    grid = Grid.over(warp, np.array([-7.0, 3.0, 10.0]), (20, 15, 12), 1.5)
    low, high = np.array([-2.2, 5.0, 0.0]), np.array([6.1, 9.4, 14.0])
    part = grid.part(low, high)
    assert part is not None
    for axis, cut, start, stop in zip(grid.axes, part, low, high, strict=True):
        inside = (axis >= start) & (axis <= stop)
        np.testing.assert_array_equal(np.flatnonzero(inside), np.arange(axis.size)[cut])
    assert grid.part(np.full(3, 500.0), np.full(3, 600.0)) is None
    inner = grid.crop(part)
    np.testing.assert_array_equal(inner.anatomical, grid.anatomical[(slice(None), *part)])


@given(st.lists(st.tuples(*[st.floats(-20, 40)] * 6), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_parts_of_many_boxes_are_those_of_each(boxes: list[tuple[float, ...]]) -> None:
    grid = Grid.over(STILL, np.array([-7.0, 3.0, 10.0]), (12, 9, 1), 1.5)
    corners = np.array(boxes).reshape(-1, 2, 3)
    lows, highs = corners.min(axis=1), corners.max(axis=1)
    expected = {index: grid.part(lows[index], highs[index]) for index in range(len(boxes))}
    assert dict(grid.parts(lows, highs)) == {index: part for index, part in expected.items() if part is not None}


def test_shared_fields_are_computed_once_and_cropped(warp: Warp) -> None:
    grid = Grid.over(warp, np.zeros(3), (8, 8, 8), 2.0)
    calls = []

    def compute(whole: Grid) -> np.ndarray:
        calls.append(whole.shape)
        return whole.anatomical[0]

    part = (slice(2, 6), slice(1, 5), slice(0, 8))
    nested = grid.crop(part).crop((slice(1, 3), slice(0, 2), slice(3, 8)))
    np.testing.assert_array_equal(nested.once("x", compute), grid.anatomical[0][3:5, 1:3, 3:8])
    assert grid.once("x", compute).shape == grid.shape
    assert calls == [(8, 8, 8)]


def test_an_ellipsoid_has_its_volume_and_bounds(warp: Warp) -> None:
    solid = ellipsoid(warp, (20, 10, 5), (12, 16, 20), (25, 15))
    grid = Grid.around(warp, solid.low, solid.high, 1.0)
    inside = solid.distance(grid) <= 0
    assert inside.sum() == pytest.approx(4 / 3 * np.pi * 12 * 16 * 20 * np.prod(warp.scale), rel=0.12)
    assert not any(np.take(inside, end, axis).any() for axis in range(3) for end in (0, -1))


def test_distances_of_balls_and_cones_are_exact() -> None:
    grid = still_grid(-16, 16, 1.0)
    x, y, z = grid.anatomical
    radius = np.sqrt(x**2 + y**2 + z**2)
    ball = ellipsoid(STILL, (0, 0, 0), (9, 9, 9))
    assert np.abs(ball.distance(grid) - (radius - 9))[radius > 2].max() < 1e-3
    tubes = Tubes(np.array([[0.0, 0, -8]]), np.array([[0.0, 0, 8]]), np.array([[3.0, 5.0]]))
    found, which = tubes.nearest(grid, 30.0)
    middle = np.abs(z) < 7.9
    exact = np.sqrt(x**2 + y**2) - (4 + z / 8)
    np.testing.assert_allclose(found[middle], exact[middle], atol=1e-3)
    assert not which.any()


def test_the_nearest_of_several_tubes_is_named() -> None:
    grid = still_grid(-10, 10, 1.0)
    starts = np.array([[-5.0, 0, -9], [5.0, 0, -9]])
    tubes = Tubes(starts, starts + np.array([0, 0, 18]), np.full((2, 2), 2.0))
    found, which = tubes.nearest(grid, 30.0)
    assert (which[grid.anatomical[0] < -0.5] == 0).all()
    assert (which[grid.anatomical[0] > 0.5] == 1).all()
    assert found.min() == pytest.approx(-2, abs=0.8)


def test_bodies_are_cut_sharply_and_smoothly() -> None:
    grid = still_grid(-12, 12, 1.0)
    ball = ellipsoid(STILL, (0, 0, 0), (9, 9, 9))

    def upper(own: Grid) -> np.ndarray:
        return -own.anatomical[2]

    inside = ball.distance(grid) <= 0
    above = grid.anatomical[2] > 0
    np.testing.assert_array_equal(without(ball, upper).distance(grid) < 0, inside & ~above & (ball.distance(grid) < 0))
    rounded = within_smoothly(ball, upper, 6.0).distance(grid) <= 0
    assert not (rounded & ~(inside & above)).any()
    assert 0.6 < rounded.sum() / (inside & above).sum() < 0.95


def test_curves_pass_through_their_points_and_keep_their_step() -> None:
    points = [(0, 0, 0), (10, 0, 0), (20, 8, 0)]
    curve, radii = smooth_curve(points, (2, 3, 4), 2.0)
    np.testing.assert_allclose(curve[[0, -1]], np.array(points)[[0, -1]], atol=1e-9)
    steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    assert 1.4 < steps.min() <= steps.max() < 2.6
    assert (radii[0, 0], radii[-1, 0]) == (2, 4)


def test_a_tree_reaches_every_target_and_thins_towards_its_ends() -> None:
    rng = np.random.default_rng(4)
    targets = rng.uniform(-30, 30, (60, 3))
    starts, ends, radii = grown_tree(rng, (0, 0, -40), targets, 0.7)
    for target in targets:
        assert np.linalg.norm(ends - target, axis=1).min() == 0
    reached = {tuple(end) for end in ends} | {(0.0, 0.0, -40.0)}
    assert all(tuple(start) in reached for start in starts)
    assert radii.min() == pytest.approx(0.7)
    at_root = (starts == (0, 0, -40)).all(axis=1)
    assert radii[at_root].max() > 2.0
    children = {tuple(start): 0.0 for start in starts}
    for start, (_first, own) in zip(starts, radii, strict=True):
        children[tuple(start)] += own**2.7
    for end, (_first, own) in zip(ends, radii, strict=True):
        if tuple(end) in children:
            assert own**2.7 == pytest.approx(children[tuple(end)] + 0.7**2.7)


def test_a_direct_tree_has_shorter_ways_to_its_ends() -> None:
    targets = np.random.default_rng(3).uniform(-30, 30, (80, 3))
    longest = []
    for directness in (0.0, 0.7):
        starts, ends, _radii = grown_tree(np.random.default_rng(4), (0, 0, -40), targets, 0.7, 2.7, directness)
        ways = {(0.0, 0.0, -40.0): 0.0}
        for start, end in zip(starts, ends, strict=True):
            ways[tuple(end)] = ways[tuple(start)] + float(np.linalg.norm(end - start))
        straight = np.linalg.norm(targets - (0, 0, -40), axis=1)
        longest.append(np.mean([ways[tuple(target)] for target in targets] / straight))
    assert 1 <= longest[1] < 0.85 * longest[0]


def test_a_smooth_minimum_is_the_minimum_away_from_the_seam() -> None:
    first = np.linspace(-10, 10, 81, dtype=np.float32).reshape(-1, 1, 1)
    second = np.full_like(first, 1.0)
    smooth, least = smooth_minimum(first, second, 4.0), np.minimum(first, second)
    apart = np.abs(first - second) >= 4
    np.testing.assert_array_equal(smooth[apart], least[apart])
    assert (smooth <= least).all()
    assert (least - smooth).max() == pytest.approx(1.0)


def test_noise_of_a_slice_has_unit_variance_and_is_the_same_at_every_size() -> None:
    low = np.zeros(3)
    fine, coarse = (Grid.over(STILL, low, (size, size, 1), 128 / size) for size in (192, 64))
    fields = [smooth_noise(np.random.default_rng(2), grid, low, (2.0, 2.0)) for grid in (fine, coarse)]
    assert fields[0].shape == (192, 192, 1)
    assert fields[0].std() == pytest.approx(1, rel=0.05)
    np.testing.assert_allclose(fields[0][1::3, 1::3], fields[1], atol=1e-4)


@pytest.mark.parametrize("size", [48, 96])
def test_noise_has_its_standard_deviation_and_grain(size: int) -> None:
    low = np.zeros(3)
    grid = Grid.over(STILL, low, (size, size, 16), 128 / size)
    noise = scanner_noise(np.random.default_rng(2), grid, low, 15.0)
    assert noise.std() == pytest.approx(15, rel=0.03)
    assert normaltest(noise[::4, ::4, ::4].ravel()).pvalue > 1e-4
    nearby = np.mean(noise[1:] * noise[:-1]) / noise.var()
    assert nearby > 0.2 if size == 96 else nearby < 0.2


def test_noise_is_the_same_field_at_every_size() -> None:
    low = np.zeros(3)
    fine = Grid.over(STILL, low, (96, 96, 9), 128 / 96)
    coarse = Grid.over(STILL, low, (32, 32, 3), 4.0)
    fields = [smooth_noise(np.random.default_rng(2), grid, low, (4.0, 4.0, 4.0)) for grid in (fine, coarse)]
    np.testing.assert_allclose(fields[0][1::3, 1::3, 1::3], fields[1], atol=1e-4)


def test_cover_is_one_half_on_the_surface_and_monotone() -> None:
    share = cover(np.linspace(-3, 3, 61, dtype=np.float32).reshape(61, 1, 1), 2.0)[:, 0, 0]
    assert share[30] == pytest.approx(0.5)
    assert (share[0], share[-1]) == (1, 0)
    assert (np.diff(share) <= 0).all()
    np.testing.assert_allclose(share + share[::-1], 1, atol=1e-6)
