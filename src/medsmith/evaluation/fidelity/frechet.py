"""Fréchet distance between two samples of features (Dowson and Landau 1982; as FID: Heusel et al. 2017).

    d(x, y) = |mean_x - mean_y|^2 + Tr(S_x + S_y - 2 (S_x S_y)^(1/2))

With A and B the centered rows of x and y divided by sqrt(n - 1) and sqrt(m - 1), S_x = A'A and S_y = B'B, and the
nonzero eigenvalues of S_x S_y are those of (A B')(A B')': the trace of its square root is the sum of the singular
values of the n x m matrix A B'. This needs no d x d matrix square root, stays real, and is cheap if there are fewer
cases than features.
"""

import numpy as np
from jaxtyping import Float64, Int

from medsmith.evaluation.fidelity.comparison import Distance, Statistic


def frechet_distance(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> float:
    """Exact Fréchet distance of the normal distributions fitted to two samples.

    Biased: for equal distributions it is positive and decreases roughly as 1/n, so it has to be compared with the
    distance between two real samples of the same size.

    Args:
        x: features of the first sample, at least two cases.
        y: features of the second sample, at least two cases.
    """
    return frechet(x, y)(np.arange(len(x)), np.arange(len(y)))


def frechet(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Statistic:
    """The Fréchet distance between subsets of two samples."""
    x, y = _project_to_span(x, y)

    def between(of_x: Int[np.ndarray, " i"], of_y: Int[np.ndarray, " j"]) -> float:
        (mean_x, a), (mean_y, b) = _mean_and_root(x, of_x), _mean_and_root(y, of_y)
        shift, overlap = mean_x - mean_y, np.linalg.svd(a @ b.T, compute_uv=False).sum()
        return float(shift @ shift + (a * a).sum() + (b * b).sum() - 2 * overlap)

    return between


def _mean_and_root(
    rows: Float64[np.ndarray, "n d"], chosen: Int[np.ndarray, " i"]
) -> tuple[Float64[np.ndarray, " d"], Float64[np.ndarray, "r d"]]:
    """Mean of the chosen rows, and a matrix R of at most d rows with R'R their covariance.

    Repeated rows are weighted, not copied: a third of the rows of a bootstrap resample are repetitions.
    """
    distinct, counts = np.unique(chosen, return_counts=True)
    mean = counts @ rows[distinct] / len(chosen)
    root = np.sqrt(counts / (len(chosen) - 1))[:, None] * (rows[distinct] - mean)
    return mean, np.asarray(np.linalg.qr(root, mode="r")) if len(root) > root.shape[1] else root


def _project_to_span(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]
) -> tuple[Float64[np.ndarray, "n r"], Float64[np.ndarray, "m r"]]:
    """Coordinates in the span of all rows: preserves distances and angles, with at most n + m features per case."""
    if len(x) + len(y) >= x.shape[1]:
        return x, y
    basis = np.linalg.qr(np.concatenate([x, y]).T)[0]
    return x @ basis, y @ basis


FRECHET = Distance("Fréchet distance", frechet, (0.0, np.inf))
