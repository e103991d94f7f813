"""Kernel distance (KID, Binkowski et al. 2018): the unbiased squared maximum mean discrepancy.

    k(a, b) = (a.b / d + 1)^3
    KID = mean of k(x, x') + mean of k(y, y') - 2 mean of k(x, y),   over pairs of different cases

For equal distributions its expectation is 0 at any sample size, so it may be negative. It is preferable to the Fréchet
distance below about 2,000 cases.
"""

import numpy as np
from jaxtyping import Float64, Int

from medsmith.evaluation.fidelity.comparison import Distance, Statistic


def _kernel(a: Float64[np.ndarray, "n d"], b: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "n m"]:
    values: Float64[np.ndarray, "n m"] = (a @ b.T / a.shape[1] + 1) ** 3
    return values


def kernel_distance(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> float:
    """KID over all pairs of two samples, without averaging over subsets.

    Args:
        x: features of the first sample, at least two cases.
        y: features of the second sample, at least two cases.
    """
    return kernel(x, y)(np.arange(len(x)), np.arange(len(y)))


def kernel(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Statistic:
    """KID between subsets of two samples; a repeated case is not compared with itself."""
    k_xx, k_yy, k_xy = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    np.fill_diagonal(k_xx, 0)
    np.fill_diagonal(k_yy, 0)

    def between(of_x: Int[np.ndarray, " i"], of_y: Int[np.ndarray, " j"]) -> float:
        u = np.bincount(of_x, minlength=len(x)).astype(np.float64)
        v = np.bincount(of_y, minlength=len(y)).astype(np.float64)
        across = u @ k_xy @ v / (u.sum() * v.sum())
        return float(_within(k_xx, u) + _within(k_yy, v) - 2 * across)

    return between


def _within(kernel_matrix: Float64[np.ndarray, "n n"], counts: Float64[np.ndarray, " n"]) -> float:
    """Mean kernel over pairs of different cases, weighted by their multiplicities."""
    pairs = counts.sum() ** 2 - (counts**2).sum()
    return float(counts @ kernel_matrix @ counts / pairs)


KID = Distance("KID", kernel, (-np.inf, np.inf))
