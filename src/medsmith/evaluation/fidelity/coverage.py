"""Fidelity and diversity apart: density and coverage (Naeem et al. 2020), k = 5.

With r(x) the distance of a real case to its k-th real neighbour and B(x) the ball of that radius:

    density  = 1/(k m) sum over synthetic y of the number of balls B(x) that hold y   (1 on equal laws, may exceed it)
    coverage = share of real x whose ball holds a synthetic case                      (1 - 2^-k = .969 on equal laws)

Precision and recall (Kynkäänniemi et al. 2019) are left out: on equal laws they fall far below 1 in many dimensions.
"""

import numpy as np
from jaxtyping import Float64, Int
from scipy.spatial.distance import cdist

from medsmith.evaluation.fidelity.pairs import Distance, Statistic

NEIGHBOURS = 5


def density(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Statistic:
    """How deep in the real sample x the synthetic cases y lie, for parts of both."""
    within, across = cdist(x, x), cdist(x, y)

    def between(of_x: Int[np.ndarray, " i"], of_y: Int[np.ndarray, " j"]) -> float:
        real, times = np.unique(of_x, return_counts=True)
        held = across[np.ix_(real, of_y)] <= _radii(within, real)[:, None]
        return float((times @ held).sum() / (NEIGHBOURS * len(of_y)) * len(real) / len(of_x))

    return between


def coverage(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Statistic:
    """How much of the real sample x has synthetic cases y nearby, for parts of both."""
    within, across = cdist(x, x), cdist(x, y)

    def between(of_x: Int[np.ndarray, " i"], of_y: Int[np.ndarray, " j"]) -> float:
        real, times = np.unique(of_x, return_counts=True)
        held = across[np.ix_(real, np.unique(of_y))] <= _radii(within, real)[:, None]
        return float(times @ held.any(axis=1) / times.sum())

    return between


def _radii(within: Float64[np.ndarray, "n n"], real: Int[np.ndarray, " i"]) -> Float64[np.ndarray, " i"]:
    """Distance of each real case to its k-th neighbour among the others (column 0 is the case itself)."""
    k = min(NEIGHBOURS, len(real) - 1)
    radii: Float64[np.ndarray, " i"] = np.partition(within[np.ix_(real, real)], k, axis=1)[:, k]
    return radii


DENSITY = Distance("density", density, (0.0, np.inf))
COVERAGE = Distance("coverage", coverage, (0.0, 1.0))
