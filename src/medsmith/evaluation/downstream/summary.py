"""From the scores of all networks to the results of the utility experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Int64

from medsmith.evaluation.downstream.arms import LONGER, REAL, Arm
from medsmith.evaluation.downstream.intervals import (
    Scores,
    hierarchical_mean,
    least_gain,
    patients_needed,
    spread_of,
)
from medsmith.evaluation.downstream.measures import UNBOUNDED
from medsmith.evaluation.downstream.networks import Job
from medsmith.evaluation.downstream.result import WITHHELD, ArmResult, Comparison, Convergence, SizeResult
from medsmith.evaluation.downstream.scores import ArmScores, by_patient, lesion_f1, lesions_of
from medsmith.evaluation.downstream.separation import LEAST_TEST
from medsmith.evaluation.downstream.subsets import shared_cases
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.multiple_tests import holm

_POINTS = 100
_CLASSES_MM = ("below 10 mm", "10 to 20 mm", "above 20 mm")
_CLASSES_SHARE = ("below 10 % of the edge", "10 to 20 % of the edge", "above 20 % of the edge")


@final
@dataclass(frozen=True, eq=False)
class Summary:
    """What the summaries of all sizes share.

    Attributes:
        out: folder of the networks.
        patients: patient of each test case, in the order of the cases.
        structures: names of the classes above background.
        mm: whether the size classes of lesions are in mm.
        gain: see ``UtilityOptions``.
        steps: of each network.
    """

    out: Path
    patients: Mapping[str, str]
    structures: tuple[str, ...]
    mm: bool
    gain: float
    steps: int

    def of_size(self, jobs: Sequence[Job]) -> SizeResult:
        """The results of all networks of one size.

        Raises:
            RunError: a file does not hold the measures of every test case.
        """
        arms = list(dict.fromkeys(job.arm for job in jobs))
        scores = {arm: ArmScores.read(self.out, [job for job in jobs if job.arm == arm], self._ids) for arm in arms}
        subsets = list({job.subset: job.ids for job in jobs}.values())
        shared, real = shared_cases(subsets), scores[REAL]
        convergence = Convergence(self.steps, self._rise(real, scores[LONGER], shared))
        results = [self._arm(arm, scores[arm], real, shared) for arm in arms if arm != LONGER]
        if not convergence.reached:
            results = [result if result.arm == REAL else replace(result, verdict=WITHHELD) for result in results]
        sizes = range(real.lesions.shape[4])
        return SizeResult(
            cases=tuple(map(len, subsets)),
            seeds=len({job.seed for job in jobs}),
            shared=shared,
            patients=int(by_patient(real.measures["dice"], self._owner).shape[2]),
            lesions={self._class(size): lesions_of(real.lesions, size) for size in sizes},
            convergence=convergence,
            arms=tuple(results),
        )

    def _arm(self, arm: Arm, ours: ArmScores, real: ArmScores, shared: float) -> ArmResult:
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
                f1, of_real = (lesion_f1(each.lesions, self._owner, size) for each in (ours, real))
                lesions[self._class(size)] = _comparison(arm, f1, of_real, shared)
        gains = [by_patient(each.measures["dice"], self._owner) for each in (ours, real)]
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
        return len(set(self._owner[np.isfinite(values[0, 0]).any(axis=1)])) >= LEAST_TEST

    def _compared(
        self, arm: Arm, ours: np.ndarray, real: np.ndarray, shared: float, bounds: tuple[float, float] = (0.0, 1.0)
    ) -> Comparison:
        return _comparison(arm, by_patient(ours, self._owner), by_patient(real, self._owner), shared, bounds)

    def _rise(self, real: ArmScores, longer: ArmScores, shared: float) -> Estimate:
        before, after = (by_patient(each.measures["dice"][:, :1], self._owner) for each in (real, longer))
        return hierarchical_mean(after - before, shared)

    def _class(self, size: int) -> str:
        return (_CLASSES_MM if self.mm else _CLASSES_SHARE)[size]

    @property
    def _ids(self) -> list[str]:
        return list(self.patients)

    @property
    def _owner(self) -> Int64[np.ndarray, " n"]:
        return np.unique(list(self.patients.values()), return_inverse=True)[1].astype(np.int64)


def _comparison(
    arm: Arm, ours: Scores, real: Scores, shared: float, bounds: tuple[float, float] = (0.0, 1.0)
) -> Comparison:
    value = hierarchical_mean(ours, shared, bounds=bounds)
    if arm == REAL:
        return Comparison(value)
    gain = hierarchical_mean(ours - real, shared)
    return Comparison(value, gain, spread_of(ours - real, shared).p_value(gain.value))


def _corrected(structures: Mapping[str, Comparison]) -> Mapping[str, Comparison]:
    p_values = [found.p_value for found in structures.values()]
    if any(p is None for p in p_values):
        return structures
    corrected = holm(np.array(p_values, np.float64))
    return {
        name: replace(found, corrected=float(p)) for (name, found), p in zip(structures.items(), corrected, strict=True)
    }
