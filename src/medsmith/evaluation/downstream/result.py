"""Numerical results of the utility experiment."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from medsmith.errors import counted
from medsmith.evaluation.downstream.arms import Arm
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.pages.page import WARNING

MOST_RISE = 0.01
"""Dice that R may gain from twice the steps; above it the course is too short for a verdict."""
FEWEST_STEPS = 100
"""A tenth of the default course: below it networks have hardly begun to learn, and a flat course says nothing."""
ALPHA = 0.05
GAIN, LOSS, NONE, WITHHELD = "a gain", "a loss", "no difference that this experiment can show", "verdict withheld"


@final
@dataclass(frozen=True)
class Comparison:
    """A measure of an arm.

    Attributes:
        value: mean over subsets, seeds and test patients.
        gain: paired difference to R; None for R.
        p_value: two-sided, of the gain; None for R.
        corrected: the same by Holm's procedure over structures; None for R and for means over structures.
    """

    value: Estimate
    gain: Estimate | None = None
    p_value: float | None = None
    corrected: float | None = None

    @property
    def verdict(self) -> str:
        """A gain or a loss where the interval excludes 0 and so does the corrected p value, if there is one."""
        clear = self.corrected is None or self.corrected < ALPHA
        if self.gain is not None and clear and self.gain.low > 0:
            return GAIN
        return LOSS if self.gain is not None and clear and self.gain.high < 0 else NONE

    def as_json(self) -> Mapping[str, Any]:
        """The comparison as JSON values."""
        return {
            "value": self.value.as_json(),
            "gain": self.gain.as_json() if self.gain else None,
            "p_value": self.p_value,
            "p_value_holm": self.corrected,
        }


@final
@dataclass(frozen=True)
class Convergence:
    """Whether the course is long enough: R trained for twice the steps, against R.

    Attributes:
        steps: of all arms.
        rise: of the Dice from ``steps`` to twice as many, with the first seed of every subset.
    """

    steps: int
    rise: Estimate

    @property
    def reached(self) -> bool:
        """Whether R rises by no more than a point, in a course that is no mere start."""
        return self.steps >= FEWEST_STEPS and self.rise.value <= MOST_RISE

    @property
    def proposed(self) -> int | None:
        """Steps after which R should rise by no more than a point, if each doubling gains half of the one before.

        At least ten times ``FEWEST_STEPS`` where the course has fewer than these; None where it is long enough.
        """
        if self.reached:
            return None
        least = 10 * FEWEST_STEPS if self.steps < FEWEST_STEPS else 0
        doublings = max(1, math.ceil(math.log2(max(self.rise.value / MOST_RISE, 1))))
        return max(least, self.steps * int(2**doublings))

    def as_json(self) -> Mapping[str, Any]:
        """The check as JSON values."""
        return {
            "steps": self.steps,
            "rise_at_twice_the_steps": self.rise.as_json(),
            "reached": self.reached,
            "proposed_steps": self.proposed,
        }


@final
@dataclass(frozen=True)
class ArmResult:
    """Results of one arm on the test cases.

    Attributes:
        arm: its training data.
        measures: key of a measure -> mean over structures.
        structures: name -> Dice.
        lesions: size class -> F1 of its lesions.
        least_gain: gain of Dice that can be told from none with 80 % power at 5 %; None for R.
        patients_needed: test patients that the asked gain would need; None for R, and where no number suffices.
        verdict: on the Dice; withheld where the course is too short.
    """

    arm: Arm
    measures: Mapping[str, Comparison]
    structures: Mapping[str, Comparison]
    lesions: Mapping[str, Comparison]
    least_gain: float | None
    patients_needed: int | None
    verdict: str

    @property
    def dice(self) -> Comparison:
        """Dice, mean over structures."""
        return self.measures["dice"]

    def as_json(self) -> Mapping[str, Any]:
        """The result as JSON values."""
        parts = {"measures": self.measures, "structures": self.structures, "lesion_f1": self.lesions}
        return {
            "verdict": self.verdict,
            "least_gain_seen": self.least_gain,
            "test_patients_needed": self.patients_needed,
            **{name: {key: each.as_json() for key, each in found.items()} for name, found in parts.items()},
        }


@final
@dataclass(frozen=True)
class SizeResult:
    """Results of all arms at one number of real cases.

    Attributes:
        cases: real cases of each subset.
        seeds: networks of each arm and subset.
        shared: share of cases that two subsets have in common, on average.
        patients: test patients with a labeled voxel.
        unlabeled: those without one; they have no Dice and can only raise false alarms.
        lesions: size class -> lesions in the reference.
        convergence: of R.
        arms: R first.
    """

    cases: tuple[int, ...]
    seeds: int
    shared: float
    patients: int
    unlabeled: int
    lesions: Mapping[str, int]
    convergence: Convergence
    arms: tuple[ArmResult, ...]

    @property
    def name(self) -> str:
        """Its number of real cases."""
        low, high = min(self.cases), max(self.cases)
        return counted(high, "real case") if low == high else f"{low} to {high} real cases"

    def as_json(self) -> Mapping[str, Any]:
        """The results as JSON values."""
        return {
            "real_cases": list(self.cases),
            "seeds": self.seeds,
            "shared_by_two_subsets": self.shared,
            "test_patients": self.patients,
            "test_patients_without_labels": self.unlabeled,
            "lesions": dict(self.lesions),
            "convergence": self.convergence.as_json(),
            "arms": {result.arm.name: result.as_json() for result in self.arms},
        }


@final
@dataclass(frozen=True)
class Utility:
    """Results of the utility experiment.

    Attributes:
        sizes: by number of real cases.
        gain: in points, that ``patients_needed`` is for.
        unit: of distances, mm or pixels.
        tolerance: of the surface Dice, in this unit.
        notes: what is known of generator and test cases, in sentences.
        facts: hashes, counts, settings, versions.
    """

    sizes: tuple[SizeResult, ...]
    gain: float
    unit: str
    tolerance: float
    notes: tuple[str, ...]
    facts: Mapping[str, str]

    def as_json(self) -> Mapping[str, Any]:
        """All results as JSON values."""
        return {
            "warning": WARNING,
            "sizes": [each.as_json() for each in self.sizes],
            "gain_in_points": self.gain,
            "unit_of_distances": self.unit,
            "tolerance": self.tolerance,
            "notes": list(self.notes),
            "facts": dict(self.facts),
        }
