"""The numbers of a reader study against the paper, closed forms, a second library and simulations of known truth."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from medsmith.evaluation.reader_study.agreement import cohen_kappa, fleiss_kappa
from medsmith.evaluation.reader_study.auc import Placements, auc_estimate, delong_covariance, newcombe_interval
from medsmith.evaluation.reader_study.decisions import Decisions, exact_share
from medsmith.evaluation.reader_study.equivalence import (
    EquivalenceTest,
    Measure,
    decisions_for_equivalence,
)
from medsmith.evaluation.reader_study.observer import roc_points
from medsmith.evaluation.reader_study.plan import Mode
from medsmith.evaluation.reader_study.power import VarianceParts, equivalence_power
from medsmith.evaluation.reader_study.readers import ReaderAverage, average_over_readers, outcome_covariance
from narrowing import present

RATINGS = st.lists(st.integers(1, 5), min_size=2, max_size=12).map(lambda values: np.array(values, float))
PAPER = [  # table 1 (a): 15 real and 15 synthetic images; real -> fake, fake -> real, accuracy in per cent
    (Decisions(hits=0, signals=15, false_alarms=1, others=15, mode=Mode.SINGLE), 46.7, -0.54, 1.59),
    (Decisions(hits=2, signals=15, false_alarms=1, others=15, mode=Mode.SINGLE), 53.3, 0.31, 1.16),
    (Decisions(hits=1, signals=15, false_alarms=5, others=15, mode=Mode.SINGLE), 36.7, -0.92, 0.86),
]


def equivalence(average):
    """The test of an average of AUCs, margin .1."""
    return EquivalenceTest(average, 0.1, 0.1)


@pytest.mark.parametrize(("decisions", "accuracy", "skill", "bias"), PAPER)
def test_the_papers_readers_have_bias_and_no_skill(decisions, accuracy, skill, bias):
    assert 100 * decisions.accuracy.value == pytest.approx(accuracy, abs=0.05)
    assert decisions.sensitivity == pytest.approx(skill, abs=0.005)
    assert decisions.criterion == pytest.approx(bias, abs=0.005)


def test_the_paper_s_shares_are_those_of_its_table():
    shares = [(100 * d.real_called_synthetic.value, 100 * d.synthetic_called_real.value) for d, *_ in PAPER]
    assert np.round(shares, 1).tolist() == [[6.7, 100.0], [6.7, 86.7], [33.3, 93.3]]


def test_thirty_images_prove_nothing():
    share = exact_share(14, 30)
    assert (round(share.low, 2), round(share.high, 2)) == (0.28, 0.66)


def test_the_exact_interval_is_the_quantiles_of_the_beta_distribution():
    share = exact_share(9, 40)
    assert share.low == pytest.approx(stats.beta.ppf(0.025, 9, 32))
    assert share.high == pytest.approx(stats.beta.ppf(0.975, 10, 31))


@pytest.mark.parametrize(("margin", "of_share", "of_area"), [(0.10, 215, 288), (0.05, 857, 1144), (0.15, 96, 128)])
def test_decisions_for_equivalence(margin, of_share, of_area):
    assert decisions_for_equivalence(margin, Measure.PAIRS) == of_share
    assert decisions_for_equivalence(margin, Measure.ACCURACY) == of_share
    assert decisions_for_equivalence(margin, Measure.AUC) == of_area
    n = of_area // 2
    most = (margin / (stats.norm.ppf(0.95) + stats.norm.ppf(0.9))) ** 2
    assert (2 * n + 1) / (12 * n * n) <= most < (2 * n - 1) / (12 * (n - 1) ** 2)


def test_the_decisions_for_the_area_have_the_stated_power_and_those_for_a_share_do_not():
    rng, studies = np.random.default_rng(2), 500
    for measure, power in ((Measure.AUC, 0.8), (Measure.PAIRS, 0.62)):
        n = decisions_for_equivalence(0.1, measure) // 2
        shown = 0
        for _ in range(studies):
            placements = Placements.of(rng.normal(size=n), rng.normal(size=n))
            average = average_over_readers(np.array([placements.auc]), delong_covariance([placements]), 2 * n)
            shown += equivalence(average).equivalent
        assert shown / studies == pytest.approx(power, abs=0.055)  # three standard errors


@pytest.mark.parametrize(("share", "decisions"), [(0.60, 199), (0.65, 90), (0.70, 49)])
def test_the_page_says_how_many_decisions_show_a_difference(share, decisions):
    """Exact two-sided binomial test, 5 %, 80 % power."""
    counts = np.arange(5, 1000)
    few = stats.binom.ppf(0.025, counts, 0.5) - 1
    power = stats.binom.cdf(few, counts, share) + stats.binom.sf(counts - few - 1, counts, share)
    assert counts[np.argmax(power >= 0.8)] == decisions
    page = Path("docs/reader-study.md").read_text()
    assert re.search(rf"{100 * share:.0f} %[^.]* {decisions}\b", page)


def test_the_decisions_for_equivalence_have_the_stated_power():
    count = decisions_for_equivalence(0.1, Measure.PAIRS)
    right = np.arange(1, count)
    errors = np.sqrt(right * (count - right) / count**3)
    shown = [
        equivalence(average_with(error, readers=1, cases=count, value=k / count)).equivalent
        for k, error in zip(right, errors, strict=True)
    ]
    # Exact over the binomial distribution, whose steps are 2 points of power here.
    assert stats.binom.pmf(right, count, 0.5) @ np.array(shown) == pytest.approx(0.8, abs=0.03)
    assert stats.binom.pmf(right, count, 0.6) @ np.array(shown) < 0.06


def average_with(error, *, readers=3, cases=72, value=0.5):
    """An average whose error shrinks with the images."""
    return ReaderAverage(value, error, np.inf, readers, cases, VarianceParts(0.0, error**2, 0.0))


def test_the_images_needed_follow_from_the_variance():
    for readers in (1, 3):  # three readers whose errors are the same are no more certain than one
        found = average_with(0.5 / np.sqrt(72), readers=readers)
        assert equivalence(found).images_needed == 215


READER, SHARED, OWN = 0.03**2, 0.05, 0.25


def test_parts_of_readers_and_images_are_told_apart():
    variance = VarianceParts(READER, SHARED / 60, OWN / 60)
    assert np.sqrt(variance.variance(3)) == pytest.approx(0.0502, abs=5e-5)
    covariance = np.full((3, 3), SHARED / 60) + OWN / 60 * np.eye(3)
    spread = np.sqrt(READER + OWN / 60)
    found = average_over_readers(0.5 + spread * np.array([-1.0, 0, 1]), covariance, 60)
    assert found.error == pytest.approx(0.0502, abs=5e-5)
    assert (found.parts.reader, found.parts.shared, found.parts.own) == pytest.approx((READER, SHARED / 60, OWN / 60))
    needed = present(equivalence(found).images_needed)
    assert needed == pytest.approx(400, abs=10)
    rng, studies = np.random.default_rng(0), 1500
    for images, power in ((needed, 0.8), (130, 0.54)):  # 130: as if all of the variance shrank with the images
        covariance = np.full((3, 3), SHARED / images) + OWN / images * np.eye(3)
        values = rng.multivariate_normal(np.full(3, 0.5), covariance + READER * np.eye(3), studies)
        shown = [equivalence(average_over_readers(v, covariance, images)).equivalent for v in values]
        assert np.mean(shown) == pytest.approx(power, abs=0.035)  # three standard errors
        assert equivalence_power(found.parts.with_images(images / 60), 3, 0.1) == pytest.approx(power, abs=0.01)


def test_no_number_of_images_makes_up_for_readers_who_differ():
    covariance = np.full((3, 3), 0.001) + 0.001 * np.eye(3)
    found = equivalence(average_over_readers(np.array([0.4, 0.5, 0.6]), covariance, 60))
    assert found.images_needed is None
    assert found.as_json()["images_needed_with_these_readers"] is None
    assert equivalence(average_over_readers(np.full(3, 0.5), covariance, 60)).images_needed is not None


@given(RATINGS, RATINGS)
def test_the_area_is_that_of_scikit_learn(real, synthetic):
    truth = np.r_[np.zeros(len(real)), np.ones(len(synthetic))]
    area = Placements.of(real, synthetic).auc
    assert area == pytest.approx(roc_auc_score(truth, np.r_[real, synthetic]))
    x, y = np.array(roc_points(real, synthetic)).T
    assert np.trapezoid(y, x) == pytest.approx(area)


def test_one_threshold_makes_the_area_the_balanced_accuracy():
    real, synthetic = np.array([0.0, 0, 1, 0]), np.array([1.0, 1, 0])
    assert Placements.of(real, synthetic).auc == pytest.approx((3 / 4 + 2 / 3) / 2)


def one_shot_variance(wins):
    """Unbiased variance of the mean AUC, readers and cases random, from U-statistics (Gallas 2006).

    Args:
        wins: readers x real x synthetic, 1 where the synthetic image is rated higher, .5 for ties.
    """
    axes, count = range(3), wins.shape
    subsets = [tuple(axis for axis in axes if bits >> axis & 1) for bits in range(8)]

    def sharing(shared):
        """Sum of products of two entries that have the indices of these axes in common, at least."""
        return float((wins.sum(axis=tuple(set(axes) - set(shared))) ** 2).sum())

    total, moments = 0.0, {}
    for exactly in subsets:
        above = [s for s in subsets if set(exactly) <= set(s)]
        value = sum((-1) ** (len(s) - len(exactly)) * sharing(s) for s in above)
        pairs = np.prod([n if axis in exactly else n * (n - 1) for axis, n in enumerate(count)])
        moments[exactly] = value / pairs
        total += value
    return total / np.prod(count) ** 2 - moments[()]


def simulated(rng, readers, cases, spread):
    """Ratings of readers with random skill about the same random cases (Roe and Metz 1997): real, synthetic."""
    skill = rng.normal(0, spread, (readers, 1))
    real, synthetic = (rng.normal(0, 0.6, cases) + rng.normal(0, 0.8, (readers, cases)) for _ in range(2))
    return real, synthetic + 0.3 + skill


@pytest.mark.parametrize(("readers", "cases", "spread"), [(4, 25, 0.35), (3, 60, 0.0)])
def test_intervals_over_readers_and_cases_cover_the_truth(readers, cases, spread):
    rng, repeats = np.random.default_rng(1), 400
    truth = stats.norm.cdf(0.3 / np.sqrt(2 + spread**2))  # unit variance of each kind; skill widens the difference
    means, errors, exact, inside, naive = [], [], [], 0, 0
    for _ in range(repeats):
        real, synthetic = simulated(rng, readers, cases, spread)
        placements = [Placements.of(r, s) for r, s in zip(real, synthetic, strict=True)]
        average = average_over_readers(np.array([p.auc for p in placements]), delong_covariance(placements), cases)
        low, high = average.interval()
        inside += low <= truth <= high
        means.append(average.value)
        errors.append(average.error**2)
        exact.append(one_shot_variance((synthetic[:, None, :] > real[:, :, None]).astype(float)))
        single = np.mean([delong_covariance([p])[0, 0] for p in placements]) / readers
        naive += abs(average.value - truth) <= 1.96 * np.sqrt(single)
    assert np.mean(means) == pytest.approx(truth, abs=0.008)
    # Two estimators of one variance: the U-statistics are unbiased, that of Obuchowski and Rockette nearly so.
    assert np.mean(exact) == pytest.approx(np.var(means, ddof=1), rel=0.15)
    assert np.mean(errors) == pytest.approx(np.mean(exact), rel=0.15)
    assert 0.92 <= inside / repeats <= 0.98  # .93 to .94 in 3,000 repeats
    assert naive / repeats < 0.92  # as if the readers had read different images


def test_a_single_reader_s_variance_is_that_of_the_u_statistic():
    rng = np.random.default_rng(3)
    real, synthetic = rng.normal(size=14), rng.normal(0.5, 1, 17)
    wins = (synthetic[None, :] > real[:, None]).astype(float)
    # Closed form of Bamber (1975): unbiased; DeLong's differs by terms of order 1 / (n m).
    n, m = wins.shape
    square = (wins.sum() ** 2 - (wins.sum(0) ** 2).sum() - (wins.sum(1) ** 2).sum() + (wins**2).sum()) / (
        n * (n - 1) * m * (m - 1)
    )
    unbiased = wins.mean() ** 2 - square
    assert delong_covariance([Placements.of(real, synthetic)])[0, 0] == pytest.approx(unbiased, rel=0.1)


def test_the_interval_of_one_reader_covers_the_truth():
    rng, truth, inside = np.random.default_rng(5), stats.norm.cdf(1 / np.sqrt(2)), 0
    for _ in range(800):
        ratings = [np.digitize(rng.normal(mean, 1, 25), [-1, 0.2, 0.8, 2]).astype(float) for mean in (0, 1)]
        inside += (found := auc_estimate(Placements.of(*ratings))).low <= truth <= found.high
    # Five ratings lose a little of the area of the continuous scale, which is the truth here.
    assert 0.91 <= inside / 800 <= 0.98


def test_a_perfect_reader_has_an_honest_interval():
    found = auc_estimate(Placements.of(np.ones(15), np.full(15, 5.0)))
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.8 < found.low < 0.95
    assert newcombe_interval(0.0, 15, 15) == pytest.approx((0.0, 1 - found.low))


def test_readers_without_any_variance_are_not_taken_for_certain():
    average = average_over_readers(np.ones(3), np.zeros((3, 3)), 30)
    assert 0.85 < average.interval()[0] < 1


def test_the_average_of_shares_with_independent_errors_is_the_mean_of_all_decisions():
    rng = np.random.default_rng(0)
    outcomes = (rng.random((400, 50)) < 0.5).astype(float)
    average = average_over_readers(outcomes.mean(1), outcome_covariance(outcomes), 50)
    assert average.value == pytest.approx(outcomes.mean())
    assert average.error == pytest.approx(0.5 / np.sqrt(400 * 50), rel=0.5)


@pytest.mark.parametrize(
    ("value", "error", "equivalent", "different", "words"),
    [
        (0.50, 0.03, True, False, "equivalent to chance within the margin ("),
        (0.55, 0.02, True, True, "though not exactly chance"),
        (0.50, 0.10, False, False, "no evidence that there is none"),
        (0.75, 0.05, False, True, "told apart"),
        (0.30, 0.03, False, True, "more often than by chance"),
    ],
)
def test_the_verdict(value, error, equivalent, different, words):
    test = equivalence(average_with(error, value=value))
    assert (test.equivalent, test.different) == (equivalent, different)
    assert words in test.verdict
    low, high = test.average.interval(0.9)
    assert test.equivalent == (low > 0.4 and high < 0.6)  # two one-sided tests at 5 % are the 90 % interval


def test_fleiss_kappa_of_the_textbook_example():
    rows = "0 0 0 0 14/0 2 6 4 2/0 0 3 5 6/0 3 9 2 0/2 2 8 1 1/7 7 0 0 0/3 2 6 3 0/2 5 3 2 2/6 5 2 1 0/0 2 2 3 7"
    counts = np.array([[int(n) for n in row.split()] for row in rows.split("/")])
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=0.0005)


def test_agreement_is_not_defined_where_all_say_the_same():
    assert fleiss_kappa(np.array([[3, 0]] * 5)) is None
    assert cohen_kappa(np.ones(5, int), np.ones(5, int)) is None
    assert cohen_kappa(np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1])) == 1


@given(st.integers(0, 12), st.integers(0, 9))
def test_skill_changes_sign_and_bias_stays_when_the_two_kinds_are_exchanged(hits, alarms):
    one = Decisions(hits, 12, alarms, 9, Mode.SINGLE)
    other = Decisions(alarms, 9, hits, 12, Mode.SINGLE)
    assert one.sensitivity == pytest.approx(-other.sensitivity)
    assert one.criterion == pytest.approx(other.criterion)
    assert np.isfinite([one.sensitivity, one.criterion]).all()
