"""Lesions found, missed and invented, by size."""

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from medsmith.measurement.lesions import FEWEST_VOXELS

LEAST_IOU = 0.1
"""Overlap from which a predicted component counts as a lesion found (localization by IoU, Metrics Reloaded 2024)."""
_LIMITS_MM, _LIMITS_SHARE = (10.0, 20.0), (0.1, 0.2)
SIZE_CLASSES = len(_LIMITS_MM) + 1
Labeled = tuple[Int64[np.ndarray, "*space"], Int64[np.ndarray, " _"]]


def lesion_counts(
    predicted: Bool[np.ndarray, "*space"],
    truth: Bool[np.ndarray, "*space"],
    spacing: tuple[float, ...],
    limits: tuple[float, ...],
) -> Int64[np.ndarray, "sizes 3"]:
    """Lesions found, invented and missed in each size class.

    Lesions are connected components (neighbors share a face, an edge or a corner) of at least 3 voxels. Predicted and
    true ones are paired one to one so that the sum of their IoU is largest; a pair counts from an IoU of .1. What is
    found or missed is counted in the size class of the true lesion, what is invented in its own.

    Args:
        predicted: voxels of the structure.
        truth: the same.
        spacing: voxel edges along each axis.
        limits: ascending equivalent diameters, in the unit of the spacing, that divide the size classes.
    """
    ours, theirs = _components(predicted), _components(truth)
    overlaps = _overlaps(ours, theirs)
    pairs = [(row, column) for row, column in zip(*linear_sum_assignment(-overlaps), strict=True)]
    found = {int(column): int(row) for row, column in pairs if overlaps[row, column] >= LEAST_IOU}
    counts = np.zeros((len(limits) + 1, 3), np.int64)
    for column, size in enumerate(_classes(theirs[1], spacing, limits)):
        counts[size, 0 if column in found else 2] += 1
    used = set(found.values())
    for row, size in enumerate(_classes(ours[1], spacing, limits)):
        counts[size, 1] += row not in used
    return counts


def size_limits(shape: tuple[int, ...], mm: bool) -> tuple[float, ...]:
    """Equivalent diameters that divide the size classes of lesions: 10 and 20 mm, or per cent of the longest edge.

    Args:
        shape: of the case, in voxels.
        mm: whether distances are in mm; else in pixels.
    """
    return _LIMITS_MM if mm else tuple(share * max(shape) for share in _LIMITS_SHARE)


def equivalent_diameter(voxels: Int64[np.ndarray, " n"], spacing: tuple[float, ...]) -> Float64[np.ndarray, " n"]:
    """Diameter of the circle, or ball, of the same area or volume."""
    content = voxels * float(np.prod(spacing))
    if len(spacing) == 2:
        return np.asarray(2 * np.sqrt(content / np.pi))
    return np.asarray(np.cbrt(6 * content / np.pi))


def _classes(
    voxels: Int64[np.ndarray, " n"], spacing: tuple[float, ...], limits: tuple[float, ...]
) -> Int64[np.ndarray, " n"]:
    return np.searchsorted(limits, equivalent_diameter(voxels, spacing), side="right").astype(np.int64)


def _components(mask: Bool[np.ndarray, "*space"]) -> Labeled:
    """Numbers from 1 of the components, 0 elsewhere, and the voxels of each."""
    numbered, _ = ndimage.label(mask, np.ones([3] * mask.ndim))
    voxels = np.bincount(numbered.ravel())
    voxels[0] = 0
    kept = voxels >= FEWEST_VOXELS
    return (np.cumsum(kept) * kept)[numbered], voxels[kept]


def _overlaps(ours: Labeled, theirs: Labeled) -> Float64[np.ndarray, "n m"]:
    """IoU of every predicted with every true component."""
    (mine, my_voxels), (other, other_voxels) = ours, theirs
    rows, columns = len(my_voxels) + 1, len(other_voxels) + 1
    shared = np.bincount((mine * columns + other).ravel(), minlength=rows * columns).reshape(rows, columns)[1:, 1:]
    return shared / np.maximum(my_voxels[:, None] + other_voxels[None] - shared, 1)
