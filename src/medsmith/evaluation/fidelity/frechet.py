"""Fréchet distance between two samples of features (Dowson and Landau 1982; as FID: Heusel et al. 2017).

    d(x, y) = |mean_x - mean_y|^2 + Tr(S_x + S_y - 2 (S_x S_y)^(1/2))

With A and B the centered rows of x and y divided by sqrt(n - 1) and sqrt(m - 1), S_x = A'A and S_y = B'B, and the
nonzero eigenvalues of S_x S_y are those of (A B')(A B')': the trace of its square root is the sum of the singular
values s of the n x m matrix A B' = U s V'. This needs no d x d matrix square root, stays real, and is cheap if there
are fewer cases than features. Its derivative by the weight of a case i of x is (U s U')_ii / 2, so that the jackknife
of all cases takes one decomposition.
"""

from typing import final

import numpy as np
from jaxtyping import Float64, Int

from medsmith.evaluation.fidelity.statistic import Distance, Leverage, Sampled, value_between

Stack = Float64[np.ndarray, "s _ _"]


def frechet_distance(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> float:
    """Exact Fréchet distance of the normal distributions fitted to two samples.

    Biased: for equal distributions it is positive and decreases roughly as 1/n, so it has to be compared with the
    distance between two real samples of the same size.

    Args:
        x: features of the first sample, at least two cases.
        y: features of the second sample, at least two cases.
    """
    return value_between(Frechet, x, y)


@final
class Frechet:
    """The Fréchet distance between subsets of the rows.

    Args:
        rows: features of all cases.
    """

    def __init__(self, rows: Float64[np.ndarray, "n d"]) -> None:
        self._rows = rows

    def __call__(self, of_x: Int[np.ndarray, "s i"], of_y: Int[np.ndarray, "s j"]) -> Sampled:
        """The distance and its jackknife for every pair of subsets."""
        x, y = self._rows[of_x], self._rows[of_y]
        mean_x, mean_y = x.mean(1, keepdims=True), y.mean(1, keepdims=True)
        x, y = x - mean_x, y - mean_y
        shift = (mean_x - mean_y)[:, 0]
        a, b = x / np.sqrt(x.shape[1] - 1), y / np.sqrt(y.shape[1] - 1)
        (q_x, a_small), (q_y, b_small) = _orthogonal(a), _orthogonal(b)
        u, overlap, vt = np.linalg.svd(a_small @ b_small.swapaxes(1, 2), full_matrices=False)
        spread_x, spread_y = (a * a).sum(2), (b * b).sum(2)
        values = (shift * shift).sum(1) + spread_x.sum(1) + spread_y.sum(1) - 2 * overlap.sum(1)
        along = np.einsum("snd,sd->sn", x, shift), np.einsum("snd,sd->sn", y, shift)
        shared_x, shared_y = _shared(u, q_x, overlap), _shared(vt.swapaxes(1, 2), q_y, overlap)
        return Sampled(
            values,
            _leverage(2 * along[0], spread_x - shared_x),
            _leverage(-2 * along[1], spread_y - shared_y),
        )


def _orthogonal(rows: Stack) -> tuple[Stack | None, Stack]:
    """Q and R with QR the rows, if there are more of them than features; else None and the rows."""
    if rows.shape[1] <= rows.shape[2]:
        return None, rows
    q, r = np.linalg.qr(rows)
    return q, r


def _shared(vectors: Stack, q: Stack | None, overlap: Float64[np.ndarray, "s r"]) -> Float64[np.ndarray, "s n"]:
    """The share of each case in the trace of the root: the diagonal of U s U'."""
    whole = vectors if q is None else q @ vectors
    share: Float64[np.ndarray, "s n"] = np.einsum("snr,sr->sn", whole**2, overlap)
    return share


def _leverage(of_mean: Float64[np.ndarray, "s n"], of_spread: Float64[np.ndarray, "s n"]) -> Leverage:
    """How far each case moves the distance: the infinitesimal jackknife, on the scale of leaving one out."""
    count = of_mean.shape[1]
    moved = of_mean + count * of_spread
    centered: Leverage = (moved - moved.mean(1, keepdims=True)) / (count - 1)
    return centered


FRECHET = Distance("Fréchet distance", Frechet, (0.0, np.inf))
