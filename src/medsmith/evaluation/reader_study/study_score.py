"""The score of a reader study: every reader, their average, equivalence to chance, the naive observer beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from medsmith.evaluation.pages.page import WARNING
from medsmith.evaluation.reader_study.agreement import fleiss_kappa
from medsmith.evaluation.reader_study.auc import delong_covariance
from medsmith.evaluation.reader_study.equivalence import EquivalenceTest, Measure
from medsmith.evaluation.reader_study.key import StudyKey
from medsmith.evaluation.reader_study.plan import Mode
from medsmith.evaluation.reader_study.reader_score import FirstShowings, ReaderScore, first_showings, score_reader
from medsmith.evaluation.reader_study.readers import ReaderAverage, average_over_readers, outcome_covariance
from medsmith.evaluation.reader_study.results import Reading
from medsmith.evaluation.reader_study.selection import LEAST_PATIENTS

_LEAST_COMMON = 4


@final
@dataclass(frozen=True, eq=False)
class StudyScore:
    """The score of a study.

    Attributes:
        key: the study's key.
        readers: sorted by name.
        accuracy: average share of right calls, both kinds weighted equally (balanced accuracy); of pairs, the share of
            right pairs.
        auc: average area under the ROC curve; None for pairs, or if too few images were read by all.
        tests: name of the measure -> its equivalence test; the primary measure first.
        agreement: Fleiss' kappa between readers; None for one reader, or where it is not defined.
        notes: what a reader of the report must know: incomplete files, a changed margin.
    """

    key: StudyKey
    readers: tuple[ReaderScore, ...]
    accuracy: ReaderAverage | None
    auc: ReaderAverage | None
    tests: Mapping[str, EquivalenceTest]
    agreement: float | None
    notes: tuple[str, ...]

    @property
    def observer(self) -> Mapping[str, Any]:
        """The naive observer, as the key has it."""
        found: Mapping[str, Any] = self.key.sealed["naive_observer"]
        return found

    def as_json(self) -> Mapping[str, Any]:
        """The score as JSON values."""
        return {
            "warning": WARNING,
            "study": self.key.study,
            "key_hash": self.key.hash,
            "mode": self.key.mode.value,
            "readers": [reader.as_json() for reader in self.readers],
            "average": {
                "accuracy": self.accuracy.as_json() if self.accuracy else None,
                "auc": self.auc.as_json() if self.auc else None,
            },
            "equivalence": {name: test.as_json() for name, test in self.tests.items()},
            "fleiss_kappa": self.agreement,
            "naive_observer": self.observer,
            "presentation": self.key.sealed["presentation"],
            "cohorts": self.key.sealed["cohorts"],
            "images": self.key.shown,
            "notes": list(self.notes),
        }


def score_readings(readings: Sequence[Reading], key: StudyKey, margin: float | None) -> StudyScore:
    """Scores the readings of one study.

    Args:
        readings: one per reader.
        key: of the study.
        margin: another equivalence margin than the declared one; None for the declared one.
    """
    readers = tuple(score_reader(reading, key) for reading in readings)
    common, left_out = _common([first_showings(reading, key) for reading in readings])
    accuracy, auc = _accuracy(common, key.mode), _auc(common, key.mode)
    measures = {Measure.AUC: auc, Measure.ACCURACY if key.mode is Mode.SINGLE else Measure.PAIRS: accuracy}
    tests = {
        measure.value: EquivalenceTest(average, margin or key.margin, key.margin, measure)
        for measure, average in measures.items()
        if average is not None
    }
    notes = _notes(readers, left_out, key, margin)
    return StudyScore(key, readers, accuracy, auc, tests, _agreement(common), notes)


def _common(showings: Sequence[FirstShowings]) -> tuple[list[FirstShowings], int]:
    """Answers to the trials that all readers read, and how many trials only some of them read."""
    read: list[set[int]] = [set(showing.trials.tolist()) for showing in showings]
    shared, union = set.intersection(*read), set.union(*read)
    return [showing.within(shared) for showing in showings], len(union) - len(shared)


def _auc(common: Sequence[FirstShowings], mode: Mode) -> ReaderAverage | None:
    if mode is Mode.PAIRS or not _enough(common):
        return None
    return _average_area(common, [showing.ratings for showing in common])


def _accuracy(common: Sequence[FirstShowings], mode: Mode) -> ReaderAverage | None:
    if mode is Mode.SINGLE:
        # The area under a curve with one threshold is the balanced accuracy.
        return _average_area(common, [showing.called.astype(float) for showing in common]) if _enough(common) else None
    if len(common[0].trials) < _LEAST_COMMON or any(
        len(set(owners)) < LEAST_PATIENTS for owners in common[0].patients.T
    ):
        return None
    outcomes = np.array([(showing.called == showing.signal).astype(float) for showing in common])
    covariance = outcome_covariance(outcomes, common[0].patients)
    return average_over_readers(outcomes.mean(axis=1), covariance, outcomes.shape[1])


def _average_area(common: Sequence[FirstShowings], ratings: Sequence[np.ndarray]) -> ReaderAverage:
    placements = [common[0].placed(rating) for rating in ratings]
    areas = np.array([placed.auc for placed in placements])
    return average_over_readers(areas, delong_covariance(placements), len(common[0].signal))


def _enough(common: Sequence[FirstShowings]) -> bool:
    signal, placements = common[0].signal, common[0].placements
    if placements is None or min(placements.patients) < LEAST_PATIENTS:
        return False
    return min(int(signal.sum()), int((~signal).sum())) >= _LEAST_COMMON


def _agreement(common: Sequence[FirstShowings]) -> float | None:
    if len(common) < 2 or not len(common[0].trials):
        return None
    synthetic = np.sum([showing.called for showing in common], axis=0)
    return fleiss_kappa(np.stack([len(common) - synthetic, synthetic], axis=1))


def _notes(readers: Sequence[ReaderScore], left_out: int, key: StudyKey, margin: float | None) -> tuple[str, ...]:
    notes = [
        f"{reader.name} answered {reader.answered} of {reader.trials} trials"
        for reader in readers
        if reader.answered < reader.trials
    ]
    if left_out:
        notes.append(f"averages leave out {left_out} images that not every reader read")
    if margin is not None and margin != key.margin:
        notes.append(
            f"the margin {margin:g} was chosen after the study was created, where {key.margin:g} was declared: "
            f"the equivalence test is exploratory"
        )
    if any(of["patients"] < of["images"] for of in key.shown.values()):
        notes.append(
            "several images are of one patient: the intervals of the AUC and of averages allow for it, those of one "
            "reader's shares do not and are too narrow; one image of each patient tells more"
        )
    if len(readers) == 1:
        notes.append(
            "one reader: the average holds for this reader, not for readers in general; at least 3 are advised"
        )
    return tuple(notes)
