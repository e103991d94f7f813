"""Principal component analysis of vectors of which some entries are missing.

Missing entries are replaced by the mean of the present ones, then in turn a PCA is fitted and they are replaced by its
reconstruction, until they change no more (iterative PCA; Kiers 1997, Josse and Husson 2012). The first round uses one
component and each further round one more, until they hold the share of the variance: with all at once, components would
be spent on the means that were put in. At most a tenth as many components are used as the rarest entry has observations
(but one), so that rare structures are not overfitted.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64
from scipy.linalg import eigh
from sklearn.decomposition import PCA

Vectors = Float64[np.ndarray, "cases entries"]
_STEPS = 20
_SETTLED = 1e-3
"""Change of a step, as a share of the deviation of all vectors from their mean."""
_OBSERVATIONS_PER_COMPONENT = 10
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
    for count in range(1, min(most, *vectors.shape) + 1):
        for _ in range(_STEPS):
            nearest, share = _reconstruct(filled, count)
            better: Vectors = np.where(present, vectors, nearest)
            change, scale = np.linalg.norm(better - filled), np.linalg.norm(filled - filled.mean(axis=0))
            filled = better
            if change <= _SETTLED * scale:
                break
        if share >= variance:
            break
    return filled


def _reconstruct(vectors: Vectors, count: int) -> tuple[Vectors, float]:
    """The nearest vectors that some components span, and their share of the variance."""
    mean = vectors.mean(axis=0)
    centered = vectors - mean
    tall = len(vectors) > vectors.shape[1]
    products = centered.T @ centered if tall else centered @ centered.T
    size = len(products)
    values, directions = eigh(products, subset_by_index=(size - count, size - 1))
    part = centered @ directions @ directions.T if tall else directions @ (directions.T @ centered)
    return np.asarray(mean + part), float(values.sum() / max(np.trace(products), _CONSTANT))


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
