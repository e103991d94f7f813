import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from medsmith.evaluation.downstream.intervals import (
    Resamples,
    hierarchical_mean,
    inflation_of,
    least_gain,
    patients_needed,
    spread_of,
)
from medsmith.evaluation.downstream.subsets import draw_subsets, shared_cases
from medsmith.evaluation.fidelity.bootstrap import mean_over_subsets
from medsmith.evaluation.fidelity.crossed import CrossedSpread, crossed_spread
from medsmith.evaluation.multiple_tests import holm

GAIN = 0.3
TRIALS, RESAMPLES = 1000, 400


def effects(rng, shape, *, subset=1.0, seed=1.0, patient=3.0, skewed=False):
    """A known gain, with effects of subsets, seeds, patients, and their interactions."""
    subsets, seeds, patients = shape
    of_patients = rng.exponential(size=patients) - 1 if skewed else rng.normal(size=patients)
    found = GAIN + seed * rng.normal(size=(subsets, seeds, 1)) + patient * of_patients
    found = found + rng.normal(size=(subsets, 1, patients)) + rng.normal(size=shape)
    return found + (subset * rng.normal(size=(subsets, 1, 1)) if subsets > 1 else 0)


@pytest.mark.parametrize(
    ("shape", "spreads"),
    [
        ((5, 2, 40), {}),
        ((5, 2, 40), {"skewed": True}),
        ((5, 1, 30), {"subset": 2.0, "patient": 1.0}),
        ((1, 3, 40), {}),
    ],
)
def test_nineteen_intervals_in_twenty_hold_a_known_gain(shape, spreads):
    rng, resamples = np.random.default_rng(1), Resamples(*shape, count=RESAMPLES)
    found = [hierarchical_mean(effects(rng, shape, **spreads), 0.0, resamples) for _ in range(TRIALS)]
    assert 0.93 <= np.mean([estimate.low <= GAIN <= estimate.high for estimate in found]) <= 0.97


def test_intervals_over_subsets_that_share_cases_hold_the_truth():
    rng, resamples = np.random.default_rng(2), Resamples(5, 2, 40, count=RESAMPLES)
    drawn = draw_subsets([[f"{number}"] for number in range(60)], 30, 5)
    subsets, shared = [list(map(int, subset)) for subset in drawn], shared_cases(drawn)
    held: list[bool] = []
    uncorrected: list[bool] = []
    assert 0.3 < shared < 0.5
    for _ in range(TRIALS):
        influence = 6 * rng.normal(size=60)  # of each training case on the gain
        of_subsets = np.array([influence[subset].mean() for subset in subsets])[:, None, None]
        values = effects(rng, (5, 2, 40), subset=0.0, seed=0.5) + of_subsets
        for share, into in ((shared, held), (0.0, uncorrected)):
            estimate = hierarchical_mean(values, share, resamples)
            into.append(estimate.low <= GAIN <= estimate.high)
    assert 0.93 <= np.mean(held) <= 0.97
    assert np.mean(uncorrected) < 0.9


def test_the_spread_is_that_of_the_interval_by_satterthwaite():
    values = effects(np.random.default_rng(3), (5, 2, 40))
    found, spread = hierarchical_mean(values), spread_of(values)
    expected = mean_over_subsets(values.mean(axis=1), "patients")
    assert (expected.high - expected.low) / 2 == pytest.approx(spread.quantile(0.95) * spread.error)
    assert found.value == pytest.approx(expected.value)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.3 * spread.error)


def test_the_resamples_are_means_of_networks_and_patients_drawn_again():
    values = np.random.default_rng(4).normal(size=(2, 3, 4))
    resamples = Resamples(2, 3, 4, count=500)
    assert resamples.networks.sum(axis=1) == pytest.approx(np.ones(500))
    assert resamples.patients.sum(axis=1) == pytest.approx(np.ones(500))
    assert resamples.networks.mean(axis=0) == pytest.approx(np.full(6, 1 / 6), abs=0.02)
    by_hand = np.einsum("k,ksp,p->", np.ones(2), resamples.networks[7].reshape(2, 3, 1) * values, resamples.patients[7])
    assert resamples.means(values)[7] == pytest.approx(by_hand)


def test_equal_gains_have_no_width_and_are_told_from_none():
    estimate = hierarchical_mean(np.full((3, 2, 8), 0.25))
    assert (estimate.low, estimate.value, estimate.high, estimate.n) == (0.25, 0.25, 0.25, 8)
    assert spread_of(np.full((3, 2, 8), 0.25)).p_value(0.25) == 0
    assert spread_of(np.zeros((3, 2, 8))).p_value(0.0) == 1


