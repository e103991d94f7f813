"""The similarity above which a case counts as a copy: a quantile of what real cases reach that are no copies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64

from medsmith.data.similarity import LEAST_COPY, NEAR_DUPLICATE
from medsmith.evaluation.fidelity.bootstrap import LEVEL, Estimate, proportion

QUANTILE = 0.99
CALIBRATED = 19
"""Fewest real cases whose largest value no more than 1 in 20 new ones exceed by chance."""
_RESAMPLES = 2000
_DUPLICATE = 0.97
"""Median from which on the reference consists of duplicates."""
_BLOCK = 200


@final
@dataclass(frozen=True)
class Levels:
    """Fixed levels of a measure of similarity.

    Attributes:
        least: what is less similar is no copy in any cohort.
        near_duplicate: two real cases that are as similar show the same scene; they are no measure of chance.
    """

    least: float
    near_duplicate: float


IMAGES, MAPS = Levels(LEAST_COPY, NEAR_DUPLICATE), Levels(LEAST_COPY, 0.995)


@final
@dataclass(frozen=True)
class Threshold:
    """A threshold with what it rests on.

    Attributes:
        limit: the threshold, with its bootstrap interval; n is the number of real cases that it rests on.
        near_duplicates: proportion of the real cases that were left out as near-duplicates of training cases; None
            without real cases.
        false_alarms: proportion of the others that exceed the threshold computed without them (leave-one-out); None
            if they are fewer than two, which leave nothing to compute it from.
    """

    limit: Estimate
    near_duplicates: Estimate | None
    false_alarms: Estimate | None

    @classmethod
    def of(cls, reference: Float64[np.ndarray, " n"], levels: Levels, seed: int) -> "Threshold":
        """From the similarity of real cases to their nearest training case.

        Near-duplicates are left out, unless more than half of the cases would be and the median is below .97: then all
        cases look alike, and none is a duplicate.

        Args:
            reference: one value per real case that is not itself a training case; none leave a fixed threshold.
            levels: of the measure.
            seed: of the bootstrap.
        """
        kept = reference[~_duplicates(reference, levels)]
        omitted = proportion(len(reference) - len(kept), len(reference)) if len(reference) else None
        if len(kept) < 2:
            value = levels.near_duplicate
            return cls(Estimate(value, value, value, len(kept), "fixed: too few real cases"), omitted, None)
        value = _quantile(kept, levels)
        low, high = np.quantile(_resampled(kept, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        low, high = (max(float(end), levels.least) for end in (low, high))
        alarms = sum(own > _quantile(np.delete(kept, row), levels) for row, own in enumerate(kept))
        limit = Estimate(value, min(low, value), max(high, value), len(kept), "percentile bootstrap over cases")
        return cls(limit, omitted, proportion(int(alarms), len(kept)))

    @property
    def is_calibrated(self) -> bool:
        """Whether the real cases suffice to hold false alarms to 5 %: their largest value is exceeded by 1 in n + 1."""
        return self.limit.n >= CALIBRATED

    def origin(self, whose: str) -> str:
        """What the threshold is: a percentile of real cases, or fixed.

        Args:
            whose: the real cases are, such as "held-out real cases".
        """
        if self.false_alarms is None:
            return "fixed: too few real cases to set one"
        return f"the 99th percentile of {self.limit.n} {whose}, at least {LEAST_COPY:g}"

    def as_json(self) -> Mapping[str, object]:
        """The threshold as JSON values."""
        return {
            "quantile": QUANTILE,
            "limit": self.limit.as_json(),
            "cases_for_5_percent_false_alarms": CALIBRATED,
            "holds_5_percent_false_alarms": self.is_calibrated,
            "near_duplicates": self.near_duplicates.as_json() if self.near_duplicates else None,
            "false_alarms_leave_one_out": self.false_alarms.as_json() if self.false_alarms else None,
        }


def uncalibrated_notes(thresholds: Mapping[str, Threshold], whose: str) -> tuple[str, ...]:
    """One sentence on the thresholds that rest on too few real cases; none if all rest on enough.

    Args:
        thresholds: what is compared -> threshold.
        whose: the real cases are, such as "held-out".
    """
    few = {what: each.limit.n for what, each in thresholds.items() if not each.is_calibrated}
    if not few:
        return ()
    listed, chance = ", ".join(f"{what} {n}" for what, n in few.items()), 100 / (min(few.values()) + 1)
    return (
        f"Too few {whose} cases to set the thresholds for copies ({listed}; near-duplicates do not count): of n cases "
        f"the largest similarity is exceeded by about 1 in n + 1 new real cases by chance, here {chance:.0f} %. "
        f"False alarms of no more than 5 % need at least {CALIBRATED} {whose} cases, better 100.",
    )


def _duplicates(reference: Float64[np.ndarray, " n"], levels: Levels) -> Bool[np.ndarray, " n"]:
    found = reference >= levels.near_duplicate
    look_alike = len(found) > 1 and found.mean() > 0.5 and float(np.median(reference)) < _DUPLICATE
    return np.zeros_like(found) if look_alike else found


def _quantile(values: Float64[np.ndarray, " n"], levels: Levels) -> float:
    return max(float(np.quantile(values, QUANTILE)), levels.least)


def _resampled(values: Float64[np.ndarray, " n"], seed: int) -> Float64[np.ndarray, " resamples"]:
    rng = np.random.default_rng(seed)
    blocks = [values[rng.integers(0, len(values), (_BLOCK, len(values)))] for _ in range(_RESAMPLES // _BLOCK)]
    return np.concatenate([np.quantile(block, QUANTILE, axis=1) for block in blocks])
