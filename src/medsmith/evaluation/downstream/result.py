"""What the segmentation networks reached, as numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64

from medsmith.evaluation.downstream.arms import Arm
from medsmith.evaluation.fidelity.bootstrap import Estimate, mean_of_cases
from medsmith.evaluation.pages.page import WARNING


@final
@dataclass(frozen=True)
class ArmResult:
    """One arm on the test cases.

    Attributes:
        arm: what was learnt from.
        dice: mean over test cases of the Dice averaged over seeds (and labels).
        gain: mean over test cases of the paired difference to the real arm, in points of Dice; None for itself.
        gain_without_twins: the same over the test cases without a near-duplicate in training; None where all have one.
        seeds: mean Dice of each seed.
        seed_gains: mean gain of each seed; empty for the real arm.
        labels: mean Dice of each label.
    """

    arm: Arm
    dice: Estimate
    gain: Estimate | None
    gain_without_twins: Estimate | None
    seeds: tuple[float, ...]
    seed_gains: tuple[float, ...]
    labels: Mapping[str, float]

    @property
    def verdict(self) -> str:
        """Gain or loss only where the interval and every single seed agree: the interval covers cases, not seeds."""
        if self.gain is None:
            return ""
        if self.gain.low > 0 and min(self.seed_gains) > 0:
            return "a gain"
        if self.gain.high < 0 and max(self.seed_gains) < 0:
            return "a loss"
        return "no difference that these cases and seeds could show"

    def as_json(self) -> Mapping[str, object]:
        """Plain numbers for a JSON file."""
        return {
            "real_cases": self.arm.real,
            "synthetic_cases": self.arm.synthetic,
            "dice": self.dice.as_json(),
            "gain": self.gain.as_json() if self.gain else None,
            "gain_without_twins": self.gain_without_twins.as_json() if self.gain_without_twins else None,
            "seeds": self.seeds,
            "seed_gains": self.seed_gains,
            "verdict": self.verdict,
            "labels": dict(self.labels),
        }


@final
@dataclass(frozen=True)
class Utility:
    """How useful the synthetic cases are for training a segmentation network.

    Attributes:
        arms: real alone, synthetic alone, synthetic then real, then both at rising ratios.
        twins: share of test cases with a near-duplicate among the real training cases.
        facts: hashes, counts, settings, versions.
    """

    arms: tuple[ArmResult, ...]
    twins: Estimate
    facts: Mapping[str, str]

    def as_json(self) -> Mapping[str, object]:
        """Everything as plain numbers and text."""
        return {
            "warning": WARNING,
            "arms": {result.arm.name: result.as_json() for result in self.arms},
            "test_cases_with_twin_in_training": self.twins.as_json(),
            "facts": dict(self.facts),
        }


def summarise(
    arm: Arm,
    scores: Float64[np.ndarray, "seeds n labels"],
    of_real: Float64[np.ndarray, "seeds n labels"],
    label_names: tuple[str, ...],
    without_twin: Bool[np.ndarray, " n"],
) -> ArmResult:
    """Estimates of one arm; cases are what is drawn again, seeds are averaged.

    Args:
        arm: what was learnt from.
        scores: its Dice.
        of_real: Dice of the real arm with the same seeds on the same cases.
        label_names: without background.
        without_twin: test cases that have no near-duplicate in training.
    """
    cases, difference = scores.mean(axis=(0, 2)), (scores - of_real).mean(axis=(0, 2))
    compared = arm.synthetic > 0
    clean = mean_of_cases(difference[without_twin], seed=0) if compared and without_twin.any() else None
    return ArmResult(
        arm=arm,
        dice=mean_of_cases(cases, seed=0),
        gain=mean_of_cases(difference, seed=0) if compared else None,
        gain_without_twins=clean,
        seeds=tuple(float(mean) for mean in scores.mean(axis=(1, 2))),
        seed_gains=tuple(float(mean) for mean in (scores - of_real).mean(axis=(1, 2))) if compared else (),
        labels=dict(zip(label_names, (float(mean) for mean in scores.mean(axis=(0, 1))), strict=True)),
    )