def test_p_values_over_patients_alone_are_those_of_a_t_test():
    values = np.random.default_rng(5).normal(0.3, 1, (1, 1, 20))
    expected = stats.ttest_1samp(values[0, 0], 0).pvalue
    assert spread_of(values).p_value(float(values.mean())) == pytest.approx(expected)


@pytest.mark.parametrize(("spread", "gain", "patients"), [(0.10, 0.02, 199), (0.10, 0.05, 34), (0.15, 0.02, 444)])
def test_the_patients_that_a_gain_needs(spread, gain, patients):
    found = CrossedSpread(0.0, 10, 0.0, 1, spread**2)
    assert patients_needed(found, gain) == patients  # of tables for the paired t test
    power = stats.nct.sf(stats.t.ppf(0.975, patients - 1), patients - 1, gain / spread * np.sqrt(patients))
    assert power == pytest.approx(0.8, abs=0.01)
    assert patients_needed(CrossedSpread(0.0, 10, (gain / 2) ** 2, 4, spread**2), gain) is None
    some = patients_needed(CrossedSpread(0.0, 10, (gain / 6) ** 2, 4, spread**2), gain)
    assert some is not None
    assert some > patients


@pytest.mark.parametrize("patients", [8, 200])
def test_a_least_gain_is_seen_in_four_of_five_experiments(patients):
    rng = np.random.default_rng(6)
    gain = least_gain(CrossedSpread(1 / np.sqrt(patients), patients - 1, 0.0, 1, 1.0))
    trials = gain + rng.normal(size=(2000, 1, 1, patients))
    seen = [spread_of(values).p_value(float(values.mean())) < 0.05 for values in trials]
    assert 0.77 < np.mean(seen) < 0.83
    assert patients_needed(CrossedSpread(0.0, 1, 0.0, 1, 1.0), gain * 1.0001) == patients


def test_fewer_columns_are_as_the_found_ones_foretell():
    values = effects(np.random.default_rng(8), (5, 2, 40))
    spread = spread_of(values)
    error, freedom = spread.with_columns(40)
    assert (error, freedom) == pytest.approx((spread.error, spread.freedom), rel=0.1)
    assert spread.with_columns(10)[0] > error > spread.with_columns(4000)[0] > np.sqrt(spread.rows)


@given(st.integers(2, 6), st.integers(2, 20), st.floats(1, 20), st.integers(0, 9999))
def test_degrees_of_freedom_are_never_below_those_of_the_smallest_part(rows, columns, inflation, seed):
    """Those of a sum are not; with a part subtracted Satterthwaite's number can be near 0, and intervals endless."""
    spread = crossed_spread(np.random.default_rng(seed).normal(size=(rows, columns)), inflation)
    assert spread.freedom >= min(rows, columns) - 1
    assert spread.quantile(0.95) <= stats.t.ppf(0.975, min(rows, columns) - 1)


def test_one_row_or_column_leaves_the_other_factor():
    values = np.random.default_rng(7).normal(size=(1, 9))
    for table in (values, values.T):
        spread = crossed_spread(table)
        assert spread.error == pytest.approx(stats.sem(values[0]))
        assert spread.freedom == 8
    assert crossed_spread(values[:, :1]).p_value(1.0) == 1


def test_holm_is_that_of_the_textbook():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_no_correction_and_bonferronis(p_values):
    values = np.array(p_values)
    found = holm(values)
    assert (found >= values).all()
    assert (found <= np.minimum(values * len(values), 1) + 1e-12).all()


@given(st.lists(st.integers(1, 4), min_size=2, max_size=20), st.integers(1, 12), st.integers(1, 6))
def test_subsets_hold_whole_groups_and_earlier_ones_stay(sizes, size, count):
    groups = [[f"{row}-{number}" for number in range(many)] for row, many in enumerate(sizes)]
    if not min(sizes) <= size < sum(sizes):
        return
    subsets = draw_subsets(groups, size, count)
    assert subsets[:1] == draw_subsets(groups, size, 1)
    for subset in subsets:
        assert 1 <= len(subset) <= size
        assert all(set(group) <= set(subset) or not set(group) & set(subset) for group in groups)


def test_subsets_are_disjoint_where_the_cases_suffice():
    groups = [[f"{number:02d}"] for number in range(20)]
    assert shared_cases(draw_subsets(groups, 4, 5)) == 0
    assert shared_cases(draw_subsets(groups, 4, 6)) > 0
    assert draw_subsets(groups, 0, 5) == [tuple(f"{number:02d}" for number in range(20))]
    assert draw_subsets([["a"], [*"bcdef"]], 3, 4) == [("a",)]
    assert inflation_of(1, 0.0) == 1
    assert inflation_of(5, 0.0) == 1
    assert inflation_of(5, 0.5) == pytest.approx(6)
