"""Spicules: thin processes that radiate from a lesion, which masks of few voxels per edge are too coarse to hold.

Axes: u v w voxels of a region of the scan, canonical.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Float64

from medsmith.insertion.box import Box
from medsmith.insertion.shape import HALF, in_one_piece
from medsmith.measurement.spiculation import OPENING
from medsmith.measurement.surface import radius_of

BODY: Final = 0.68
"""Edges of the body's box, as a share of those of the lesion's, which the longest spicules reach."""
_COUNT: Final = 20
"""Spicules beside those that reach the faces of the box."""
_REACH: Final = (0.8, 1.0)
"""Shortest and longest spicule, as a share of the distance to the ellipsoid in the box."""
_WIDTH: Final = 0.95
"""Half-width of a spicule where it leaves the body, as a share of the largest that counts as one."""
_TIP: Final = 0.9
"""Half-width at its tip, as a share of that."""
_FINEST_VOXELS: Final = 1.05
"""Half-width of the thinnest process that stays in one piece in a mask, in voxels."""
_ASIDE: Final = 0.35
"""Standard deviation of the direction of the spicules that reach the faces, radians."""
_PLACES: Final = 3
"""Places along each axis of a voxel at which its share is sampled."""
Spacing = tuple[float, float, float]
Share = Float32[np.ndarray, "u v w"]
Mask = Bool[np.ndarray, "u v w"]


def body_box(box: Box) -> Box:
    """The box of a spiculated lesion's body, about the middle of the lesion's box."""
    aside = [round((1 - BODY) / 2 * count) for count in box.shape]
    low = [first + each for first, each in zip(box.low, aside, strict=True)]
    high = [last - each for last, each in zip(box.high, aside, strict=True)]
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def with_spicules(covered: Share, box: Box, allowed: Mask, spacing: Spacing, rng: np.random.Generator) -> Share:
    """The share of each voxel that a lesion covers, with spicules in all directions that end at its box.

    They are thinner than .15 times the radius of the body, which is what counts as a spicule when it is measured
    (``measurement.spiculation``), and no thinner than voxels show; a lesion too small for both gets those that voxels
    show.

    Args:
        covered: share of each voxel that the body covers.
        box: of the lesion, in the region.
        allowed: voxels where the lesion may lie.
        spacing: edges of a voxel, mm.
        rng: draws directions and lengths.
    """
    mask = covered >= HALF
    if not mask.any():
        return covered
    radius = radius_of(float(mask.sum() * np.prod(spacing)), 3)
    half_width = max(_WIDTH * OPENING * radius, _FINEST_VOXELS * max(spacing))
    part, places = _places(box, covered.shape, spacing)
    center = np.asarray(box.center) * spacing
    inside = np.zeros(places.shape[:-1], bool)
    for tip in _tips(np.asarray(box.shape) * np.asarray(spacing) / 2, rng):
        inside |= _near_segment(places - center, tip, half_width)
    share = covered.copy()
    share[part] = np.maximum(share[part], inside.mean(axis=-1, dtype=np.float32))
    return in_one_piece(np.where(allowed, share, np.float32(0)))


def _places(
    box: Box, shape: tuple[int, ...], spacing: Spacing
) -> tuple[tuple[slice, ...], Float64[np.ndarray, "a b c places 3"]]:
    """The voxels of the box within the region, and the places in mm at which each is sampled."""
    part = tuple(
        slice(max(low, 0), min(high, count)) for low, high, count in zip(box.low, box.high, shape, strict=True)
    )
    steps = (np.arange(_PLACES) + 0.5) / _PLACES - 0.5
    within = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = np.stack(np.meshgrid(*[np.arange(each.start, each.stop) for each in part], indexing="ij"), axis=-1)
    return part, (voxels[..., None, :] + within) * np.asarray(spacing)


def _tips(half: Float64[np.ndarray, " 3"], rng: np.random.Generator) -> list[Float64[np.ndarray, " 3"]]:
    """Ends of the spicules in mm from the middle: one at each face of the box, the others near its ellipsoid.

    Args:
        half: half of the edges of the box, mm.
        rng: draws them.
    """
    tips = []
    for axis in range(3):
        for side in (-1.0, 1.0):
            aside = np.clip(_ASIDE * rng.standard_normal(3), -0.8, 0.8) * half
            aside[axis] = side * half[axis]
            tips.append(aside)
    for _ in range(_COUNT):
        direction = rng.standard_normal(3)
        tips.append(rng.uniform(*_REACH) * direction / np.linalg.norm(direction) * half)
    return tips


def _near_segment(
    places: Float64[np.ndarray, "*axes 3"], tip: Float64[np.ndarray, " 3"], half_width: float
) -> Bool[np.ndarray, "*axes"]:
    """Whether places lie within a process from the middle to its tip, which is thinner at the tip."""
    length = float(np.linalg.norm(tip))
    along = places @ (tip / length)
    away = np.sqrt(np.maximum((places**2).sum(axis=-1) - along**2, 0.0))
    share = np.clip(along / length, 0.0, 1.0)
    return np.asarray((along >= 0) & (along <= length) & (away <= half_width * (1 - (1 - _TIP) * share**2)))
