"""Whether a measured property follows what is asked for: the statistics of one attribute.

Axes: n draws, k levels of the attribute in the order in which the property should rise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float64
from scipy import stats

from medsmith.evaluation.fidelity.bootstrap import LEVEL, Estimate, mean_of_few
from medsmith.evaluation.multiple_tests import holm
from medsmith.evaluation.reader_study.auc import paired_auc

Verdict = Literal["controlled", "uncontrolled", "reversed"]
SIGNIFICANT = 0.05
_EXACT, _SWAPS = 12, 10_000
"""Most pairs all of whose exchanges are listed, and the exchanges that are drawn of more."""
_TINY = 1e-9


@final
@dataclass(frozen=True)
class ShuffledControl:
    """The AUC where the requests of each pair are exchanged at random: what an ignored request gives.

    Attributes:
        mean: .5 but for the exchanges drawn.
        low: 2.5th percentile.
        high: 97.5th percentile.
        p_value: share of the exchanges whose AUC is as far from .5 as the one found, or farther: exact for an attribute
            that changes nothing.
        exchanges: how many; all of them where the pairs are few.
    """

    mean: float
    low: float
    high: float
    p_value: float
    exchanges: int

    def as_json(self) -> Mapping[str, float | int]:
        """The control as JSON values."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "exchanges": self.exchanges}


@final
@dataclass(frozen=True, eq=False)
class AttributeResult:
    """One attribute.

    Attributes:
        values: the property of each draw and level.
        auc: probability that the property is larger at the highest level than at the lowest, over all couples.
        shuffled: its control.
        difference: the property at the highest level less that at the lowest, mean over pairs.
        order: Kendall's tau-b of level and property in each draw, mean over draws; None with two levels.
        corrected: p value of the control by Holm's procedure over the attributes of the run.
    """

    values: Float64[np.ndarray, "n k"]
    auc: Estimate
    shuffled: ShuffledControl
    difference: Estimate
    order: Estimate | None
    corrected: float

    @classmethod
    def of(cls, values: Float64[np.ndarray, "n k"], seed: int = 0) -> "AttributeResult":
        """The statistics of an attribute that is the only one.

        Args:
            values: without gaps; at least two draws and two levels.
            seed: of the exchanges.
        """
        lowest, highest = values[:, 0], values[:, -1]
        shuffled = shuffled_control(lowest, highest, seed)
        order = mean_of_few(order_of(values), "draws", (-1.0, 1.0)) if values.shape[1] > 2 else None
        difference = mean_of_few(highest - lowest, "pairs")
        return cls(values, paired_auc(lowest, highest), shuffled, difference, order, shuffled.p_value)

    @property
    def verdict(self) -> Verdict:
        """Uncontrolled where the interval of the AUC holds .5, or where the corrected p value is not below .05."""
        if self.auc.low <= 0.5 <= self.auc.high or self.corrected >= SIGNIFICANT:
            return "uncontrolled"
        return "controlled" if self.auc.value > 0.5 else "reversed"

    def as_json(self) -> Mapping[str, object]:
        """The statistics as JSON values."""
        return {
            "verdict": self.verdict,
            "pairs": len(self.values),
            "means": self.values.mean(axis=0).tolist(),
            "auc": self.auc.as_json(),
            "shuffled_auc": self.shuffled.as_json(),
            "p_value": self.shuffled.p_value,
            "p_value_holm": self.corrected,
            "difference": self.difference.as_json(),
            "order": None if self.order is None else self.order.as_json(),
        }


def corrected(results: Sequence[AttributeResult]) -> list[AttributeResult]:
    """The same results with p values corrected for their number by Holm's procedure."""
    p_values = holm(np.array([result.shuffled.p_value for result in results], np.float64))
    return [replace(result, corrected=float(p)) for result, p in zip(results, p_values, strict=True)]


def shuffled_control(
    lower: Float64[np.ndarray, " n"], higher: Float64[np.ndarray, " n"], seed: int = 0
) -> ShuffledControl:
    """The AUC with the two values of pairs exchanged: all 2^n ways for 12 pairs or fewer, else 10,000 drawn ones.

    An exchange leaves the pooled values, and hence their ranks, as they are; the AUC follows from the sum of the ranks.

    Args:
        lower: of each pair, the value of the lowest level.
        higher: of the same pairs, that of the highest.
        seed: of the drawn exchanges.
    """
    n = len(lower)
    ranks = stats.rankdata(np.concatenate([lower, higher]))
    of_lower, of_higher = ranks[:n], ranks[n:]
    swaps = _exchanges(n, seed)
    sums = of_higher.sum() + swaps @ (of_lower - of_higher)
    auc = (sums - n * (n + 1) / 2) / n**2
    found = (of_higher.sum() - n * (n + 1) / 2) / n**2
    as_far = int(np.count_nonzero(np.abs(auc - 0.5) >= abs(found - 0.5) - _TINY))
    # Of drawn exchanges the identity, which is as far by definition, is counted besides.
    drawn = int(n > _EXACT)
    low, high = np.quantile(auc, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    p_value = (as_far + drawn) / (len(swaps) + drawn)
    return ShuffledControl(float(auc.mean()), float(low), float(high), p_value, len(swaps))


def _exchanges(n: int, seed: int) -> Bool[np.ndarray, "m n"]:
    if n <= _EXACT:
        return np.asarray((np.arange(2**n)[:, None] >> np.arange(n)) & 1, bool)
    return np.random.default_rng(seed).random((_SWAPS, n)) < 0.5


def order_of(values: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, " n"]:
    """Kendall's tau-b of level and property in each draw: 1 where the property rises with every level.

    A draw whose property is the same at all levels has 0.
    """
    levels = np.arange(values.shape[1])
    found = [0.0 if np.ptp(row) == 0 else float(stats.kendalltau(levels, row).statistic) for row in values]
    return np.array(found, np.float64)
