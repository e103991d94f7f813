"""The statistics of adherence against closed forms and scipy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medsmith.evaluation.adherence.statistics import AttributeResult, corrected, order_of, shuffled_control
from medsmith.evaluation.reader_study.auc import Placements, auc_estimate, newcombe_interval, paired_auc

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=8)


@given(PAIRS)
@settings(deadline=None, max_examples=40)
def test_the_auc_is_the_statistic_of_mann_and_whitney(pairs):
    lower, higher = np.array(pairs, float).T
    expected = stats.mannwhitneyu(higher, lower).statistic / len(pairs) ** 2
    assert paired_auc(lower, higher).value == pytest.approx(expected)


def test_the_variance_of_a_paired_auc_is_that_of_the_sums_of_its_components():
    lower, higher = np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 5, 6])
    # Share of lower values below each higher one, and of higher values above each lower one, ties half.
    sums = np.array([1.5, 0.5, 4, 4]) / 4 + np.array([3.5, 2.5, 2, 2]) / 4
    found = paired_auc(lower, higher)
    auc, error = 10 / 16, np.sqrt(sums.var(ddof=1) / 4)
    half = stats.norm.ppf(0.975) * error / (auc * (1 - auc))
    ends = [1 / (1 + np.exp(-(np.log(auc / (1 - auc)) + sign * half))) for sign in (-1, 1)]
    assert (found.value, found.low, found.high) == pytest.approx((auc, *ends))
    assert (found.n, found.interval) == (4, "DeLong, logit")


def test_pairs_that_rise_and_fall_together_give_a_narrower_interval_than_independent_ones():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=30)
    lower, higher = shared + 0.2 * rng.normal(size=30), shared + 0.5 + 0.2 * rng.normal(size=30)
    paired, apart = paired_auc(lower, higher), auc_estimate(Placements.of(lower, higher))
    assert paired.value == apart.value
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)


def test_perfect_order_has_the_interval_of_newcombe():
    found = paired_auc(np.arange(10.0), np.arange(10.0) + 20)
    assert (found.value, found.low, found.high) == (1, *newcombe_interval(1.0, 10, 10))
    assert 0.7 < found.low < 0.9


@given(PAIRS)
@settings(deadline=None, max_examples=30)
def test_few_pairs_are_exchanged_in_all_ways(pairs):
    lower, higher = np.array(pairs, float).T
    found = shuffled_control(lower, higher)
    aucs = []
    for swap in itertools.product((False, True), repeat=len(pairs)):
        swapped = np.where(swap, lower, higher), np.where(swap, higher, lower)
        aucs.append(stats.mannwhitneyu(*swapped).statistic / len(pairs) ** 2)
    distance = np.abs(np.array(aucs) - 0.5)
    assert found.exchanges == 2 ** len(pairs)
    assert found.mean == pytest.approx(np.mean(aucs)) == 0.5
    assert found.p_value == pytest.approx(np.mean(distance >= distance[0] - 1e-9))


def test_the_p_value_of_pairs_all_in_order_is_two_exchanges_in_all():
    assert shuffled_control(np.zeros(10), np.ones(10) + np.arange(10)).p_value == 2 / 2**10


def test_many_pairs_are_exchanged_at_random_and_the_p_value_is_that_of_scipy():
    rng = np.random.default_rng(3)
    lower, higher = rng.normal(size=30), rng.normal(0.5, 1, size=30)
    found = shuffled_control(lower, higher)

    def auc(x, y, axis=-1):
        return stats.mannwhitneyu(y, x, axis=axis).statistic / 900 - 0.5

    peer = stats.permutation_test(
        (lower, higher), auc, permutation_type="samples", n_resamples=4000, rng=np.random.default_rng(0)
    )
    assert found.p_value == pytest.approx(peer.pvalue, abs=0.02)
    assert found.mean == pytest.approx(0.5, abs=0.01)
    assert found.low < 0.5 < found.high < auc(lower, higher) + 0.5 + 0.1


def test_an_ignored_attribute_is_called_controlled_no_more_often_than_five_times_in_a_hundred():
    rng = np.random.default_rng(0)
    verdicts = [AttributeResult.of(rng.normal(size=(12, 2))).verdict for _ in range(200)]
    assert sum(verdict != "uncontrolled" for verdict in verdicts) <= 16


@pytest.mark.parametrize(("shift", "verdict"), [(3.0, "controlled"), (0.0, "uncontrolled"), (-3.0, "reversed")])
def test_the_verdict_is_that_of_the_interval(shift, verdict):
    values = np.random.default_rng(1).normal(size=(20, 2)) + np.array([0, shift])
    found = AttributeResult.of(values)
    assert found.verdict == verdict
    assert found.difference.value == pytest.approx((values[:, 1] - values[:, 0]).mean())
    low, high = stats.ttest_rel(values[:, 1], values[:, 0]).confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high))
    assert found.order is None


def test_what_holds_alone_may_not_hold_among_many():
    values = np.array([[0.0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1.0]]) + np.arange(6)[:, None] / 100
    alone = AttributeResult.of(values)
    assert alone.shuffled.p_value == 2 / 2**6
    assert alone.verdict == "controlled"
    (first, *_, last) = corrected([alone, alone, AttributeResult.of(values[:, ::-1])])
    assert first.corrected == pytest.approx(3 * 2 / 2**6)
    assert (first.verdict, last.verdict) == ("uncontrolled", "uncontrolled")


def test_the_order_is_kendalls_tau_of_each_draw():
    values = np.array([[1.0, 2, 3], [3, 2, 1], [1, 3, 2], [2, 2, 2]])
    assert order_of(values) == pytest.approx([1, -1, 1 / 3, 0])
    found = AttributeResult.of(values)
    assert found.order is not None
    assert found.order.value == pytest.approx(1 / 12)
    nearly = AttributeResult.of(np.array([[1.0, 2, 3]] * 4 + [[1, 3, 2]])).order
    assert nearly is not None
    assert nearly.value == pytest.approx(13 / 15)
    assert nearly.high == 1
    # Ties: tau-b by hand, (concordant - discordant) / sqrt(untied pairs of either).
    assert order_of(np.array([[1.0, 1, 2]])) == pytest.approx([2 / np.sqrt(3 * 2)])
