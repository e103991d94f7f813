"""Fidelity and diversity: density and coverage (Naeem et al. 2020), k = 5.

With B(x) the ball around a real case x whose radius is the distance to its k-th nearest real neighbor:

    density  = 1/(k m) sum over synthetic y of the number of balls B(x) that contain y   (1 for equal distributions)
    coverage = proportion of real x whose ball contains a synthetic case   (1 - 2^-k = .969 for equal distributions)

Precision and recall (Kynkäänniemi et al. 2019) are omitted: for equal distributions they are far below 1 in high
dimensions. Density may exceed 1.
"""

import numpy as np
from jaxtyping import Float64, Int
from scipy.spatial.distance import cdist

from medsmith.evaluation.fidelity.comparison import Distance, Statistic

NEIGHBORS = 5


def density(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Statistic:
    """Density of the synthetic sample y with respect to the real sample x, for subsets of both."""
    within, across = cdist(x, x), cdist(x, y)

    def between(of_x: Int[np.ndarray, " i"], of_y: Int[np.ndarray, " j"]) -> float:
        real, counts = np.unique(of_x, return_counts=True)
        contained = across[np.ix_(real, of_y)] <= _radii(within, real)[:, None]
        return float((counts @ contained).sum() / (NEIGHBORS * len(of_y)) * len(real) / len(of_x))

    return between


def coverage(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Statistic:
    """Coverage of the real sample x by the synthetic sample y, for subsets of both."""
    within, across = cdist(x, x), cdist(x, y)

    def between(of_x: Int[np.ndarray, " i"], of_y: Int[np.ndarray, " j"]) -> float:
        real, counts = np.unique(of_x, return_counts=True)
        contained = across[np.ix_(real, np.unique(of_y))] <= _radii(within, real)[:, None]
        return float(counts @ contained.any(axis=1) / counts.sum())

    return between


def _radii(within: Float64[np.ndarray, "n n"], real: Int[np.ndarray, " i"]) -> Float64[np.ndarray, " i"]:
    """Distance of each real case to its k-th nearest other case (rank 0 is the case itself)."""
    k = min(NEIGHBORS, len(real) - 1)
    radii: Float64[np.ndarray, " i"] = np.partition(within[np.ix_(real, real)], k, axis=1)[:, k]
    return radii


DENSITY = Distance("density", density, (0.0, np.inf))
COVERAGE = Distance("coverage", coverage, (0.0, 1.0))
