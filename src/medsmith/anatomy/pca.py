"""Principal component analysis of vectors of which some entries are missing.

Missing entries are replaced by the mean of the present ones, then in turn a PCA is fitted and they are replaced by its
reconstruction, until they change no more (iterative PCA; Kiers 1997, Josse and Husson 2012). While doing so, at most a
third as many components are used as the rarest entry has observations, so that rare structures are not overfitted.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64
from sklearn.decomposition import PCA

Vectors = Float64[np.ndarray, "cases entries"]
_ROUNDS = 50
_SETTLED = 1e-3
_OBSERVATIONS_PER_COMPONENT = 3
_CONSTANT = 1e-24


@final
@dataclass(frozen=True, eq=False)
class Components:
    """Principal components.

    Attributes:
        mean: of the vectors.
        directions: one unit vector per component, largest variance first.
        variances: along the directions (divided by n - 1).
        shares: of the total variance, one per component.
    """

    mean: Float64[np.ndarray, "entries"]
    directions: Float64[np.ndarray, "components entries"]
    variances: Float64[np.ndarray, "components"]
    shares: Float64[np.ndarray, "components"]

    def reconstructed(self, vectors: Vectors) -> Vectors:
        """The nearest vectors that the components span."""
        scores = (vectors - self.mean) @ self.directions.T
        return np.asarray(self.mean + scores @ self.directions)


def fit_components(
    vectors: Vectors, present: Bool[np.ndarray, "cases entries"], variance: float, most: int | None = None
) -> Components:
    """The fewest components that hold a share of the variance, after imputation of missing entries.

    Args:
        vectors: one row per case; missing entries are ignored.
        present: which entries are not missing; at least one in every column.
        variance: share of the total variance to keep, in (0, 1].
        most: largest number of components; None for no limit.
    """
    filled = impute(vectors, present, variance)
    return _fit(filled, variance, most)


def impute(vectors: Vectors, present: Bool[np.ndarray, "cases entries"], variance: float) -> Vectors:
    """The vectors with missing entries replaced by their reconstruction from the present ones."""
    means = np.where(present, vectors, 0).sum(axis=0) / present.sum(axis=0)
    filled: Vectors = np.where(present, vectors, means)
    if present.all():
        return filled
    most = max(1, int(present.sum(axis=0).min()) // _OBSERVATIONS_PER_COMPONENT)
    for _ in range(_ROUNDS):
        better: Vectors = np.where(present, vectors, _fit(filled, variance, most).reconstructed(filled))
        change, scale = np.linalg.norm(better - filled), np.linalg.norm(filled - filled.mean(axis=0))
        filled = better
        if change <= _SETTLED * scale:
            break
    return filled


def _fit(vectors: Vectors, variance: float, most: int | None) -> Components:
    if vectors.var(axis=0).sum() <= _CONSTANT:
        nothing = np.zeros(0)
        return Components(vectors.mean(axis=0), np.zeros((0, vectors.shape[1])), nothing, nothing)
    fitted = PCA(svd_solver="full").fit(vectors)
    cumulated = np.cumsum(fitted.explained_variance_ratio_)
    needed = int(np.searchsorted(cumulated, variance - 1e-12)) + 1
    count = min(needed, len(cumulated), most or needed)
    parts = fitted.components_, fitted.explained_variance_, fitted.explained_variance_ratio_
    return Components(fitted.mean_, *(np.asarray(part[:count], dtype=np.float64) for part in parts))
