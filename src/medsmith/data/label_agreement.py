"""Agreement of label maps: whether one is a copy of another.

The agreement of two maps is the share of the voxels labeled in either that have the same label in both: the Jaccard
index, for several classes.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from medsmith.data.resizing import resize_labels
from medsmith.data.similarity import EDGE_2D, EDGE_3D, symmetries

Coarse = UInt8[np.ndarray, "n voxels"]
_NEAR = (-1, 0, 1)
"""Shifts of centered maps, voxels."""


def agreements(some: Coarse, others: UInt8[np.ndarray, "m voxels"]) -> Float32[np.ndarray, "n m"]:
    """Of every pair of maps; 0 for two maps without labels, which tell nothing of a patient."""
    values = range(1, 1 + max(int(some.max()), int(others.max())))
    same = np.zeros((len(some), len(others)), np.float32)
    for value in values:
        same += _pairs(some == value, others == value)
    labeled = [(each > 0).sum(1, dtype=np.float32) for each in (some, others)]
    either = labeled[0][:, None] + labeled[1] - _pairs(some > 0, others > 0)
    found: Float32[np.ndarray, "n m"] = same / np.maximum(either, np.float32(1))
    return found


def _pairs(some: Bool[np.ndarray, "n voxels"], others: Bool[np.ndarray, "m voxels"]) -> Float32[np.ndarray, "n m"]:
    """Voxels that are true in both."""
    counts: Float32[np.ndarray, "n m"] = some.astype(np.float32) @ others.astype(np.float32).T
    return counts


def centered_map(labels: UInt8[np.ndarray, "x y z"]) -> UInt8[np.ndarray, "ex ey ez"]:
    """A label map on the grid of thumbnails, moved so that the centroid of what is labeled lies at its center."""
    flat = labels.shape[2] == 1
    edge = EDGE_2D if flat else EDGE_3D
    small: UInt8[np.ndarray, "ex ey ez"] = resize_labels(labels, (edge, edge, 1 if flat else edge))
    where = np.argwhere(small > 0)
    if not len(where):
        return small
    middle = (np.array(small.shape) - 1) / 2
    return _shifted(small, tuple(int(step) for step in np.rint(middle - where.mean(axis=0))))


def moved_agreements(
    labels: UInt8[np.ndarray, "ex ey ez"], others: UInt8[np.ndarray, "m ex ey ez"]
) -> Float32[np.ndarray, " m"]:
    """Largest agreement of a centered map with others, over flips, quarter turns in 2-D, and shifts of one voxel."""
    views = np.stack([view.ravel() for view in _views(labels)])
    found: Float32[np.ndarray, " m"] = agreements(views, others.reshape(len(others), labels.size)).max(axis=0)
    return found


def _views(labels: UInt8[np.ndarray, "ex ey ez"]) -> Iterator[UInt8[np.ndarray, "ex ey ez"]]:
    depths = (0,) if labels.shape[2] == 1 else _NEAR
    for view in symmetries(labels):
        for step in ((x, y, z) for x in _NEAR for y in _NEAR for z in depths):
            yield _shifted(view, step)


def _shifted(labels: UInt8[np.ndarray, "ex ey ez"], step: tuple[int, ...]) -> UInt8[np.ndarray, "ex ey ez"]:
    """Moved by whole voxels; what leaves the grid is lost."""
    moved = np.zeros_like(labels)
    into = tuple(slice(max(s, 0), edge + min(s, 0)) for s, edge in zip(step, labels.shape, strict=True))
    source = tuple(slice(max(-s, 0), edge + min(-s, 0)) for s, edge in zip(step, labels.shape, strict=True))
    moved[into] = labels[source]
    return moved


def dice_of(agreement: float) -> float:
    """The Dice index of two maps of that agreement: 2 J / (1 + J)."""
    return 2 * agreement / (1 + agreement)
