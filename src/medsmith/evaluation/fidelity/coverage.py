"""Fidelity and diversity: density and coverage (Naeem et al. 2020), k = 5.

With B(x) the ball around a real case x whose radius is the distance to its k-th nearest real neighbor:

    density  = 1/(k m) sum over synthetic y of the number of balls B(x) that contain y   (1 for equal distributions)
    coverage = proportion of real x whose ball contains a synthetic case   (1 - 2^-k = .969 for equal distributions)

Precision and recall (Kynkäänniemi et al. 2019) are omitted: for equal distributions they are far below 1 in high
dimensions. Density may exceed 1.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int
from scipy.spatial.distance import cdist

from medsmith.evaluation.fidelity.statistic import Distance, Kind, Leverage, Sampled, centered

NEIGHBORS = 5


@final
@dataclass(frozen=True, eq=False)
class _Balls:
    """The balls around the real cases of several pairs of samples.

    Attributes:
        k: the neighbor at which a ball ends.
        inside: whether the ball of a real case contains a synthetic one.
        wider: the same for the ball that ends at neighbor k + 1.
        near: whether the second real case is among the k nearest ones of the first: without it the ball gets wider.
    """

    k: int
    inside: Bool[np.ndarray, "s n m"]
    wider: Bool[np.ndarray, "s n m"]
    near: Bool[np.ndarray, "s n n"]

    def without(self, kept: Float64[np.ndarray, "s n"], widened: Float64[np.ndarray, "s n"]) -> Leverage:
        """How much a sum over balls loses without each real case, given it for every ball and every wider one."""
        gained = np.einsum("sai,sa->si", self.near.astype(np.float64), widened - kept)
        lost: Leverage = kept - gained
        return lost


def _balls(distances: Float64[np.ndarray, "r r"], of_x: Int[np.ndarray, "s i"], of_y: Int[np.ndarray, "s j"]) -> _Balls:
    count = of_x.shape[1]
    k = min(NEIGHBORS, count - 1)
    within = distances[of_x[:, :, None], of_x[:, None]]
    # Rank 0 is the case itself.
    ranked = np.partition(within, sorted({k, min(k + 1, count - 1)}), axis=2)
    radius, next_radius = ranked[:, :, k, None], ranked[:, :, min(k + 1, count - 1), None]
    across = distances[of_x[:, :, None], of_y[:, None]]
    near = (within <= radius) & ~np.eye(count, dtype=bool)
    return _Balls(k, across <= radius, across <= next_radius, near)


@final
class Density:
    """Density of synthetic subsets with respect to real ones.

    Args:
        rows: features of all cases.
    """

    def __init__(self, rows: Float64[np.ndarray, "n d"]) -> None:
        self._distances = cdist(rows, rows)

    def __call__(self, of_x: Int[np.ndarray, "s i"], of_y: Int[np.ndarray, "s j"]) -> Sampled:
        """Density and its jackknife; the first subset is the real one."""
        balls, made = _balls(self._distances, of_x, of_y), of_y.shape[1]
        held = np.asarray(balls.inside.sum(2), np.float64)
        widened = np.asarray(balls.wider.sum(2), np.float64)
        of_x_moved = centered(balls.without(held, widened)) / (balls.k * made)
        of_y_moved = centered(balls.inside.sum(1).astype(np.float64)) / (balls.k * max(made - 1, 1))
        return Sampled(held.sum(1) / (balls.k * made), of_x_moved, of_y_moved)


@final
class Coverage:
    """Coverage of real subsets by synthetic ones.

    Args:
        rows: features of all cases.
    """

    def __init__(self, rows: Float64[np.ndarray, "n d"]) -> None:
        self._distances = cdist(rows, rows)

    def __call__(self, of_x: Int[np.ndarray, "s i"], of_y: Int[np.ndarray, "s j"]) -> Sampled:
        """Coverage and its jackknife; the first subset is the real one."""
        balls, count = _balls(self._distances, of_x, of_y), of_x.shape[1]
        held = balls.inside.sum(2)
        covered = (held > 0).astype(np.float64)
        widened = np.asarray(balls.wider.any(2), np.float64)
        only = (balls.inside & (held == 1)[:, :, None]).sum(1).astype(np.float64)
        of_x_moved = centered(balls.without(covered, widened)) / max(count - 1, 1)
        return Sampled(covered.mean(1), of_x_moved, centered(only) / count)


DENSITY = Distance("density", Density, (0.0, np.inf))
COVERAGE = Distance("coverage", Coverage, (0.0, 1.0), Kind.SHARE)
