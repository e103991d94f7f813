"""Kernel distances: the unbiased squared maximum mean discrepancy (MMD, Gretton et al. 2012) with two kernels.

    MMD^2 = mean of k(x, x') + mean of k(y, y') - 2 mean of k(x, y),   over pairs of different cases

    KID (Binkowski et al. 2018):  k(a, b) = (a.b / d + 1)^3
    Gaussian MMD:                 k(a, b) = exp(-|a - b|^2 / (2 w^2)),  w the median distance of all pairs of cases

For equal distributions the expectation is 0 at any sample size, so it may be negative. KID compares the first three
moments; the Gaussian kernel is characteristic: its MMD is 0 for equal distributions only.
"""

from typing import final

import numpy as np
from jaxtyping import Float64, Int
from scipy.spatial.distance import pdist, squareform

from medsmith.evaluation.fidelity.statistic import Distance, Leverage, Sampled, centered, value_between

Matrix = Float64[np.ndarray, "n n"]


def kernel_distance(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> float:
    """KID over all pairs of two samples, without averaging over subsets.

    Args:
        x: features of the first sample, at least two cases.
        y: features of the second sample, at least two cases.
    """
    return value_between(kid, x, y)


def kid(rows: Float64[np.ndarray, "n d"]) -> "MeanDiscrepancy":
    """KID between subsets of the rows."""
    return MeanDiscrepancy((rows @ rows.T / rows.shape[1] + 1) ** 3)


def gaussian(rows: Float64[np.ndarray, "n d"]) -> "MeanDiscrepancy":
    """MMD with a Gaussian kernel between subsets of the rows; one width for all subsets."""
    return MeanDiscrepancy(gaussian_kernel(rows))


def gaussian_kernel(rows: Float64[np.ndarray, "n d"]) -> Matrix:
    """Gaussian kernel of all pairs of rows; its width is their median distance (Gretton et al. 2012, section 8)."""
    distances = pdist(rows)
    width = float(np.median(distances)) or 1.0
    matrix: Matrix = squareform(np.exp(-(distances**2) / (2 * width**2))) + np.eye(len(rows))
    return matrix


@final
class MeanDiscrepancy:
    """The unbiased squared MMD between subsets of the cases.

    Args:
        matrix: kernel of all pairs of cases.
    """

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix.copy()
        np.fill_diagonal(self._matrix, 0)

    def __call__(self, of_x: Int[np.ndarray, "s i"], of_y: Int[np.ndarray, "s j"]) -> Sampled:
        """The distance and its jackknife for every pair of subsets."""
        within_x, within_y = self._within(of_x), self._within(of_y)
        across = self._matrix[of_x[:, :, None], of_y[:, None]]
        values = within_x.mean(1) + within_y.mean(1) - 2 * across.mean((1, 2))
        return Sampled(values, _leverage(within_x, across.mean(2)), _leverage(within_y, across.mean(1)))

    def _within(self, rows: Int[np.ndarray, "s i"]) -> Float64[np.ndarray, "s i"]:
        """Mean kernel of each case with the others of its subset."""
        means: Float64[np.ndarray, "s i"] = self._matrix[rows[:, :, None], rows[:, None]].sum(2) / (rows.shape[1] - 1)
        return means


def _leverage(within: Float64[np.ndarray, "s n"], across: Float64[np.ndarray, "s n"]) -> Leverage:
    moved: Leverage = centered(2 * (within - across)) / (within.shape[1] - 1)
    return moved


KID = Distance("KID", kid, (-np.inf, np.inf))
GAUSSIAN = Distance("Gaussian MMD", gaussian, (-np.inf, np.inf))
