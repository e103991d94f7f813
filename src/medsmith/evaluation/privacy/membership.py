"""Membership inference by distance: whether training cases lie nearer to the synthetic ones than held-out cases do.

The attacker of Chen et al. (2020, GAN-Leaks, black box) sees the synthetic cases alone and takes a case for one of
training if its nearest synthetic case is near. The advantage is the largest difference of the true and false positive
rates over all thresholds (Yeom et al. 2018, definition 4, at the attacker's best threshold). As a maximum it is above 0
even for a generator that leaks nothing: it is reported with the level that chance reaches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Float64
from scipy.stats import rankdata

from medsmith.evaluation.fidelity.bootstrap import LEVEL, Estimate

RESAMPLES = 1000


@final
@dataclass(frozen=True)
class Membership:
    """How well membership in the training cohort is inferred.

    Attributes:
        auc: area under the ROC curve, 0.5 by chance.
        advantage: largest true minus false positive rate.
        chance: the advantage that 95 % of random divisions of these cases stay below.
        members: number of training cases.
        others: number of held-out cases.
    """

    auc: Estimate
    advantage: Estimate
    chance: float
    members: int
    others: int

    def as_json(self) -> Mapping[str, object]:
        """The result as JSON values."""
        return {
            "auc": self.auc.as_json(),
            "advantage": self.advantage.as_json(),
            "advantage_by_chance": self.chance,
            "training_cases": self.members,
            "held_out_cases": self.others,
        }


def infer_membership(members: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"], seed: int = 0) -> Membership:
    """ROC AUC and advantage with percentile bootstrap intervals over the cases of both kinds.

    Args:
        members: nearness of each training case to the synthetic ones, larger if nearer; at least one.
        others: of each held-out case; at least one.
        seed: of the resampling.
    """
    rng, n, m = np.random.default_rng(seed), len(members), len(others)
    pooled = np.concatenate([members, others]).astype(np.float64)
    drawn, shuffled = np.empty((RESAMPLES, 2)), np.empty(RESAMPLES)
    for row in range(RESAMPLES):
        x, y = members[rng.integers(0, n, n)], others[rng.integers(0, m, m)]
        drawn[row] = auc_of(x, y), advantage_of(x, y)
        mixed = rng.permutation(pooled)
        shuffled[row] = advantage_of(mixed[:n], mixed[n:])
    ends = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    values = auc_of(members, others), advantage_of(members, others)
    found = [
        Estimate(value, float(min(low, value)), float(max(high, value)), n + m, "percentile bootstrap over cases")
        for value, low, high in zip(values, *ends, strict=True)
    ]
    return Membership(found[0], found[1], float(np.quantile(shuffled, LEVEL)), n, m)


def auc_of(members: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> float:
    """Probability that a member has the larger value; ties count half."""
    n, m = len(members), len(others)
    ranks = rankdata(np.concatenate([members, others]))[:n].sum()
    return float((ranks - n * (n + 1) / 2) / (n * m))


def advantage_of(members: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> float:
    """Largest difference of the shares of members and others at or above a threshold; at least 0."""
    levels = np.concatenate([members, others])
    rates: list[Float64[np.ndarray, " levels"]] = [
        1 - np.searchsorted(np.sort(values), levels, side="left") / len(values) for values in (members, others)
    ]
    return max(0.0, float((rates[0] - rates[1]).max()))
