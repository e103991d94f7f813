"""Pulls the vectors of a finite vocabulary apart: centred, whitened, families told apart from what they say.

A vector becomes the sum of two parts: which attribute is spoken of (identity) and what is said of it (deviation from
the attribute's mean). Each part is whitened over its own points, so that no direction of the text network's space
drowns another.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

REGULARIZATION = 0.01
"""Added to every eigenvalue, as a share of their mean: 0 makes all options equally far from each other, a large number
leaves the distances of the text network."""
IDENTITY_SHARE = 0.25
"""Share of a vector's squared length that says which attribute is spoken of."""
Points = Float64[np.ndarray, "n d"]


def whiten(points: Points, regularization: float = REGULARIZATION) -> Points:
    """Points centred, whitened along their principal axes (ZCA, which has no free rotation) and set to length 1.

    An axis with variance v is divided by the root of v + regularization times the mean variance over the axes that n
    points can have, n - 1. One point, and points that are all alike, become 0.

    Args:
        points: n of d numbers.
        regularization: share of the mean variance, at least 0.
    """
    centred = points - points.mean(axis=0)
    left, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    variances = sizes**2
    mean = variances.sum() / max(len(points) - 1, 1)
    gains = np.sqrt(variances + regularization * mean)
    shares = np.where(sizes > 1e-9 * max(sizes.max(), 1e-300), sizes / np.maximum(gains, 1e-300), 0)
    return _of_length_one((left * shares) @ axes)


def whiten_families(families: Mapping[str, Points]) -> dict[str, Points]:
    """Each family's vectors as identity plus deviation, of length sqrt(d): a mean square of 1 per number.

    Identities are the whitened means of the families. A family with one phrase is its identity alone.

    Args:
        families: name -> vectors, k d; at least two families.
    """
    means = np.stack([points.mean(axis=0) for points in families.values()])
    length = means.shape[1] ** 0.5
    identities = dict(zip(families, whiten(means), strict=True))
    return {name: length * combine(identities[name], whiten(points)) for name, points in families.items()}


def combine(identity: Float64[np.ndarray, "d"], deviations: Points) -> Points:
    """Identity and deviations, each of length 1 or 0, in their shares; of length 1."""
    return _of_length_one(IDENTITY_SHARE**0.5 * identity + (1 - IDENTITY_SHARE) ** 0.5 * deviations)


def _of_length_one(points: Points) -> Points:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.where(lengths > 0, points / np.maximum(lengths, 1e-300), 0.0)
