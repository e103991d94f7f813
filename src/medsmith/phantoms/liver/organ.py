"""The liver's shape, and the field of view around it.

Anatomical space as in the CT phantoms: +x the patient's right, +y the front, +z the head, z = 0 at the lower edge of
the lungs behind.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

from medsmith.phantoms.ct.trunk import Trunk
from medsmith.phantoms.solids import (
    Solid,
    ellipsoid,
    resized,
    smooth_minimum,
    tube,
    union,
    within,
    within_smoothly,
    without,
)
from medsmith.phantoms.space import Field, Grid, Point, Points, Warp, sample_displacement, sample_warp, stream

FIELD_MM = (320.0, 320.0, 192.0)
"""Field of view along x, y, z."""
CENTER_MM = (22.0, 2.0, -16.0)
"""Its center before it is shifted."""
SHIFT_MM = (8.0, 6.0, 6.0)
"""Largest shift of the field of view."""
PROBE_MM = 5.0
"""Voxel of the grid on which the liver's surface is known while vessels and tumors are placed."""
LIVER_WARP_MM = (62.0, 4.0)
"""Knot distance and standard deviation of a displacement in addition to those of the CT phantoms."""


@final
@dataclass(frozen=True)
class LiverShape:
    """Proportions of one liver; 1 is typical.

    Attributes:
        right: size of the right lobe.
        left_reach: how far the left lobe reaches to the left.
        left_depth: thickness of the left lobe.
        caudate: size of the caudate lobe.
        tail: length of the lower tip of the right lobe (large in a Riedel lobe).
        nodular: depth in mm of the unevenness of the surface (large in cirrhosis).
    """

    right: float
    left_reach: float
    left_depth: float
    caudate: float
    tail: float
    nodular: float


def sample_shape(rng: np.random.Generator) -> LiverShape:
    """The proportions of one case; every fourth liver is cirrhotic: small on the right, uneven, a large caudate."""
    cirrhotic = rng.uniform() < 0.25
    return LiverShape(
        right=float(rng.uniform(0.86, 0.98) if cirrhotic else rng.uniform(0.93, 1.10)),
        left_reach=float(rng.uniform(0.72, 1.22)),
        left_depth=float(rng.uniform(1.0, 1.2) if cirrhotic else rng.uniform(0.86, 1.1)),
        caudate=float(rng.uniform(1.1, 1.35) if cirrhotic else rng.uniform(0.8, 1.1)),
        tail=float(rng.uniform(0.8, 1.3)),
        nodular=float(rng.uniform(1.2, 2.4) if cirrhotic else rng.uniform(0.0, 0.7)),
    )


def sample_liver_warp(seed: int) -> Warp:
    """The warp of the CT phantoms with one more, wider displacement."""
    warp = sample_warp(seed)
    return Warp(warp.scale, (*warp.bends, sample_displacement(stream(seed, "liver warp"), *LIVER_WARP_MM)))


def sample_corner(seed: int) -> Point:
    """Lower corner of the field of view in patient mm."""
    shift = stream(seed, "field of view").uniform(-1, 1, 3) * np.array(SHIFT_MM)
    return np.asarray(np.array(CENTER_MM) + shift - np.array(FIELD_MM) / 2)


CAVA = [(22, -36, -150), (24, -35, -80), (27, -31, -20), (27, -22, 14), (26, -12, 40), (22, 6, 74)]
"""Course of the inferior vena cava."""
CAVA_RADII = (9.5, 10, 11, 11.5, 12, 12.5)


def cava(warp: Warp) -> Solid:
    """The inferior vena cava."""
    return tube(warp, CAVA, CAVA_RADII)[0]


def gallbladder(warp: Warp, seed: int) -> Solid:
    """The gallbladder in its fossa."""
    rng = stream(seed, "gallbladder")
    width = float(rng.uniform(11, 17))
    x, y, z = (value + float(rng.uniform(-4, 4)) for value in (58, 44, -58))
    return ellipsoid(warp, (x, y, z), (width, width, width * 2.1), (20, 24))


