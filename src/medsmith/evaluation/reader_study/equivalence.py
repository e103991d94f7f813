"""Equivalence to chance, and how many decisions it takes to show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, final

import numpy as np
from scipy import stats

from medsmith.evaluation.reader_study.power import LEVEL, POWER, images_needed
from medsmith.evaluation.reader_study.readers import ReaderAverage

CHANCE = 0.5


class Measure(StrEnum):
    """What is compared with chance."""

    AUC = "AUC"
    """Of a study of single images; the margin of such a study is declared for it."""
    ACCURACY = "accuracy"
    """Both kinds weighted equally."""
    PAIRS = "share of right pairs"


@final
@dataclass(frozen=True)
class EquivalenceTest:
    """Two one-sided tests (Schuirmann 1987) that an average over readers lies within a margin of .5.

    Attributes:
        average: the average.
        margin: half width of the range that counts as chance.
        declared: the margin stated when the study was created.
        measure: what is averaged.
    """

    average: ReaderAverage
    margin: float
    declared: float
    measure: Measure = Measure.AUC

    @property
    def p(self) -> float:
        """The larger p of the two one-sided tests."""
        above = self.average.probability_above(CHANCE - self.margin)
        return max(above, 1 - self.average.probability_above(CHANCE + self.margin))

    @property
    def equivalent(self) -> bool:
        """Whether equivalence is shown at 5 %."""
        return self.p < LEVEL

    @property
    def different(self) -> bool:
        """Whether a difference from .5 is shown: the 95 % interval excludes it."""
        low, high = self.average.interval()
        return not low <= CHANCE <= high

    @property
    def images_needed(self) -> int | None:
        """Images for 80 % power with these readers; None where their variance alone is too large."""
        return images_needed(self.average.parts, self.average.readers, self.average.cases, self.margin)

    @property
    def verdict(self) -> str:
        """What the numbers show, and what they do not."""
        low, high = self.average.interval(1 - 2 * LEVEL)
        within = f"{CHANCE - self.margin:.2f} to {CHANCE + self.margin:.2f}"
        facts = f"90 % interval {low:.2f} to {high:.2f}, margin {within}, p = {self.p:.3f}"
        if self.equivalent and self.different:
            return f"equivalent to chance within the margin, though not exactly chance ({facts})"
        if self.equivalent:
            return f"equivalent to chance within the margin ({facts})"
        if self.different:
            side = "told apart" if self.average.value > CHANCE else "taken for each other more often than by chance"
            return f"not equivalent: real and synthetic images were {side} ({facts})"
        return (
            f"undecided: neither a difference from chance nor equivalence is shown; that no difference was found is no "
            f"evidence that there is none ({facts})"
        )

    def as_json(self) -> Mapping[str, Any]:
        """The test as JSON values."""
        return {
            "margin": self.margin,
            "margin_declared": self.declared,
            "margin_changed_after_creation": self.margin != self.declared,
            "interval_90": self.average.interval(1 - 2 * LEVEL),
            "p": self.p,
            "equivalent": self.equivalent,
            "different_from_chance": self.different,
            "verdict": self.verdict,
            "decisions_needed_if_independent": decisions_for_equivalence(self.margin, self.measure),
            "images_needed_with_these_readers": self.images_needed,
        }


def decisions_for_equivalence(margin: float, measure: Measure) -> int:
    """Independent decisions needed to show equivalence at 5 % with 80 % power where readers truly guess.

    From the normal approximation of two one-sided tests, in which the variance must not exceed
    v = margin^2 / (z(.95) + z(.90))^2. That of a share of N decisions is .25 / N. That of an AUC of n real and m
    synthetic images, rated at random without ties, is (n + m + 1) / (12 n m), as of Mann and Whitney's U (1947); with
    n = m it is larger than that of the share by a third. Decisions of several readers on the same images are not
    independent, so that more are needed in practice.

    Args:
        margin: half width of the range that counts as chance.
        measure: whose variance is taken; the decisions of an AUC are of as many real as synthetic images.
    """
    most = (margin / _z_sum()) ** 2
    if measure is Measure.AUC:
        return 2 * int(np.ceil((1 + np.sqrt(1 + 12 * most)) / (12 * most)))
    return int(np.ceil(CHANCE * (1 - CHANCE) / most))


def _z_sum() -> float:
    """The z of both one-sided tests, and of the power with which both must reject."""
    return float(stats.norm.ppf(1 - LEVEL) + stats.norm.ppf(1 - (1 - POWER) / 2))
