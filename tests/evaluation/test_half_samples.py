"""Intervals of distances: closed forms, published values, and how often they hold the true value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.comparison import ComparisonPlan, compare
from medsmith.evaluation.fidelity.coverage import COVERAGE, DENSITY
from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.half_samples import (
    SHARE,
    Jackknifed,
    Spread,
    correlation_of,
    interval_of,
    interval_of_difference,
    spreads,
)
from medsmith.evaluation.fidelity.kernel import GAUSSIAN, KID

ENDLESS = (-np.inf, np.inf)
MANY, TRIALS = 10**7, 200


def of_halves(jackknife_of_halves, *, of_equal=False):
    """Statistics of 1 and -1 on two halves, whose unbiased variance is 2; the jackknife at n is 1."""
    halves = Jackknifed(np.array([[1.0], [-1.0]]), np.array(jackknife_of_halves)[:, None])
    (spread,) = spreads(Jackknifed(np.zeros((1, 1)), np.ones((1, 1))), halves, 20, of_equal=(of_equal,))
    return spread


@pytest.mark.parametrize(
    ("jackknife", "variance"),
    [
        (2.0, 1.0),  # of first order alone
        (3.0, 0.75),  # at half the size as much of second order, which falls to a quarter of 1 while the first halves
        (4.0, 0.5),  # of second order alone
        (8.0, 0.25),  # of higher orders
        (1.6, 1.1),  # noise, which has to even out
    ],
)
def test_the_variance_is_the_jackknife_without_what_it_counts_twice(jackknife, variance):
    assert of_halves([jackknife, jackknife]).variance == pytest.approx(variance)


def test_a_variance_that_grows_with_the_distance_has_its_slope():
    # From 1 to 5 over 2 units of the distance at n / 2, and half as much at n. Of equal distributions V is 3/4 of it.
    assert of_halves([5.0, 1.0]).slope == pytest.approx(1)
    assert of_halves([5.0, 1.0], of_equal=True).slope == pytest.approx(0.75)
    assert of_halves([1.0, 5.0]).slope == 0


def test_without_halves_the_jackknife_stays():
    found = Jackknifed(np.zeros((1, 2)), np.array([[2.0, 3.0]]))
    assert spreads(found, None, 20, of_equal=(False, True)) == [Spread(2.0, 0.0, 20.0), Spread(3.0, 0.0, 20.0)]


@given(st.floats(0.5, 9), st.floats(0.001, 0.05))
def test_an_interval_is_symmetric_on_the_scale_on_which_the_variance_is_constant(value, slope):
    # The variance of a value that is proportional to it: the square root has a constant one.
    found = interval_of(value, Spread(slope * value, slope, MANY), MANY, ENDLESS)
    expected = np.sqrt(value) + stats.norm.ppf([0.025, 0.975]) * np.sqrt(slope) / 2
    assert (found.low, found.high) == pytest.approx(tuple(expected**2), rel=1e-6)


@given(st.floats(-5, 5), st.floats(0, 9), st.floats(-99, 99), st.integers(2, 200))
def test_no_slope_moves_an_interval_off_its_value(value, variance, slope, n):
    found = interval_of(value, Spread(variance, slope, n), n, ENDLESS)
    assert found.low <= found.value <= found.high
    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, n // 2) * np.sqrt(variance), abs=1e-9)


def wilson(hits, n):
    """By scipy, with the normal quantile that Student's is for many cases."""
    ends = stats.binomtest(hits, n).proportion_ci(method="wilson")
    return Estimate(hits / n, ends.low, ends.high, MANY, "Wilson")


def test_a_share_has_wilsons_interval():
    found, expected = interval_of(0.3, Spread(0.0, 0.0, 40.0), MANY, SHARE), wilson(12, 40)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)
    of_one_kind = interval_of(1.0, Spread(0.0, 0.0, 20.0), 20, SHARE)
    assert (of_one_kind.value, of_one_kind.high) == (1, 1)
    assert 0.7 < of_one_kind.low < 0.9


@pytest.mark.parametrize(
    ("first", "second", "low", "high"), [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090)]
)
def test_a_difference_of_shares_has_the_published_interval(first, second, low, high):
    """Newcombe 1998, Statistics in Medicine 17: 873-890, table II, method 10, examples (a) and (b)."""
    found = interval_of_difference(wilson(*first), wilson(*second), Spread(9.0, 9.0, 9.0), 0.0, SHARE)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_a_difference_of_correlated_estimates_is_narrower():
    assert correlation_of(4.0, 9.0, 13.0) == 0
    assert correlation_of(4.0, 9.0, 1.0) == 1
    assert correlation_of(4.0, 9.0, 25.0) == -1
    assert correlation_of(0.0, 9.0, 9.0) == 0
    alone, paired = (
        interval_of_difference(wilson(56, 70), wilson(48, 70), Spread(0.0, 0.0, 0.0), correlation, SHARE)
        for correlation in (0.0, 0.6)
    )
    assert alone.low < paired.low < paired.high < alone.high
    same = interval_of_difference(wilson(35, 70), wilson(35, 70), Spread(0.0, 0.0, 0.0), 1.0, SHARE)
    assert (same.low, same.high) == pytest.approx((0, 0), abs=1e-9)


@pytest.mark.parametrize("distance", [FRECHET, KID, GAUSSIAN, DENSITY, COVERAGE], ids=lambda d: d.name)
def test_intervals_of_a_distance_hold_its_mean_at_that_size(distance):
    # benchmarks/core/interval_coverage.py has more cells; 200 trials have a standard error of 1.5 points.
    z = np.random.default_rng(0).standard_normal((TRIALS, 36, 6))
    z[:, 24:] += 0.5
    found = [compare(distance, each[:24], each[24:], ComparisonPlan(splits=2)) for each in z]
    for part in ("synthetic", "excess", "whole"):
        estimates = [getattr(each, part) for each in found]
        truth = np.mean([estimate.value for estimate in estimates])
        above = np.mean([truth > estimate.high for estimate in estimates])
        below = np.mean([truth < estimate.low for estimate in estimates])
        assert 0.005 <= above + below <= 0.095
        # An interval of equal arms about a skewed distance misses on one side alone: 10 % here, of KID.
        assert max(above, below) <= 0.07
