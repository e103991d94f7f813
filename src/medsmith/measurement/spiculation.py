"""Spiculation: the share of a lesion's volume in thin processes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from medsmith.measurement.surface import edge_of, radius_of

OPENING = 0.15
"""Radius of the opening's ball over the equivalent radius: narrower processes are spicules, wider ones lobes. Of five
radii tried (.15 to .35) it parts spiculated bodies from lobulated ones best."""
SMALLEST_VOXELS = 3.6
"""Radius, in voxels, of the smallest lesion whose mask can hold processes thin enough to count as spicules."""
_RADIUS_VOXELS = 10
_LARGEST_GRID = 200_000


def resolves_spicules(radius_mm: float, spacing: Sequence[float]) -> bool:
    """Whether the mask of a lesion of this equivalent radius can hold spicules, on voxels of these edges in mm."""
    return radius_mm >= SMALLEST_VOXELS * max(spacing)


def spicule_share(mask: Bool[np.ndarray, "*axes"], spacing: Sequence[float]) -> float:
    """Share of the volume removed by an opening with a ball of .15 times the equivalent radius.

    Args:
        mask: one connected lesion; in 2-D ball and volume are disc and area.
        spacing: voxel edges in mm.

    Raises:
        ValueError: the mask is empty.
    """
    if not mask.any():
        raise ValueError("an empty mask has no spicules")
    radius = radius_of(float(mask.sum() * np.prod(spacing)), mask.ndim)
    fine, step = _isotropic(mask, spacing, radius)
    reach = OPENING * radius / step
    eroded = ndimage.distance_transform_edt(fine) > reach
    if not eroded.any():
        return 1.0
    opened = fine & (ndimage.distance_transform_edt(~eroded) <= reach)
    return float(1 - opened.sum() / fine.sum())


def _isotropic(mask: Bool[np.ndarray, "*axes"], spacing: Sequence[float], radius: float) -> tuple[np.ndarray, float]:
    """The mask, smoothed by half a voxel, on cubes of a tenth of the radius."""
    edges = np.asarray(spacing)
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    inner = np.pad(mask[box], 2).astype(np.float32)
    extent = np.array(inner.shape) * edges
    step = max(radius / _RADIUS_VOXELS, edge_of(float(np.prod(extent)) / _LARGEST_GRID, mask.ndim))
    smooth = ndimage.gaussian_filter(inner, np.maximum(0.5, 0.4 * step / edges), mode="constant")
    shape = np.ceil(extent / step).astype(int)
    origin = ((np.array(inner.shape) - 1) * edges - (shape - 1) * step) / 2
    field = ndimage.affine_transform(smooth, step / edges, origin / edges, tuple(shape), order=1)
    found = np.asarray(field > 0.5)
    return (found if found.any() else np.asarray(field > 0.5 * field.max())), step
