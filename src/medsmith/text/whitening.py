"""Whitening of phrase vectors, separately between and within families.

A vector becomes the sum of two parts: the attribute (identity) and its option (deviation from the attribute's mean).
Each part is whitened over its own points, so that no direction of the encoder's space dominates.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

REGULARIZATION = 0.01
"""Added to every eigenvalue, as a fraction of their mean: 0 makes all options equidistant, a large value keeps the
encoder's distances."""
IDENTITY_SHARE = 0.25
"""Fraction of a vector's squared norm that encodes the attribute."""
Points = Float64[np.ndarray, "n d"]


def whiten(points: Points, regularization: float = REGULARIZATION) -> Points:
    """Centers and whitens points (ZCA, which has no free rotation) and normalizes them to unit length.

    An axis with variance v is divided by the root of v + regularization times the mean variance over the axes that n
    points can have, n - 1. One point, and identical points, become 0.

    Args:
        points: n of d numbers.
        regularization: fraction of the mean variance, at least 0.
    """
    centered = points - points.mean(axis=0)
    left, sizes, axes = np.linalg.svd(centered, full_matrices=False)
    variances = sizes**2
    mean = variances.sum() / max(len(points) - 1, 1)
    gains = np.sqrt(variances + regularization * mean)
    shares = np.where(sizes > 1e-9 * max(sizes.max(), 1e-300), sizes / np.maximum(gains, 1e-300), 0)
    return _normalize((left * shares) @ axes)


def whiten_families(families: Mapping[str, Points]) -> dict[str, Points]:
    """Each family's vectors as identity plus deviation, with norm sqrt(d), that is a mean square of 1.

    Identities are the whitened means of the families. A family with one phrase is its identity alone.

    Args:
        families: name -> vectors, k d; at least two families.
    """
    means = np.stack([points.mean(axis=0) for points in families.values()])
    length = means.shape[1] ** 0.5
    identities = dict(zip(families, whiten(means), strict=True))
    return {name: length * combine(identities[name], whiten(points)) for name, points in families.items()}


def combine(identity: Float64[np.ndarray, "d"], deviations: Points) -> Points:
    """The weighted sum of identity and deviations (each of norm 1 or 0), normalized."""
    return _normalize(IDENTITY_SHARE**0.5 * identity + (1 - IDENTITY_SHARE) ** 0.5 * deviations)


def _normalize(points: Points) -> Points:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.where(lengths > 0, points / np.maximum(lengths, 1e-300), 0.0)
