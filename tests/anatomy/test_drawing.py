"""Scores, patterns and verdicts."""

import numpy as np
import pytest
from scipy.stats import kstest, truncnorm

from anatomy_slices import circle
from medsmith.anatomy.drawing import Draw, Verdict, decode, draw_contours, draw_slots, judge, truncated_normal
from medsmith.anatomy.record import SpaceArrays
from medsmith.anatomy.splines import control_points


def test_scores_are_those_of_scipy_and_have_the_moments_of_the_truncated_normal():
    uniform = np.random.default_rng(0).random(20000)
    scores = truncated_normal(uniform, 2.0)
    np.testing.assert_allclose(scores, truncnorm.ppf(uniform, -2, 2), atol=1e-9)
    assert np.abs(scores).max() <= 2
    assert scores.mean() == pytest.approx(0, abs=0.02)
    assert scores.var() == pytest.approx(0.7737, abs=0.02)
    assert np.array_equal(truncated_normal(uniform, 0.0), np.zeros(20000))


def arrays_of(components):
    """A circle that components change."""
    slots = components.shape[1]
    mean = np.stack([control_points(circle(0.2), 16)] * slots)
    free = np.zeros((slots, slots)), np.ones((slots, slots)), np.zeros(slots), np.zeros((slots, slots))
    return SpaceArrays(mean, components, *free)


def test_drawn_contours_have_the_covariance_of_the_components():
    components = np.random.default_rng(1).normal(0, 0.01, (2, 1, 16, 2))
    arrays, rng = arrays_of(components), np.random.Generator(np.random.PCG64(3))
    draws = np.stack([draw_contours(arrays, np.array([0]), rng, 2.0).control.ravel() for _ in range(4000)])
    flat = components.reshape(2, -1)
    expected = 0.7737 * flat.T @ flat
    assert np.abs(np.cov(draws.T) - expected).max() < 0.06 * np.abs(expected).max()
    np.testing.assert_allclose(draws.mean(axis=0), arrays.mean.ravel(), atol=0.001)
    scores = np.linalg.lstsq(flat.T, (draws - arrays.mean.ravel()).T, rcond=None)[0]
    assert kstest(scores[0], truncnorm(-2, 2).cdf).pvalue > 0.01
    assert abs(np.corrcoef(scores)[0, 1]) < 0.05


def test_structures_are_drawn_as_often_as_they_were_seen(space):
    rng = np.random.Generator(np.random.PCG64(0))
    drawn = [tuple(draw_slots(space.record.patterns, rng).tolist()) for _ in range(2000)]
    for pattern in space.record.patterns:
        share = pattern.slices / space.record.cases
        assert drawn.count(pattern.slots) / 2000 == pytest.approx(share, abs=0.04)


def test_a_crossing_contour_is_judged_before_overlaps():
    arrays = arrays_of(np.zeros((0, 1, 16, 2)))
    angle = np.arange(16) * 2 * np.pi / 16
    eight = np.stack([0.5 + 0.2 * np.sin(angle), 0.5 + 0.2 * np.sin(2 * angle)], axis=1)
    assert judge(arrays, Draw(np.array([0]), eight[None])) is Verdict.CROSSING
    assert judge(arrays, decode(arrays, np.array([0]), np.zeros(0))) is Verdict.LEGAL
    assert judge(arrays, Draw(np.zeros(0, np.int64), np.zeros((0, 16, 2)))) is Verdict.LEGAL


def test_the_mean_moves_along_the_components():
    components = np.random.default_rng(1).normal(0, 0.01, (2, 2, 16, 2))
    arrays = arrays_of(components)
    moved = decode(arrays, np.array([1]), np.array([1.0, -2.0]))
    np.testing.assert_allclose(moved.control[0], arrays.mean[1] + components[0, 1] - 2 * components[1, 1])
