"""Outlines drawn slice by slice, filled and interpolated to a mask of 1 mm voxels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.draw import line, polygon

MARGIN = 4
"""Voxels between the mask and the border of its grid."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Filled outlines: planes z x y in pixels from ``corner`` on, slice positions in mm."""

    planes: np.ndarray
    positions: np.ndarray
    corner: np.ndarray
    pixel_mm: float
    spacing_mm: float


def rasterised(contours: Sequence[tuple[float, bool, np.ndarray]], pixel_mm: float, spacing_mm: float) -> Stack:
    """Fills outlines that run through the first pixels outside, as LIDC's do; those to cut away are cut away.

    Args:
        contours: position in mm, whether the inside belongs to the lesion, and n x 2 columns and rows of pixels.
        pixel_mm: edge of a pixel.
        spacing_mm: distance between slices.
    """
    every = np.concatenate([points for _, _, points in contours])
    corner = every.min(axis=0) - 2
    shape = tuple(every.max(axis=0) + 3 - corner)
    positions = np.unique([round(z, 3) for z, _, _ in contours])
    planes = np.zeros((len(positions), *shape), dtype=bool)
    for keep in (True, False):
        for z, kept, points in contours:
            if kept == keep:
                planes[np.searchsorted(positions, round(z, 3))][_inside(points - corner, shape)] = keep
    return Stack(planes, positions, corner, pixel_mm, spacing_mm)


def _inside(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels that a closed chain of pixels surrounds, the chain left out."""
    filled = np.zeros(shape, dtype=bool)
    filled[polygon(points[:, 0], points[:, 1], shape)] = True
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        filled[line(*start, *end)] = False
    return filled


def resampled(stack: Stack) -> tuple[np.ndarray, np.ndarray]:
    """A mask of 1 mm voxels and its affine (RAS+; in the plane, the scan's first pixel is the origin).

    Between slices the signed distances to the outlines are interpolated (Raya and Udupa 1990), so that a slope comes
    out as a slope. Beyond the first and last outline the lesion tapers off as it does between the last two.
    """
    distances = _signed_distances(stack)
    below, under = _cap(distances[1::-1], stack.spacing_mm)
    above, over = _cap(distances[-2:], stack.spacing_mm)
    field = np.stack([*under[::-1], *distances, *over])
    heights = np.array([*(stack.positions[0] - below[::-1]), *stack.positions, *(stack.positions[-1] + above)])
    low = np.array([0.0, 0.0, heights[0]])
    high = np.array([*((np.array(field.shape[1:]) - 1) * stack.pixel_mm), heights[-1]])
    grids = [start + np.arange(int(stop - start) + 1) for start, stop in zip(low, high, strict=True)]
    at_z = np.interp(grids[2], heights, np.arange(len(heights)))
    x, y, z = np.meshgrid(grids[0] / stack.pixel_mm, grids[1] / stack.pixel_mm, at_z, indexing="ij")
    mask = ndimage.map_coordinates(field, [z, x, y], order=1, mode="nearest") > 0
    return _cropped(mask, np.array([*(stack.corner * stack.pixel_mm), heights[0]]))


def _cap(last: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Heights over the last section in mm and signed distances there: a paraboloid, its area falling to nothing.

    The area falls as fast as between the last two sections, within a quarter and a whole slice.
    """
    areas = (last > 0).sum(axis=(1, 2))
    length = spacing_mm * float(np.clip(areas[-1] / max(areas[0] - areas[-1], 1), 0.25, 1))
    share = np.array([0.25, 0.5, 0.75, 0.9, 1.0])
    inset = max(float(last[-1].max()), 0.0) * np.append(1 - np.sqrt(1 - share), 2)
    return length * np.append(share, 1.5), last[-1] - inset[:, None, None]


def _signed_distances(stack: Stack) -> np.ndarray:
    """In mm to the outline within each slice, positive inside; the outline runs half a pixel outside the centres."""
    half = stack.pixel_mm / 2
    found = []
    for plane in stack.planes:
        inside = ndimage.distance_transform_edt(plane, sampling=stack.pixel_mm)
        outside = ndimage.distance_transform_edt(~plane, sampling=stack.pixel_mm)
        found.append(np.where(plane, inside - half, half - outside))
    return np.array(found)


def _cropped(mask: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mask with its margin, and the affine of columns to the left, rows to the back and slices upwards."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    if not mask.any():
        return mask, affine
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    start = np.array([part.start for part in box]) - MARGIN
    affine[:3, 3] = np.array([-1.0, -1.0, 1.0]) * (origin + start)
    return np.pad(mask[box], MARGIN), affine
