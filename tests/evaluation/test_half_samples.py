"""Intervals of distances: closed forms, published values, and how often they hold the true value."""

from math import comb

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
    Jackknifed,
    Spread,
    correlation_of,
    freedom_of,
    interval_of,
    interval_of_difference,
    spreads,
    spreads_of_largest,
)
from medsmith.evaluation.fidelity.kernel import GAUSSIAN, KID
from medsmith.evaluation.fidelity.masks import KOLMOGOROV_SMIRNOV
from medsmith.evaluation.fidelity.statistic import Kind

ENDLESS, UNIT, KNOWN = (-np.inf, np.inf), (0.0, 1.0), np.inf
MANY, TRIALS = 10**7, 200


def jackknifed(values, variances, freedom=KNOWN):
    """Of one part, for several pairs of cohorts."""
    values, variances = np.array(values)[:, None], np.array(variances)[:, None]
    return Jackknifed(values, variances, np.full_like(values, freedom))


def of_halves(jackknife_of_halves, *, of_equal=False):
    """Statistics of 1 and -1 on two halves, whose unbiased variance is 2; the jackknife at n is 1."""
    halves = jackknifed([1.0, -1.0], jackknife_of_halves)
    (spread,) = spreads(jackknifed([0.0], [1.0]), halves, 20, of_equal=(of_equal,))
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
    found = Jackknifed(np.zeros((1, 2)), np.array([[2.0, 3.0]]), np.array([[4.0, 5.0]]))
    assert spreads(found, None, 20, of_equal=(False, True)) == [
        Spread(2.0, 0.0, 4.0, 20.0),
        Spread(3.0, 0.0, 5.0, 20.0),
    ]


def test_the_degrees_of_freedom_of_a_sum_of_squares():
    # 2 / (84 / 12^2 - 1 / 4); squares of normal values have as many as there are values.
    assert freedom_of(np.array([1.0, -1.0, 1.0, -3.0])) == pytest.approx(6)
    assert freedom_of(np.random.default_rng(0).standard_normal(100_000)) == pytest.approx(100_000, rel=0.03)
    assert np.isinf(freedom_of(np.array([[2.0, -2.0, 2.0], [0.0, 0.0, 0.0]]))).all()


@given(st.lists(st.floats(-1e3, 1e3).filter(lambda each: abs(each) > 1e-3), min_size=2, max_size=30))
def test_a_sum_of_squares_has_at_least_two_degrees_of_freedom(moved):
    alone = freedom_of(np.array(moved))
    assert alone >= 2
    # A case that plays no part changes nothing.
    assert freedom_of(np.array([*moved, 0.0])) == pytest.approx(alone)


def test_few_degrees_of_freedom_widen_an_interval():
    found = interval_of(0.0, Spread(1.0, 0.0, 3.0, 40.0), 40, ENDLESS, Kind.SMOOTH)
    assert found.high == -found.low == pytest.approx(3.1824, abs=1e-4)
    same = interval_of_difference(found, found, Spread(1.0, 0.0, 3.0, 40.0), 0.0, Kind.SMOOTH)
    assert (same.low, same.high) == (found.low, found.high)
    halves_limit_them = interval_of(0.0, Spread(1.0, 0.0, 1e6, 40.0), 40, ENDLESS, Kind.SMOOTH)
    assert halves_limit_them.high == pytest.approx(stats.t.ppf(0.975, 20))


def test_the_variance_of_a_largest_difference_is_that_of_halves_or_of_exchanges():
    # Halves of 1 and -1 have a variance of 2, which is 1 at n.
    halves, narrow, wide = (jackknifed(each, [0.0, 0.0]) for each in ([1.0, -1.0], [0.1, -0.1], [3.0, -3.0]))
    assert [spreads_of_largest(halves, each, 20)[0].variance for each in (narrow, wide)] == pytest.approx([1, 18])
    assert spreads_of_largest(None, narrow, 20)[0].variance == pytest.approx(0.02)


