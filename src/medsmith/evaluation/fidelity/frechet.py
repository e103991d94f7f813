"""Fréchet distance between two samples of features (Dowson and Landau 1982; as FID: Heusel et al. 2017).

    d(x, y) = |mean_x - mean_y|^2 + Tr(S_x + S_y - 2 (S_x S_y)^(1/2))

With A and B the centered rows of x and y divided by sqrt(n - 1) and sqrt(m - 1), S_x = A'A and S_y = B'B, and the
nonzero eigenvalues of S_x S_y are those of (A B')(A B')': the trace of its square root is the sum of the singular
values s of the n x m matrix A B' = U s V'. This needs no d x d matrix square root, stays real, and is cheap if there
are fewer cases than features. Its derivative by the weight of a case i of x is (U s U')_ii / 2, so that the jackknife
of all cases takes one decomposition.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float64, Int

from medsmith.evaluation.fidelity.statistic import Distance, Leverage, Sampled, value_between

Stack = Float64[np.ndarray, "s _ _"]
_MOST_CASES = 4
"""The most cases per feature whose products are all kept: they take at most that many times the memory of the rows."""


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
@dataclass(frozen=True, eq=False)
class _Pair:
    """What the distance of two samples, and how far each case moves it, are made of.

    Attributes:
        shift: squared distance of the means.
        along_x: of each centered case of x, the product with the difference of the means.
        along_y: of each centered case of y.
        spread_x: squared length of each row of A.
        spread_y: squared length of each row of B.
        overlap: A B', or R_a R_b' with A = Q_a R_a and B = Q_b R_b.
        q_x: Q_a, if it is needed.
        q_y: Q_b, if it is needed.
    """

    shift: Float64[np.ndarray, " s"]
    along_x: Leverage
    along_y: Leverage
    spread_x: Leverage
    spread_y: Leverage
    overlap: Stack
    q_x: Stack | None
    q_y: Stack | None


@final
class Frechet:
    """The Fréchet distance between subsets of the rows.

    Args:
        rows: features of all cases.
    """

    def __init__(self, rows: Float64[np.ndarray, "n d"]) -> None:
        self._rows = rows - rows.mean(0)

    def __call__(self, of_x: Int[np.ndarray, "s i"], of_y: Int[np.ndarray, "s j"]) -> Sampled:
        """The distance and its jackknife for every pair of subsets."""
        cases, features = self._rows.shape
        few = max(of_x.shape[1], of_y.shape[1]) <= features and cases <= _MOST_CASES * features
        pair = self._of_products(of_x, of_y) if few else self._of_rows(of_x, of_y)
        u, overlap, vt = np.linalg.svd(pair.overlap, full_matrices=False)
        values = pair.shift + pair.spread_x.sum(1) + pair.spread_y.sum(1) - 2 * overlap.sum(1)
        shared_x, shared_y = _shared(u, pair.q_x, overlap), _shared(vt.swapaxes(1, 2), pair.q_y, overlap)
        return Sampled(
            values,
            _leverage(2 * pair.along_x, pair.spread_x - shared_x),
            _leverage(-2 * pair.along_y, pair.spread_y - shared_y),
        )

    def _of_rows(self, of_x: Int[np.ndarray, "s i"], of_y: Int[np.ndarray, "s j"]) -> _Pair:
        x, y = self._rows[of_x], self._rows[of_y]
        mean_x, mean_y = x.mean(1, keepdims=True), y.mean(1, keepdims=True)
        x, y = x - mean_x, y - mean_y
        shift = (mean_x - mean_y)[:, 0]
        a, b = x / np.sqrt(x.shape[1] - 1), y / np.sqrt(y.shape[1] - 1)
        (q_x, a_small), (q_y, b_small) = _orthogonal(a), _orthogonal(b)
        return _Pair(
            (shift * shift).sum(1),
            np.einsum("snd,sd->sn", x, shift),
            np.einsum("snd,sd->sn", y, shift),
            (a * a).sum(2),
            (b * b).sum(2),
            a_small @ b_small.swapaxes(1, 2),
            q_x,
            q_y,
        )

    def _of_products(self, of_x: Int[np.ndarray, "s i"], of_y: Int[np.ndarray, "s j"]) -> _Pair:
        """The same by the products of rows, which are computed once for all subsets: for more features than cases."""
        within_x, within_y = self._within(of_x), self._within(of_y)
        across = self._products[of_x[:, :, None], of_y[:, None]]
        of_x_across, of_y_across, mean = across.mean(2), across.mean(1), across.mean((1, 2))
        mean_x, mean_y = within_x.mean(1), within_y.mean(1)
        n, m = of_x.shape[1] - 1, of_y.shape[1] - 1
        lengths = np.diagonal(self._products)
        return _Pair(
            mean_x + mean_y - 2 * mean,
            within_x - of_x_across - (mean_x - mean)[:, None],
            of_y_across - within_y - (mean - mean_y)[:, None],
            (lengths[of_x] - 2 * within_x + mean_x[:, None]) / n,
            (lengths[of_y] - 2 * within_y + mean_y[:, None]) / m,
            (across - of_x_across[:, :, None] - of_y_across[:, None] + mean[:, None, None]) / np.sqrt(n * m),
            None,
            None,
        )

    def _within(self, rows: Int[np.ndarray, "s i"]) -> Leverage:
        """Mean product of each row with those of its subset."""
        means: Leverage = self._products[rows[:, :, None], rows[:, None]].mean(2)
        return means

    @cached_property
    def _products(self) -> Float64[np.ndarray, "n n"]:
        products: Float64[np.ndarray, "n n"] = self._rows @ self._rows.T
        return products


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
