"""Membership, nearness in features and thresholds, against closed forms and scikit-learn."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, norm
from sklearn.metrics import roc_auc_score, roc_curve

from medsmith.evaluation.fidelity.bootstrap import proportion
from medsmith.evaluation.privacy import membership
from medsmith.evaluation.privacy.chance import Chance, against_chance, chance_sentence
from medsmith.evaluation.privacy.embedding import measure_nearness
from medsmith.evaluation.privacy.membership import advantage_of, corrected, infer_membership
from medsmith.evaluation.privacy.threshold import IMAGES, Threshold


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_auc_and_advantage_are_those_of_scikit_learn(members, others):
    truth, scores = [1] * len(members) + [0] * len(others), [*members, *others]
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    both = np.array(members, float), np.array(others, float)
    assert advantage_of(*both) == pytest.approx(max(true - false))
    with patch.object(membership, "RESAMPLES", 4):
        assert infer_membership(*both).auc.value == pytest.approx(roc_auc_score(truth, scores))


def test_members_that_lie_nearer_are_told_apart_and_others_are_not():
    rng = np.random.default_rng(0)
    leaking = infer_membership(rng.normal(2, 1, 60), rng.normal(0, 1, 50))
    silent = infer_membership(rng.normal(0, 1, 60), rng.normal(0, 1, 50))
    assert leaking.auc.low > 0.5
    assert leaking.advantage.value > leaking.chance
    assert silent.auc.low < 0.5 < silent.auc.high
    assert silent.advantage.value < silent.chance
    assert (silent.members, silent.others, silent.auc.n) == (60, 50, 110)
    apart = infer_membership(np.ones(3), np.zeros(3))
    assert apart.advantage.value == apart.auc.value == 1
    assert apart.auc.low < 0.8  # three cases of each kind


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_intervals_of_auc_and_advantage_hold_the_truth(shift, monkeypatch):
    monkeypatch.setattr(membership, "RESAMPLES", 99)
    rng, count = np.random.default_rng(0), 200
    found = [infer_membership(rng.normal(shift, 1, 50), rng.normal(0, 1, 40), seed) for seed in range(count)]
    advantage, auc = 2 * norm.cdf(shift / 2) - 1, norm.cdf(shift / np.sqrt(2))
    assert np.mean([each.advantage.low <= advantage <= each.advantage.high for each in found]) >= 0.91
    assert np.mean([each.auc.low <= auc <= each.auc.high for each in found]) >= 0.91
    alarms = np.mean([each.p_value <= 0.05 for each in found])
    assert alarms <= 0.1 if shift == 0 else alarms > 0.5
    assert all(0 <= each.advantage.low <= each.advantage.value <= each.advantage.high <= 1 for each in found)


def test_the_p_value_of_membership_is_that_of_the_test_of_kolmogorov_and_smirnov():
    rng = np.random.default_rng(3)
    members, others = rng.normal(0.45, 1, 30), rng.normal(0, 1, 25)
    # The one-sided distance: the shares of members at or above a threshold exceed those of others.
    peer = ks_2samp(members, others, alternative="less", method="exact")
    found = infer_membership(members, others)
    assert found.advantage.value == pytest.approx(peer.statistic)
    assert found.p_value == pytest.approx(peer.pvalue, abs=0.03)
    assert 0.02 < peer.pvalue < 0.4


def test_cases_of_one_patient_count_once():
    rng = np.random.default_rng(4)
    members, others = rng.normal(0.6, 1, 30), rng.normal(0, 1, 25)
    alone = infer_membership(members, others)
    owners = tuple([f"{kind}{n:02}" for n in range(count)] * 4 for kind, count in (("a", 30), ("b", 25)))
    four = infer_membership(np.tile(members, 4), np.tile(others, 4), owners=(owners[0], owners[1]))
    for ours, theirs in ((four.auc, alone.auc), (four.advantage, alone.advantage)):
        assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))
    assert (four.p_value, four.chance) == pytest.approx((alone.p_value, alone.chance))
    assert (four.members, four.others, four.patients, four.advantage.n) == (120, 100, (30, 25), 220)
    assert four.advantage.interval.startswith("bootstrap over patients")
    apart = infer_membership(np.tile(members, 4), np.tile(others, 4))
    assert apart.p_value < 0.1 * alone.p_value


def test_training_cases_are_told_apart_where_the_corrected_p_value_says_so():
    rng = np.random.default_rng(0)
    alone = replace(infer_membership(rng.normal(size=20), rng.normal(size=20)), p_value=0.04)
    assert [each.leaks for each in corrected({"one": alone}).values()] == [True]
    three = corrected({"one": alone, "two": replace(alone, p_value=0.01), "three": replace(alone, p_value=0.5)})
    assert [each.corrected for each in three.values()] == pytest.approx([0.08, 0.03, 0.5])
    assert [each.leaks for each in three.values()] == [False, True, False]


def test_copies_are_not_authentic_and_have_a_small_distance_ratio():
    rng = np.random.default_rng(1)
    training, held_out, new = (rng.standard_normal((n, 5)) for n in (80, 80, 40))
    copies = training[:40] + 1e-3
    of_copies, of_new = (measure_nearness(synthetic, training, held_out) for synthetic in (copies, new))
    assert of_copies.membership is not None
    assert of_copies.below_ratio is not None
    assert of_new.authentic_held_out is not None
    assert of_new.below_ratio is not None
    assert of_copies.authentic.value == 0
    assert of_copies.below_ratio.value == 1
    assert of_copies.membership.auc.low > 0.5
    assert of_new.authentic.low < of_new.authentic_held_out.value < of_new.authentic.high
    assert of_new.below_ratio.low <= 0.01
    alone = measure_nearness(new, training, None)
    assert (alone.authentic, alone.membership, alone.below_ratio) == (of_new.authentic, None, None)


def test_authenticity_by_hand():
    training = np.array([[0.0], [1.0], [5.0]])
    found = measure_nearness(np.array([[0.4], [7.0], [5.5]]), training, None)
    assert found.authentic.value == 0  # .4 < 1, 2 < 4 and .5 < 4
    assert measure_nearness(np.array([[2.5], [-2.0]]), training, None).authentic.value == 1


def value_of(share):
    """The share, where there were cases to count it."""
    assert share is not None
    return share.value


def test_the_threshold_is_the_99th_percentile_of_what_is_no_near_duplicate():
    values = np.linspace(0.5, 0.8, 101)
    found = Threshold.of(np.concatenate([values, [0.99, 1.0]]), IMAGES, 0)
    assert found.limit.value == pytest.approx(0.797)
    assert found.limit.low < 0.797 <= found.limit.high <= 0.8
    assert (found.limit.n, round(value_of(found.near_duplicates) * 103)) == (101, 2)
    # Each of the two largest exceeds the percentile of the others.
    assert round(value_of(found.false_alarms) * 101) == 2


def test_thresholds_at_the_limits():
    assert Threshold.of(np.full(20, 0.2), IMAGES, 0).limit.value == IMAGES.least
    assert value_of(Threshold.of(np.full(20, 0.2), IMAGES, 0).false_alarms) == 0
    assert Threshold.of(np.array([0.99, 1.0]), IMAGES, 0).limit.value == IMAGES.near_duplicate
    alike = np.linspace(0.85, 0.95, 100)  # all cases look alike: none is a duplicate
    assert Threshold.of(alike, IMAGES, 0).limit.value == pytest.approx(np.quantile(alike, 0.99))
    assert value_of(Threshold.of(alike, IMAGES, 0).near_duplicates) == 0


@pytest.mark.parametrize("reference", [[], [0.3], [0.95], [0.3, 0.98, 0.99]])
def test_too_few_real_cases_leave_the_false_alarms_unknown(reference):
    found = Threshold.of(np.array(reference), IMAGES, 0)
    assert found.false_alarms is None
    assert found.as_json()["false_alarms_leave_one_out"] is None
    assert (found.near_duplicates is None) == (not reference)
    assert against_chance(proportion(8, 8), found) is Chance.UNTOLD
    assert against_chance(proportion(0, 8), found) is Chance.WITHIN
    assert chance_sentence(proportion(8, 8), found, "held-out") == (
        "Too few held-out cases that are no near-duplicates to tell whether chance explains this."
    )


@pytest.mark.parametrize(
    ("flagged", "n", "alarms", "m", "chance"),
    [
        (2, 100, 1, 100, Chance.WITHIN),  # p = .5; the interval begins at 0.6 %, below 1 %
        (0, 10, 1, 9, Chance.WITHIN),
        (4, 100, 1, 100, Chance.UNTOLD),  # p = .18; the interval begins at 1.6 %, above 1 %
        (5, 100, 0, 100, Chance.UNTOLD),  # p = C(195, 95) C(5, 5) / C(200, 100), .0296; above 0
        (6, 100, 0, 100, Chance.BEYOND),  # p = .0145
        (3, 3, 0, 5, Chance.BEYOND),  # p = 1 / C(8, 3) = .0179
        (2, 2, 0, 5, Chance.UNTOLD),  # p = 1 / C(7, 2) = .048
        (5, 10, 1, 9, Chance.UNTOLD),  # p = .09, and yet the interval begins at 23.7 %, above 11.1 %
        (1, 10, 1, 9, Chance.UNTOLD),  # 9 cases cannot tell, whatever the interval
        (1, 10, 1, 18, Chance.UNTOLD),
        (1, 10, 1, 19, Chance.WITHIN),
    ],
)
def test_flagged_cases_are_held_against_the_false_alarms_by_the_exact_test(flagged, n, alarms, m, chance):
    threshold = Threshold(replace(proportion(1, 2), n=m), proportion(0, 1), proportion(alarms, m))
    assert against_chance(proportion(flagged, n), threshold) is chance


@pytest.mark.parametrize(
    ("flagged", "n", "alarms", "m", "said"),
    [
        (6, 100, 0, 100, "More than chance explains (false alarms: 0 of 100 held-out cases, 0.0 %)."),
        (1, 10, 1, 19, "No more than chance explains (false alarms: 1 of 19 held-out cases, 5.3 %)."),
        (
            *(1, 10, 1, 9),
            "Cannot be told from chance with 9 held-out cases (false alarms: 1 of 9 held-out cases, 11.1 %).",
        ),
        (
            *(5, 10, 1, 9),
            "The interval lies above the false alarms, but this cannot be told from chance with 9 held-out cases "
            "(false alarms: 1 of 9 held-out cases, 11.1 %).",
        ),
    ],
)
def test_the_sentence_on_chance_says_what_the_interval_is_held_against(flagged, n, alarms, m, said):
    threshold = Threshold(replace(proportion(1, 2), n=m), proportion(0, 1), proportion(alarms, m))
    assert chance_sentence(proportion(flagged, n), threshold, "held-out") == said


def test_false_alarms_of_new_cases_are_rare():
    rates = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        reference, new = rng.beta(20, 20, 200), rng.beta(20, 20, 400)
        rates.append((new > Threshold.of(reference, IMAGES, 0).limit.value).mean())
    assert np.mean(rates) <= 0.05
    assert np.mean(np.array(rates) > 0.05) <= 0.05
