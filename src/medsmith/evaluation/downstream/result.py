"""Numerical results of the utility experiment."""

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
    """Results of one arm on the test cases.

    Attributes:
        arm: the training data.
        dice: mean over test cases of the Dice averaged over seeds (and labels).
        gain: mean over test cases of the paired difference of Dice to the real arm; None for the real arm.
        gain_without_near_duplicates: the same over the test cases without a near-duplicate in the real training cases;
            None if all have one.
        seeds: mean Dice of each seed.
        seed_gains: mean gain of each seed; empty for the real arm.
        labels: mean Dice of each label.
    """

    arm: Arm
    dice: Estimate
    gain: Estimate | None
    gain_without_near_duplicates: Estimate | None
    seeds: tuple[float, ...]
    seed_gains: tuple[float, ...]
    labels: Mapping[str, float]

    @property
    def verdict(self) -> str:
        """A gain or loss only if the interval and every single seed agree, since the interval does not cover seeds."""
        if self.gain is None:
            return ""
        if self.gain.low > 0 and min(self.seed_gains) > 0:
            return "a gain"
        if self.gain.high < 0 and max(self.seed_gains) < 0:
            return "a loss"
        return "no difference that these cases and seeds could show"

    def as_json(self) -> Mapping[str, object]:
        """The result as JSON values."""
        clean = self.gain_without_near_duplicates
        return {
            "real_cases": self.arm.real,
            "synthetic_cases": self.arm.synthetic,
            "dice": self.dice.as_json(),
            "gain": self.gain.as_json() if self.gain else None,
            "gain_without_near_duplicates": clean.as_json() if clean else None,
            "seeds": self.seeds,
            "seed_gains": self.seed_gains,
            "verdict": self.verdict,
            "labels": dict(self.labels),
        }


@final
@dataclass(frozen=True)
class Utility:
    """Results of the utility experiment.

    Attributes:
        arms: real alone, synthetic alone, synthetic then real, then both at rising ratios.
        near_duplicates: proportion of test cases with a near-duplicate among the real training cases.
        facts: hashes, counts, settings, versions.
    """

    arms: tuple[ArmResult, ...]
    near_duplicates: Estimate
    facts: Mapping[str, str]

    def as_json(self) -> Mapping[str, object]:
        """All results as JSON values."""
        return {
            "warning": WARNING,
            "arms": {result.arm.name: result.as_json() for result in self.arms},
            "test_cases_with_near_duplicate_in_training": self.near_duplicates.as_json(),
            "facts": dict(self.facts),
        }


def summarize_arm(
    arm: Arm,
    scores: Float64[np.ndarray, "seeds n labels"],
    of_real: Float64[np.ndarray, "seeds n labels"],
    label_names: tuple[str, ...],
    without_near_duplicate: Bool[np.ndarray, " n"],
) -> ArmResult:
    """Estimates of one arm; scores are averaged over seeds and bootstrapped over cases.

    Args:
        arm: the training data.
        scores: Dice of the arm.
        of_real: Dice of the real arm with the same seeds on the same cases.
        label_names: without background.
        without_near_duplicate: whether a test case has no near-duplicate in the real training cases.
    """
    cases, difference = scores.mean(axis=(0, 2)), (scores - of_real).mean(axis=(0, 2))
    compared = arm.synthetic > 0
    clean = difference[without_near_duplicate]
    return ArmResult(
        arm=arm,
        dice=mean_of_cases(cases, seed=0),
        gain=mean_of_cases(difference, seed=0) if compared else None,
        gain_without_near_duplicates=mean_of_cases(clean, seed=0) if compared and len(clean) else None,
        seeds=tuple(float(mean) for mean in scores.mean(axis=(1, 2))),
        seed_gains=tuple(float(mean) for mean in (scores - of_real).mean(axis=(1, 2))) if compared else (),
        labels=dict(zip(label_names, (float(mean) for mean in scores.mean(axis=(0, 1))), strict=True)),
    )
