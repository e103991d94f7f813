"""Relation of a lesion to a hollow organ: how far it encircles the lumen and how far it reaches into it."""

import numpy as np
from jaxtyping import Bool, Float64
from scipy import ndimage
from scipy.spatial import ConvexHull, Delaunay, QhullError

from medsmith.measurement.surface import Spacing

SECTORS = 24
"""Number of angular sectors around the lumen."""
_MOST_PLACES = 6000
_FEWEST = 8
_NORMALS = np.array(
    [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) > (0, 0, 0)], float
)

Places = Float64[np.ndarray, "n 3"]


def encircled_share(mask: Bool[np.ndarray, "x y z"], organ: Bool[np.ndarray, "x y z"], spacing: Spacing) -> float:
    """Largest share, over 13 planes, of the directions around the lumen that the lesion covers.

    The center of the lumen is the organ's voxel inside the lesion's convex hull that is farthest from the lesion. The
    share is 0 if no such voxel is at least two voxels away.

    Args:
        mask: one connected lesion.
        organ: wall and inside of the hollow organ, with or without the lesion.
        spacing: voxel edges in mm.
    """
    edges = np.asarray(spacing)
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing)
    hollow = _subset(np.argwhere(organ & ~mask & (distance >= 2 * edges.max())))
    inside = hollow[_in_hull(hollow, mask)]
    if len(inside) < _FEWEST:
        return 0.0
    depths = distance[tuple(inside.T)]
    center = inside[int(np.argmax(depths))] * edges
    return _covered(_subset(np.argwhere(mask)) * edges - center, max(float(depths.max()) / 2, 1.5 * float(edges.max())))


def _subset(places: np.ndarray) -> np.ndarray:
    """An evenly spaced subset of at most a few thousand positions."""
    return places[:: 1 + len(places) // _MOST_PLACES]


def _in_hull(places: np.ndarray, mask: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, " n"]:
    surface = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    try:
        hull = Delaunay(surface[ConvexHull(surface).vertices])
    except (QhullError, ValueError):
        return np.zeros(len(places), dtype=bool)
    return np.asarray(hull.find_simplex(places) >= 0)


def _covered(offsets: Places, half_mm: float) -> float:
    """Largest share of sectors with a position in a slab of this half thickness through the center."""
    shares = [0.0]
    for normal in _NORMALS / np.linalg.norm(_NORMALS, axis=1, keepdims=True):
        slab = offsets[np.abs(offsets @ normal) <= half_mm]
        first = np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))])
        turn = np.arctan2(slab @ np.cross(normal, first), slab @ first)
        sectors = np.floor((turn / (2 * np.pi) + 0.5) * SECTORS).astype(int) % SECTORS
        shares.append(len(np.unique(sectors)) / SECTORS)
    return max(shares)


def depth_share(mask: Bool[np.ndarray, "x y z"], organ: Bool[np.ndarray, "x y z"], spacing: Spacing) -> float:
    """Mean depth of the lesion below the organ's outer surface, over the longest edge of its bounding box.

    Args:
        mask: one connected lesion.
        organ: wall and inside of the hollow organ, with or without the lesion.
        spacing: voxel edges in mm.
    """
    whole = ndimage.binary_closing(np.pad(organ | mask, 2), iterations=2)[2:-2, 2:-2, 2:-2] | mask
    depth = ndimage.distance_transform_edt(whole, sampling=spacing)
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    longest = max((part.stop - part.start) * edge for part, edge in zip(box, spacing, strict=True))
    return float(depth[mask].mean() / longest)
