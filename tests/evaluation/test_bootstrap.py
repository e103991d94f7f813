import numpy as np
import pytest
from scipy import stats

from medsmith.evaluation.fidelity.bootstrap import (
    mean_of_cases,
    mean_of_few,
    mean_over_subsets,
    proportion,
)


@pytest.mark.parametrize("distribution", ["normal", "exponential"])
def test_equals_the_bca_interval_of_scipy(distribution):
    values = getattr(np.random.default_rng(0), distribution)(size=60)
    ours = mean_of_cases(values, seed=1, resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=2).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)


@pytest.mark.parametrize("distribution", ["normal", "exponential"])
def test_nineteen_intervals_in_twenty_hold_the_truth(distribution):
    rng = np.random.default_rng(7)
    truth = {"normal": 0.0, "exponential": 1.0}[distribution]
    found = [mean_of_cases(getattr(rng, distribution)(size=200), seed=k, resamples=500) for k in range(1000)]
    assert 0.93 <= np.mean([e.low <= truth <= e.high for e in found]) <= 0.97


def test_the_mean_of_few_has_the_interval_of_a_t_test():
    values = np.array([0.3, np.nan, 0.5, 0.45, 0.7])
    known = values[~np.isnan(values)]
    found, expected = mean_of_few(values, "patients"), stats.ttest_1samp(known, 0).confidence_interval(0.95)
    assert (found.n, found.interval) == (4, "Student's t over patients")
    assert found.value == pytest.approx(known.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert mean_of_few(values[:1], "patients").high == np.inf


def test_the_mean_of_few_ends_where_the_values_do():
    values = np.array([0.97, 0.99, 0.8])
    free, bounded = mean_of_few(values, "cases"), mean_of_few(values, "cases", (0.0, 1.0))
    assert free.high > 1
    assert (bounded.value, bounded.low, bounded.high) == (free.value, free.low, 1)
    single = mean_of_few(values[:1], "cases", (0.0, 1.0))
    assert (single.low, single.high) == (0, 1)


def test_the_seed_decides_the_interval():
    values = np.random.default_rng(0).normal(size=30)
    assert mean_of_cases(values, seed=3) == mean_of_cases(values, seed=3)
    assert mean_of_cases(values, seed=3) != mean_of_cases(values, seed=4)


def test_equal_values_have_no_width():
    estimate = mean_of_cases(np.full(9, 0.25), seed=0)
    assert (estimate.low, estimate.value, estimate.high, estimate.n) == (0.25, 0.25, 0.25, 9)


def test_a_share_of_nothing_still_has_an_upper_limit():
    estimate = proportion(0, 300)
    assert estimate.value == estimate.low == 0
    assert 0.005 < estimate.high < 0.02


@pytest.mark.parametrize(("subset_spread", "case_spread"), [(1.0, 1.0), (2.0, 0.5), (0.0, 1.0)])
def test_intervals_over_subsets_and_cases_hold_the_truth(subset_spread, case_spread):
    rng, held = np.random.default_rng(3), []
    for _ in range(1500):
        values = rng.normal(size=(5, 20))
        values += subset_spread * rng.normal(size=(5, 1)) + case_spread * rng.normal(size=(1, 20))
        found = mean_over_subsets(values, "patients")
        held.append(found.low <= 0 <= found.high)
    assert np.mean(held) >= 0.93


def test_one_subset_gives_the_interval_over_cases():
    values = np.array([[0.3, 0.5, 0.45, 0.7]])
    assert mean_over_subsets(values, "patients") == mean_of_few(values[0], "patients")
    assert mean_over_subsets(values.T, "patients") == mean_of_few(values[0], "subsets")
    both = mean_over_subsets(np.repeat(values, 3, axis=0), "patients")
    assert (both.n, both.interval) == (4, "Satterthwaite over 3 subsets and patients")
    with pytest.raises(ValueError, match="is missing"):
        mean_over_subsets(np.array([[0.3, np.nan]]), "patients")
