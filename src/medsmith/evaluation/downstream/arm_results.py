"""From the scores of the networks of an arm to its results on the test patients."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Int64

from medsmith.evaluation.downstream.arms import REAL, Arm
from medsmith.evaluation.downstream.intervals import (
    Scores,
    hierarchical_mean,
    least_gain,
    patients_needed,
    spread_of,
)
from medsmith.evaluation.downstream.measures import UNBOUNDED
from medsmith.evaluation.downstream.result import ArmResult, Comparison
from medsmith.evaluation.downstream.scores import ArmScores, by_patient, lesion_f1, lesions_of
from medsmith.evaluation.downstream.separation import LEAST_TEST
from medsmith.evaluation.multiple_tests import holm

_POINTS = 100
_CLASSES_MM = ("below 10 mm", "10 to 20 mm", "above 20 mm")
_CLASSES_SHARE = ("below 10 % of the edge", "10 to 20 % of the edge", "above 20 % of the edge")


@final
@dataclass(frozen=True, eq=False)
class Tested:
    """What the networks of all arms are tested on.

    Attributes:
        patients: patient of each test case, in the order of the cases.
        structures: names of the classes above background.
        mm: whether the size classes of lesions are in mm.
        gain: in points, that the number of test patients is computed for.
    """

    patients: Mapping[str, str]
    structures: tuple[str, ...]
    mm: bool
    gain: float

    @property
    def ids(self) -> list[str]:
        """Of the test cases."""
        return list(self.patients)

    @property
    def owner(self) -> Int64[np.ndarray, " n"]:
        """Number of the patient of each case."""
        return np.unique(list(self.patients.values()), return_inverse=True)[1].astype(np.int64)

    def patient_count(self, scores: ArmScores) -> int:
        """Test patients that have a Dice."""
        return int(by_patient(scores.measures["dice"], self.owner).shape[2])

    def unlabeled_count(self, scores: ArmScores) -> int:
        """Test patients without a labeled voxel, who have no Dice."""
        return len({*self.patients.values()}) - self.patient_count(scores)

    def lesions(self, scores: ArmScores) -> dict[str, int]:
        """Size class -> lesions in the reference."""
        return {self._class(size): lesions_of(scores.lesions, size) for size in range(scores.lesions.shape[4])}

    def result(self, arm: Arm, ours: ArmScores, real: ArmScores, shared: float) -> ArmResult:
        """The results of an arm.

        Args:
            arm: the arm.
            ours: its scores.
            real: those of R.
            shared: see ``inflation_of``.
        """
        measures, structures, lesions = {}, {}, {}
        for name, values in ours.measures.items():
            if self._enough(values):
                bounds = (0.0, np.inf if name in UNBOUNDED else 1.0)
                measures[name] = self._compared(arm, values, real.measures[name], shared, bounds)
        for row, name in enumerate(self.structures):
            of_label = [each.measures["dice"][..., row : row + 1] for each in (ours, real)]
            if self._enough(of_label[0]):
                structures[name] = self._compared(arm, of_label[0], of_label[1], shared)
        for size in range(ours.lesions.shape[4]):
            if lesions_of(ours.lesions, size):
                f1, of_real = (lesion_f1(each.lesions, self.owner, size) for each in (ours, real))
                lesions[self._class(size)] = _comparison(arm, f1, of_real, shared)
        gains = [by_patient(each.measures["dice"], self.owner) for each in (ours, real)]
        spread = spread_of(gains[0] - gains[1], shared)
        return ArmResult(
            arm=arm,
            measures=measures,
            structures=_corrected(structures),
            lesions=lesions,
            least_gain=None if arm == REAL else least_gain(spread),
            patients_needed=None if arm == REAL else patients_needed(spread, self.gain / _POINTS),
            verdict="" if arm == REAL else measures["dice"].verdict,
        )

    def _enough(self, values: np.ndarray) -> bool:
        """Whether as many patients have a score as an interval needs."""
        return len(set(self.owner[np.isfinite(values[0, 0]).any(axis=1)])) >= LEAST_TEST

    def _compared(
        self, arm: Arm, ours: np.ndarray, real: np.ndarray, shared: float, bounds: tuple[float, float] = (0.0, 1.0)
    ) -> Comparison:
        return _comparison(arm, by_patient(ours, self.owner), by_patient(real, self.owner), shared, bounds)

    def _class(self, size: int) -> str:
        return (_CLASSES_MM if self.mm else _CLASSES_SHARE)[size]


def _comparison(
    arm: Arm, ours: Scores, real: Scores, shared: float, bounds: tuple[float, float] = (0.0, 1.0)
) -> Comparison:
    value = hierarchical_mean(ours, shared, bounds=bounds)
    if arm == REAL:
        return Comparison(value)
    span = bounds[1] - bounds[0]
    gain = hierarchical_mean(ours - real, shared, bounds=(-span, span))
    return Comparison(value, gain, spread_of(ours - real, shared).p_value(gain.value))


def _corrected(structures: Mapping[str, Comparison]) -> Mapping[str, Comparison]:
    p_values = [found.p_value for found in structures.values()]
    if any(p is None for p in p_values):
        return structures
    corrected = holm(np.array(p_values, np.float64))
    return {
        name: replace(found, corrected=float(p)) for (name, found), p in zip(structures.items(), corrected, strict=True)
    }
