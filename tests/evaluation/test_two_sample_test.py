"""The exact test of one measure in two cohorts, against SciPy, and its rate of false claims."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medsmith.data.copies import Searchable
from medsmith.evaluation.fidelity.cohort_features import CohortFeatures
from medsmith.evaluation.fidelity.comparison import ComparisonPlan
from medsmith.evaluation.fidelity.feature_rows import feature_rows
from medsmith.evaluation.fidelity.permutation import permutation_test
from medsmith.evaluation.fidelity.radiomics import Radiomics
from medsmith.evaluation.fidelity.two_sample_test import LEVEL, can_differ, corrected, two_sample_test
from medsmith.evaluation.fidelity.views import ViewSpec

FEW = st.lists(st.integers(0, 4), min_size=2, max_size=5)


def distance(x, y):
    return stats.ks_2samp(x, y, method="asymp").statistic


@settings(max_examples=25, deadline=None)
@given(FEW, FEW)
def test_all_divisions_of_few_cases_give_the_p_value_of_scipy(x, y):
    x, y = np.array(x, float), np.array(y, float)
    found = two_sample_test(x, y, seed=0)
    theirs = stats.permutation_test((x, y), distance, n_resamples=10**6, alternative="greater")
    assert found.value == pytest.approx(theirs.statistic)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.smallest == pytest.approx(np.mean(theirs.null_distribution >= theirs.null_distribution.max() - 1e-12))
    assert found.divisions == len(theirs.null_distribution)


def test_random_divisions_agree_with_the_exact_distribution_of_kolmogorov_and_smirnov():
    x, y = np.arange(12.0), np.arange(14) + 4.5
    exact = stats.ks_2samp(x, y, method="exact")
    found = two_sample_test(x, y, seed=1)
    assert found.value == pytest.approx(exact.statistic)
    assert found.divisions == 5000
    assert found.p == pytest.approx(exact.pvalue, abs=0.01)
    assert found == two_sample_test(x, y, seed=1)
    apart = two_sample_test(x, x + 100, seed=1)
    assert (apart.value, apart.p, apart.smallest) == (1, 1 / 5000, 1 / 5000)


def test_equal_values_never_differ():
    found = two_sample_test(np.ones(9), np.ones(10), seed=0)
    assert (found.value, found.p, found.smallest) == (0, 1, 1)
    assert not can_differ({"a": found})


def test_measures_that_cannot_differ_count_for_nothing():
    apart = two_sample_test(np.arange(5.0), np.arange(5) + 10.0, seed=0)
    alike = two_sample_test(np.ones(5), np.ones(5), seed=0)
    found = corrected({"a": apart, "b": alike, "c": apart, "d": alike})
    assert apart.p == 2 / 252
    assert [found[name].corrected for name in "abcd"] == [4 / 252, 1, 4 / 252, 1]
    assert can_differ({"a": apart, "b": alike})


def test_of_equal_cohorts_about_one_in_twenty_is_claimed_to_differ_and_planted_differences_are_found():
    """Nine measures, two of them counts with ties, 9 real and 10 synthetic cases; 95 % of rates lie below .08."""
    rng, claims, missed = np.random.default_rng(0), 0, 0
    for trial in range(200):
        values = np.vstack([rng.standard_normal((7, 19)), 1 + rng.binomial(2, 0.3, (2, 19))]).astype(float)
        tests = {str(row): two_sample_test(v[:9], v[9:], seed=trial, permutations=499) for row, v in enumerate(values)}
        claims += min(test.corrected for test in corrected(tests).values()) <= LEVEL
        tests["0"] = two_sample_test(values[0, :9], values[0, 9:] + 4, seed=trial, permutations=499)
        missed += corrected(tests)["0"].corrected > LEVEL
    assert claims / 200 <= 0.08
    assert missed / 200 <= 0.05


def test_radiomic_features_of_equal_cohorts_are_seldom_told_apart():
    """Units of the spread of 9 real cases alone made every fourth pair of equal cohorts differ."""
    spec = ViewSpec((32, 32, 1), 0, "", None, in_millimeters=False, use_labels=False)
    rng, of_rows, of_units = np.random.default_rng(3), [], []
    for _ in range(200):
        real, synthetic = (
            CohortFeatures((), (), (), {Radiomics.name: rng.standard_normal((count, 68))}, Searchable.of(()), {}, ())
            for count in (9, 10)
        )
        rows = next(feature_rows(real, synthetic, [Radiomics()], spec))
        of_rows.append(rows.test(ComparisonPlan()).p <= LEVEL)
        of_units.append(permutation_test(rows.real, rows.synthetic, seed=0, permutations=199).p <= LEVEL)
    assert np.mean(of_rows) <= 0.08
    assert np.mean(of_units) > 0.1