def liver(warp: Warp, trunk: Trunk, shape: LiverShape, seed: int) -> Solid:
    """The liver without the structures that indent it: cava, gallbladder, kidney, and the organs below its hilum."""
    right = ellipsoid(warp, (72, -2, -8), (66 * shape.right, 78 * shape.right, 78 * shape.right), (0, -10))
    tail = ellipsoid(warp, (94, 2, -52), (30, 42, 44 * shape.tail), (0, -6))
    left = ellipsoid(warp, (14, 38, 8), (82 * shape.left_reach, 38, 33 * shape.left_depth), (8, -10))
    size = shape.caudate
    caudate = ellipsoid(warp, (8, -14, -6), (19 * size, 14 * size, 26 * size))
    solids = (right, tail, left, caudate)

    def distance(grid: Grid) -> Field:
        parts = [solid.distance(grid) for solid in solids]
        joined = smooth_minimum(smooth_minimum(parts[0], parts[1], 18.0), parts[2], 14.0)
        return np.asarray(smooth_minimum(joined, parts[3], 8.0), np.float32)

    bounds = union(*solids)
    whole = within_smoothly(Solid(bounds.low, bounds.high, distance), lambda grid: _below_dome(trunk, grid), 6.0)
    viscera = ellipsoid(warp, (-4, -2, -84), (64, 74, 58), (0, 6))
    carved = within_smoothly(whole, lambda grid: -viscera.distance(grid), 16.0)
    carved = within_smoothly(carved, _before_kidney, 30.0)
    carved = within_smoothly(carved, _fissure, 6.0)
    for hollow, gap in ((cava(warp), 1.0), (gallbladder(warp, seed), 1.5)):
        carved = without(carved, resized(hollow, gap).distance)
    return within(carved, lambda grid: trunk.cavity(grid) + np.float32(2.5))


def _below_dome(trunk: Trunk, grid: Grid) -> Field:
    """Negative below the diaphragm."""
    return np.asarray(trunk.diaphragm(grid) + np.float32(3.0))


def _before_kidney(grid: Grid) -> Field:
    """Negative in front of an oblique plane that descends towards the front."""
    _x, y, z = grid.anatomical
    return np.asarray(-(y + 28 + np.float32(0.75) * (z + 62)) * np.float32(0.8), np.float32)


def _fissure(grid: Grid) -> Field:
    """Positive in the cleft of the round ligament, which opens downwards between the left segments."""
    x, y, z = grid.anatomical
    depth = np.clip((np.float32(-6) - z) / 14, 0, 1) * np.clip((y - 40) / 22, 0, 1)
    cleft = np.abs(x + np.float32(5) - np.float32(0.25) * (y - 50)) - np.float32(5.5) * depth
    return np.where(depth > 0, -cleft, np.float32(-20)).astype(np.float32)


@final
@dataclass(frozen=True, eq=False)
class Probe:
    """A distance that is known on a coarse grid, for single points.

    Attributes:
        distance: to the surface in mm, negative inside.
        first: patient position of the first sample.
    """

    distance: Field
    first: Point

    @property
    def last(self) -> Point:
        """Patient position of the last sample."""
        return np.asarray(self.first + (np.array(self.distance.shape) - 1) * PROBE_MM)

    def at(self, points: Points) -> np.ndarray:
        """Distance in mm at patient positions, interpolated linearly."""
        places = (points - self.first).T / PROBE_MM
        return np.asarray(map_coordinates(self.distance, places, order=1, mode="nearest"))

    def deepened(self, points: Points, depth_mm: float) -> Points:
        """The points, moved against the gradient until they are about this deep below the surface."""
        for _ in range(4):
            lack = np.maximum(self.at(points) + depth_mm, 0)
            if not lack.any():
                break
            shifts = PROBE_MM * np.eye(3)
            slope = np.stack([self.at(points + shift) - self.at(points - shift) for shift in shifts], axis=1)
            length = np.sqrt(np.sum(slope * slope, axis=1, keepdims=True))
            points = points - slope / np.maximum(length, 1e-3) * np.minimum(lack, PROBE_MM)[:, None]
        return points


def probe(warp: Warp, solid: Solid, corner: Point) -> Probe:
    """The distance to a solid on a coarse grid over the field of view, so that what is placed with it fits any size."""
    x, y, z = (int(np.ceil(edge / PROBE_MM)) for edge in FIELD_MM)
    grid = Grid.over(warp, corner, (x, y, z), PROBE_MM)
    distance = solid.distance(grid)
    # Solids know their distance near the surface only: deeper inside it is measured to the nearest outer sample.
    depth = PROBE_MM * (distance_transform_edt(distance < 0).astype(np.float32) - 0.5)
    np.minimum(distance, -depth, where=depth > 0, out=distance)
    return Probe(distance, np.array([axis[0] for axis in grid.axes]))