def kolmogorov(n):
    """Mean and variance of the distance of two samples of n: P(n D >= k) by Gnedenko and Korolyuk (1951)."""
    at_least = [
        2 * sum((-1) ** (i + 1) * comb(2 * n, n - i * k) for i in range(1, n // k + 1)) / comb(2 * n, n)
        for k in range(1, n + 1)
    ]
    mean = sum(at_least) / n
    return mean, sum((2 * k - 1) * each for k, each in enumerate(at_least, 1)) / n**2 - mean**2


def test_exchanges_give_the_variance_of_equal_distributions():
    # Samples that interleave are as alike as can be: their halves vary too little.
    found = compare(KOLMOGOROV_SMIRNOV, np.arange(80.0)[::2, None], np.arange(80.0)[1::2, None], ComparisonPlan(2, 500))
    variance = kolmogorov(40)[1]
    assert found.whole.value == pytest.approx(1 / 40)
    expected = stats.t.ppf(0.975, 20) * np.sqrt(variance)
    assert found.whole.high - found.whole.value == pytest.approx(expected, rel=0.15)


def test_measures_that_are_all_alike_have_the_interval_of_a_share():
    found = compare(KOLMOGOROV_SMIRNOV, np.ones((40, 1)), np.ones((20, 1)), ComparisonPlan())
    quantile = stats.t.ppf(0.975, 10)
    assert (found.synthetic.low, found.synthetic.high) == pytest.approx((0, quantile**2 / (20 + quantile**2)))
    assert (found.excess.low, found.excess.high) == pytest.approx((-found.floor.high, found.synthetic.high))


@given(st.floats(0.5, 9), st.floats(0.001, 0.05))
def test_an_interval_is_symmetric_on_the_scale_on_which_the_variance_is_constant(value, slope):
    # The variance of a value that is proportional to it: the square root has a constant one.
    found = interval_of(value, Spread(slope * value, slope, KNOWN, MANY), MANY, ENDLESS, Kind.SMOOTH)
    expected = np.sqrt(value) + stats.norm.ppf([0.025, 0.975]) * np.sqrt(slope) / 2
    assert (found.low, found.high) == pytest.approx(tuple(expected**2), rel=1e-6)


@given(st.floats(-5, 5), st.floats(0, 9), st.floats(-99, 99), st.integers(2, 200))
def test_no_slope_moves_an_interval_off_its_value(value, variance, slope, n):
    found = interval_of(value, Spread(variance, slope, KNOWN, n), n, ENDLESS, Kind.SMOOTH)
    assert found.low <= found.value <= found.high
    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, n // 2) * np.sqrt(variance), abs=1e-9)


def wilson(hits, n):
    """By scipy, with the normal quantile that Student's is for many cases."""
    ends = stats.binomtest(hits, n).proportion_ci(method="wilson")
    return Estimate(hits / n, ends.low, ends.high, MANY, "Wilson")


def test_a_share_has_wilsons_interval():
    found, expected = interval_of(0.3, Spread(0.0, 0.0, KNOWN, 40.0), MANY, UNIT, Kind.SHARE), wilson(12, 40)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)
    of_one_kind = interval_of(1.0, Spread(0.0, 0.0, KNOWN, 20.0), 20, UNIT, Kind.SHARE)
    assert (of_one_kind.value, of_one_kind.high) == (1, 1)
    assert 0.7 < of_one_kind.low < 0.9


@pytest.mark.parametrize(
    ("first", "second", "low", "high"), [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090)]
)
def test_a_difference_of_shares_has_the_published_interval(first, second, low, high):
    """Newcombe 1998, Statistics in Medicine 17: 873-890, table II, method 10, examples (a) and (b)."""
    found = interval_of_difference(wilson(*first), wilson(*second), Spread(9.0, 9.0, 9.0, 9.0), 0.0, Kind.SHARE)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_a_difference_of_correlated_estimates_is_narrower():
    assert correlation_of(4.0, 9.0, 13.0) == 0
    assert correlation_of(4.0, 9.0, 1.0) == 1
    assert correlation_of(4.0, 9.0, 25.0) == -1
    assert correlation_of(0.0, 9.0, 9.0) == 0
    alone, paired = (
        interval_of_difference(wilson(56, 70), wilson(48, 70), Spread(0.0, 0.0, 1.0, 0.0), correlation, Kind.SHARE)
        for correlation in (0.0, 0.6)
    )
    assert alone.low < paired.low < paired.high < alone.high
    same = interval_of_difference(wilson(35, 70), wilson(35, 70), Spread(0.0, 0.0, 1.0, 0.0), 1.0, Kind.SHARE)
    assert (same.low, same.high) == pytest.approx((0, 0), abs=1e-9)


@pytest.mark.parametrize(
    ("distance", "d"),
    [(FRECHET, 6), (KID, 6), (GAUSSIAN, 6), (DENSITY, 6), (COVERAGE, 6), (KOLMOGOROV_SMIRNOV, 1)],
    ids=lambda each: getattr(each, "name", each),
)
def test_intervals_of_a_distance_hold_its_mean_at_that_size(distance, d):
    # benchmarks/core/interval_coverage.py has more cells; 200 trials have a standard error of 1.5 points.
    z = np.random.default_rng(0).standard_normal((TRIALS, 36, d))
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
