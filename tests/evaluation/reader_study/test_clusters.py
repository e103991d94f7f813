"""Several images of a patient: closed forms, and simulated studies of known truth."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from medsmith.evaluation.reader_study import score_study
from medsmith.evaluation.reader_study.auc import Placements, auc_estimate, delong_covariance
from medsmith.evaluation.reader_study.clusters import covariance_of_means
from medsmith.evaluation.reader_study.equivalence import EquivalenceTest
from medsmith.evaluation.reader_study.plan import REAL, SYNTHETIC
from medsmith.evaluation.reader_study.readers import average_over_readers, outcome_covariance
from medsmith.evaluation.reader_study.score_page import score_lines
from narrowing import present
from readings import make_key, write_result

PATIENTS, SLICES = 14, 7
OWNERS = np.repeat([f"p{number}" for number in range(PATIENTS)], SLICES)


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 6), st.integers(1, 5))
def test_equal_numbers_of_images_give_the_covariance_of_the_means_of_patients(seed, readers, patients, images):
    rows = np.random.default_rng(seed).normal(size=(readers, patients, images))
    flat, owners = rows.reshape(readers, -1), np.repeat(np.arange(patients), images)
    expected = np.cov(rows.mean(axis=2)).reshape(readers, readers) / patients
    assert covariance_of_means(flat, owners) == pytest.approx(expected)
    order = np.random.default_rng(seed).permutation(flat.shape[1])
    assert covariance_of_means(flat[:, order], owners[order]) == pytest.approx(expected)


def test_one_image_of_each_patient_changes_nothing():
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(size=20), rng.normal(0.4, 1, 15)
    plain = Placements.of(real, synthetic)
    owned = Placements.of(real, synthetic, np.arange(20), np.arange(15))
    assert delong_covariance([owned]) == pytest.approx(delong_covariance([plain]))
    assert auc_estimate(owned).low == pytest.approx(auc_estimate(plain).low)
    right = (rng.random((3, 40)) < 0.5).astype(float)
    independent = np.cov(right) / 40
    for patients in (None, np.stack([np.arange(40), np.arange(40)], axis=1).astype(str)):
        assert outcome_covariance(right, patients) == pytest.approx(independent)


def test_an_image_shown_as_seven_is_no_more_than_one():
    rng = np.random.default_rng(1)
    real, synthetic = rng.normal(size=PATIENTS), rng.normal(0.5, 1, PATIENTS)
    once = Placements.of(real, synthetic)
    often = Placements.of(np.repeat(real, SLICES), np.repeat(synthetic, SLICES), OWNERS, OWNERS)
    assert delong_covariance([often]) == pytest.approx(delong_covariance([once]))
    perfect = (np.zeros(14), np.ones(14))
    owned = Placements.of(*perfect, OWNERS[::SLICES][[0] * 7 + [1] * 7], OWNERS[:14])
    assert owned.patients == (2, 2)
    assert auc_estimate(owned).low < auc_estimate(Placements.of(*perfect)).low
    pairs = np.repeat((rng.random((2, PATIENTS)) < 0.5).astype(float), SLICES, axis=1)
    both = np.stack([OWNERS, OWNERS], axis=1)
    assert outcome_covariance(pairs, both) == pytest.approx(np.cov(pairs[:, ::SLICES]) / PATIENTS)


def simulated(studies, truth, seed):
    """Shares of studies of 3 readers whose interval has the truth, and that show equivalence within .1.

    Half of the variance that readers share comes from the patient.

    Returns:
        Both shares with the patients known, and with images taken as independent.
    """
    rng, found = np.random.default_rng(seed), np.zeros((2, 2))
    skill = stats.norm.ppf(truth) * np.sqrt(2)
    for _ in range(studies):
        shared = np.repeat(rng.normal(0, np.sqrt(0.3), (2, PATIENTS)), SLICES, axis=1)
        shared += rng.normal(0, np.sqrt(0.3), shared.shape)
        ratings = shared + rng.normal(0, np.sqrt(0.4), (3, *shared.shape))
        for row, owners in enumerate((OWNERS, None)):
            placed = [Placements.of(one, other + skill, owners, owners) for one, other in ratings]
            areas = np.array([each.auc for each in placed])
            average = average_over_readers(areas, delong_covariance(placed), 2 * len(OWNERS))
            low, high = average.interval()
            found[row] += (low <= truth <= high, EquivalenceTest(average, 0.1, 0.1).equivalent)
    return found / studies


def test_intervals_over_patients_cover_the_truth_and_those_over_images_do_not():
    (covered, false), (too_few, too_many) = simulated(300, 0.6, 0)
    assert 0.90 <= covered <= 0.98
    assert false <= 0.04
    assert too_few < 0.80
    assert too_many > 0.10


@pytest.mark.slow
def test_intervals_over_patients_cover_the_truth_in_many_studies():
    for truth in (0.5, 0.6):
        (covered, shown), (too_few, _) = simulated(3000, truth, 1)
        assert 0.92 <= covered <= 0.96
        assert shown < 0.05
        assert too_few < 0.76


def test_the_score_says_of_how_many_patients_the_images_are(tmp_path):
    rng = np.random.default_rng(0)
    answers = [REAL] * 28 + [SYNTHETIC] * 28
    level = np.repeat(rng.integers(1, 6, 8), 7)  # a reader whose rating follows the patient
    widths, owners = [], [*np.repeat(["a", "b", "c", "d"], 7), *np.repeat(["e", "f", "g", "h"], 7)]
    for name, patients in (("owned", [str(owner) for owner in owners]), ("alone", None)):
        folder = tmp_path / name
        folder.mkdir()
        key = make_key(folder / "key.json", answers, patients=patients)
        results = [write_result(folder / f"{reader}.json", key, level.tolist(), reader=reader) for reader in "AB"]
        score = score_study(results, folder / "key.json", folder)
        low, high = present(score.auc).interval()
        widths.append(high - low)
        found = json.loads((folder / "score.json").read_text())
        count = 4 if patients else 28
        assert found["images"] == {kind: {"images": 28, "patients": count} for kind in (REAL, SYNTHETIC)}
        said = f"Shown: 28 real images of {count} patients and 28 synthetic images of {count} patients."
        assert said in score_lines(score)
        assert any(note.startswith("several images are of one patient") for note in score.notes) is bool(patients)
    assert widths[0] > 1.5 * widths[1]
