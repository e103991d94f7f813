"""Images that are in two cohorts as they are, by their thumbnails."""

import numpy as np
from jaxtyping import Bool, Float32

_SAME = 0.9999
"""Correlation of the thumbnails of one image; rounding leaves more, near-duplicates less."""


def same_images(
    queries: Float32[np.ndarray, "q ex ey ez"], gallery: Float32[np.ndarray, "n ex ey ez"]
) -> Bool[np.ndarray, " q"]:
    """Whether each query is one of the gallery's images: neither moved nor another of the same scene.

    Args:
        queries: thumbnails (``similarity.thumbnails``).
        gallery: likewise, at least one.
    """
    same: Bool[np.ndarray, " q"] = (_unit(queries) @ _unit(gallery).T).max(axis=1) > _SAME
    return same


def _unit(small: Float32[np.ndarray, "n ex ey ez"]) -> Float32[np.ndarray, "n voxels"]:
    flat = small.reshape(len(small), -1)
    unit: Float32[np.ndarray, "n voxels"] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return unit
