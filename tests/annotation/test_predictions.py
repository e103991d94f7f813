from dataclasses import replace

import numpy as np
import pytest

from annotation_slices import EDGE, LABELS, slice_of, write_slices
from medsmith.annotation.labeler import Labeler, Prediction, read_labeler, write_labeler
from medsmith.annotation.predictions import agreement, mean_confidence, measure, write_predictions
from medsmith.annotation.rules import LabelRules
from medsmith.cases.cohort import Cohort
from medsmith.cases.views import images_alone
from medsmith.errors import CohortError
from medsmith.evaluation.downstream.segmenter import SegmenterConfig, build_segmenter
from medsmith.geometry import Geometry
from medsmith.progress import NullProgress

MICRO = SegmenterConfig(steps=2, channels=4)
RULES = LabelRules({1: 2, 2: 1}, frozenset())


def labeler_at(path, seed=0):
    write_labeler(path, build_segmenter((2, 1), 3, MICRO, seed), MICRO, 16, 1, LABELS)
    return read_labeler(path)


@pytest.fixture
def images(tmp_path):
    return Cohort.open(write_slices(tmp_path / "images", range(3), labeled=False))


def files_of(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_cohort_that_is_half_written_is_completed_to_the_same_bytes(images, tmp_path, monkeypatch):
    labeler = labeler_at(tmp_path / "l")
    write_predictions(labeler, RULES, images, tmp_path / "calm", NullProgress())
    write, written = Cohort.write, []

    def dies_in_the_third(cohort, case):
        written.append(case.id)
        if len(written) == 3:
            raise KeyboardInterrupt
        write(cohort, case)

    monkeypatch.setattr(Cohort, "write", dies_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        write_predictions(labeler, RULES, images, tmp_path / "broken", NullProgress())
    write_predictions(labeler, RULES, images, tmp_path / "broken", NullProgress())
    assert written == [*images.ids[:3], *images.ids[2:]]
    assert files_of(tmp_path / "broken") == files_of(tmp_path / "calm")


def test_labels_of_two_labelers_are_not_mixed(images, tmp_path):
    write_predictions(labeler_at(tmp_path / "l"), RULES, images, tmp_path / "out", NullProgress())
    with pytest.raises(CohortError, match="differs in labeler"):
        write_predictions(labeler_at(tmp_path / "m", 1), RULES, images, tmp_path / "out", NullProgress())


def test_predictions_do_not_depend_on_the_orientation_of_the_files(tmp_path):
    shape = (EDGE, EDGE, 1)
    found = []
    for name, sign in (("plain", 1), ("turned", -1)):
        cohort = Cohort.create(
            tmp_path / name, channel_names=("gray",), label_names={"background": 0}, file_ending=".nii.gz"
        )
        for seed in range(2):
            case = slice_of(f"c{seed}", seed, labels={"background": 0}, labeled=False)
            image = case.require_image()[:, ::sign, ::sign]
            grid = Geometry(shape, np.diag([sign, sign, 1.0, 1.0]))
            cohort.write(replace(case, image=np.asfortranarray(image), geometry=grid))
        cohort.finish()
        labeler = labeler_at(tmp_path / f"{name}-l")
        out = write_predictions(labeler, RULES, Cohort.open(cohort.root), tmp_path / f"{name}-out", NullProgress())
        found.append(out)
    for id in found[0].ids:
        assert np.array_equal(found[0][id].require_labels(), found[1][id].require_labels())
    assert agreement(*found) == 1.0


def test_dice_agreement_and_confidence_are_means_over_the_cases(tmp_path):
    truth = Cohort.open(write_slices(tmp_path / "truth", range(2)))
    patients = {id: id[:3] for id in truth.ids}
    one, other = labeler_at(tmp_path / "l"), labeler_at(tmp_path / "m", 1)
    measured = measure(one, RULES, truth, patients, NullProgress())
    assert measured.patients_with == {"organ": 2, "vessel": 2}
    assert measured.labels == ("organ", "vessel")
    for case in truth:
        ours, real = one.predict(case, RULES).labels, case.require_labels()
        expected = [
            2 * ((ours == value) & (real == value)).sum() / max(((ours == value).sum() + (real == value).sum()), 1)
            for value in (1, 2)
        ]
        assert measured.dice[case.id] == pytest.approx(expected, abs=1e-6)
    a, b = (
        write_predictions(labeler, RULES, images_alone(truth), tmp_path / name, NullProgress())
        for name, labeler in (("a", one), ("b", other))
    )
    assert agreement(a, a) == 1.0
    assert agreement(a, b) == agreement(b, a) < 1
    stated = [value for case in a for value in (case.provenance or {})["confidence"].values() if value is not None]
    assert mean_confidence(a) == pytest.approx(np.mean(stated))


def relabeled(source, out, change):
    """A cohort with labels that are changed case by case."""
    cohort = Cohort.create(out, channel_names=("gray",), label_names=LABELS, file_ending=".png")
    for number, case in enumerate(source):
        cohort.write(replace(case, labels=change(number, case.require_labels())))
    cohort.finish()
    return Cohort.open(out)


def test_a_label_absent_from_reference_and_prediction_has_no_dice(tmp_path, monkeypatch):
    cohort = Cohort.open(write_slices(tmp_path / "all", range(3)))
    truth = relabeled(cohort, tmp_path / "truth", lambda n, labels: np.where((labels == 2) & (n > 0), 0, labels))
    organs = relabeled(cohort, tmp_path / "organs", lambda _, labels: np.where(labels == 2, 0, labels))

    def predict(_self, case, _rules):
        return Prediction(organs[case.id].require_labels(), {})

    monkeypatch.setattr(Labeler, "predict", predict)
    patients = {id: id[:3] for id in truth.ids}
    found = measure(labeler_at(tmp_path / "l"), RULES, truth, patients, NullProgress())
    assert [found.dice[id] for id in truth.ids] == [(1.0, 0.0), *[(1.0, None)] * 5]
    assert found.patients_with == {"organ": 3, "vessel": 1}
    assert found.mean == 1.0
    assert found.left_out == {"vessel": "in 1 withheld patient, left out"}
    # The vessel, which one slice of the six has in one of the two cohorts, is half of the agreement.
    assert agreement(truth, organs) == 0.5
    empty = relabeled(cohort, tmp_path / "empty", lambda _, labels: np.zeros_like(labels))
    assert agreement(empty, empty) == 1.0
