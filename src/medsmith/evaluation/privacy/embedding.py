"""Nearness in a space of features: authenticity, distance ratio and membership."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64
from scipy.spatial.distance import cdist

from medsmith.evaluation.fidelity.bootstrap import Estimate, proportion
from medsmith.evaluation.privacy.membership import LEAST, Membership, infer_membership, tested

QUANTILE = 0.01
"""Of the distance ratios of held-out real cases, below which a synthetic case is too near to one training case."""


@final
@dataclass(frozen=True)
class Nearness:
    """Distances of synthetic cases to training cases in one space of features.

    Attributes:
        authentic: proportion of synthetic cases that are farther from their nearest training case than that is from
            its own nearest other training case (Alaa et al. 2022, "How faithful is your synthetic data?", section 3).
        authentic_held_out: of held-out real cases, the value to compare with; None if there are none.
        ratio_limit: first percentile of the distance ratio d1 / d2 of held-out real cases, where d1 and d2 are the
            distances to the nearest and the second nearest training case; None if there are none.
        below_ratio: proportion of synthetic cases below it; None likewise.
        membership: inferred from the distance to the nearest synthetic case; None likewise, or of fewer than ``LEAST``.
    """

    authentic: Estimate
    authentic_held_out: Estimate | None
    ratio_limit: float | None
    below_ratio: Estimate | None
    membership: Membership | None

    def as_json(self) -> Mapping[str, object]:
        """The result as JSON values."""
        parts = {
            "authentic": self.authentic,
            "authentic_held_out": self.authentic_held_out,
            "below_distance_ratio": self.below_ratio,
            "membership": self.membership,
        }
        return {"distance_ratio_limit": self.ratio_limit} | {
            name: None if part is None else part.as_json() for name, part in parts.items()
        }


def measure_nearness(
    synthetic: Float64[np.ndarray, "m d"],
    training: Float64[np.ndarray, "n d"],
    held_out: Float64[np.ndarray, "h d"] | None,
    seed: int = 0,
    owners: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Nearness:
    """Distances after features are standardized by their spread in the training cohort.

    Args:
        synthetic: one row per synthetic case.
        training: at least three rows.
        held_out: rows of held-out real cases, or None.
        seed: of the resampling.
        owners: patients of the training and held-out rows; see ``infer_membership``.
    """
    center, spread = training.mean(axis=0), training.std(axis=0)
    spread = np.where(spread > 0, spread, 1)
    x, y = (training - center) / spread, (synthetic - center) / spread
    within = cdist(x, x)
    np.fill_diagonal(within, np.inf)
    own = within.min(axis=1)
    authentic, ratio, nearest = _compared(y, x, own)
    if held_out is None:
        return Nearness(proportion(int(authentic.sum()), len(y)), None, None, None, None)
    others = (held_out - center) / spread
    authentic_real, ratio_real, _ = _compared(others, x, own)
    limit = float(np.quantile(ratio_real, QUANTILE))
    unseen = -cdist(others, y).min(axis=1)
    enough = min(tested(len(x), len(others), owners)) >= LEAST
    return Nearness(
        proportion(int(authentic.sum()), len(y)),
        proportion(int(authentic_real.sum()), len(others)),
        limit,
        proportion(int((ratio < limit).sum()), len(y)),
        infer_membership(-nearest, unseen, seed, owners) if enough else None,
    )


def _compared(
    y: Float64[np.ndarray, "m d"], x: Float64[np.ndarray, "n d"], own: Float64[np.ndarray, " n"]
) -> tuple[Bool[np.ndarray, " m"], Float64[np.ndarray, " m"], Float64[np.ndarray, " n"]]:
    """Whether each row of y is authentic, its ratio d1 / d2, and the distance of each row of x to the nearest of y."""
    distances = cdist(y, x)
    first, second = np.partition(distances, 1, axis=1)[:, :2].T
    ratio: Float64[np.ndarray, " m"] = first / np.maximum(second, np.finfo(float).tiny)
    return first > own[distances.argmin(axis=1)], ratio, distances.min(axis=0)
