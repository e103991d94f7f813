"""Numerical results of the experiment with nnU-Net."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from medsmith.evaluation.downstream.result import ArmResult
from medsmith.evaluation.pages.page import WARNING

LEAST_COURSE = 0.1
"""Share of nnU-Net's own course below which no verdict is given."""
LEAST_FOLDS = 2
"""One network of each arm says nothing of how much a gain depends on the chance of its training."""


@final
@dataclass(frozen=True)
class NnunetUtility:
    """Results of the experiment with nnU-Net.

    Attributes:
        arms: R first.
        patients: test patients.
        lesions: size class -> lesions in the reference.
        cases: real and synthetic training cases.
        folds: of nnU-Net's cross-validation, one network of each arm in each.
        shares: arm -> share of synthetic cases in the training list of each fold.
        validation: arm -> mean Dice of the validation cases by nnU-Net itself, fold by fold; None where unknown.
        course: gradient steps as a share of nnU-Net's own course.
        steps: epochs, and iterations of each.
        gain: in points, that the number of test patients is computed for.
        unit: of distances, mm or pixels.
        tolerance: of the surface Dice, in this unit.
        notes: what is known of generator and test cases, in sentences.
        facts: hashes, counts, settings, versions.
    """

    arms: tuple[ArmResult, ...]
    patients: int
    lesions: Mapping[str, int]
    cases: tuple[int, int]
    folds: tuple[int, ...]
    shares: Mapping[str, tuple[float, ...]]
    validation: Mapping[str, tuple[float | None, ...]]
    course: float
    steps: tuple[int, int]
    gain: float
    unit: str
    tolerance: float
    notes: tuple[str, ...]
    facts: Mapping[str, str]

    @property
    def long_enough(self) -> bool:
        """Whether the course allows a verdict."""
        return self.course >= LEAST_COURSE

    def as_json(self) -> Mapping[str, Any]:
        """All results as JSON values."""
        return {
            "warning": WARNING,
            "arms": {result.arm.name: result.as_json() for result in self.arms},
            "test_patients": self.patients,
            "lesions": dict(self.lesions),
            "real_cases": self.cases[0],
            "synthetic_cases": self.cases[1],
            "folds": list(self.folds),
            "synthetic_share": {name: list(shares) for name, shares in self.shares.items()},
            "validation_dice": {name: list(found) for name, found in self.validation.items()},
            "epochs": self.steps[0],
            "iterations": self.steps[1],
            "share_of_nnunets_course": self.course,
            "gain_in_points": self.gain,
            "unit_of_distances": self.unit,
            "tolerance": self.tolerance,
            "notes": list(self.notes),
            "facts": dict(self.facts),
        }
