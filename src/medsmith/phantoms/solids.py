"""Solids as signed distance functions in mm: ellipsoids in anatomical space, tubes in patient space, and their unions.

Distances are exact on the surface and approximate away from it, negative inside.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int16
from scipy.interpolate import make_interp_spline

from medsmith.phantoms.space import Field, Grid, Part, Placement, Point, Points

REACH_MM = 7.0
"""Distance outside the surface up to which a solid's distance is valid."""
Radii = Float64[np.ndarray, "_ 1"]
Line = Float32[np.ndarray, "_ _ _"]
"""Positions along one axis; the two others have length 1."""

SLACK_MM = 7.0
"""Margin that the warp may add to the bounds of an ellipsoid."""


@final
@dataclass(frozen=True, eq=False)
class Solid:
    """One solid.

    Attributes:
        low: lower corner of its bounds in patient mm.
        high: upper corner.
        distance: signed distance in mm on a grid, at least up to `REACH_MM` outside.
    """

    low: Point
    high: Point
    distance: Callable[[Grid], Field]

    def part(self, grid: Grid, reach_mm: float = REACH_MM) -> Part | None:
        """The part of a grid within reach of the solid; None if there is none."""
        return grid.part(self.low - reach_mm, self.high + reach_mm)


NOTHING = Solid(np.full(3, 1e9), np.full(3, -1e9), lambda grid: np.full(grid.shape, 1e3, np.float32))
"""A solid without points."""


def ellipsoid(
    placement: Placement, center: Sequence[float], radii: Sequence[float], tilt: tuple[float, float] = (0, 0)
) -> Solid:
    """An ellipsoid in anatomical mm.

    Args:
        placement: to patient space, for the bounds.
        center: anatomical position.
        radii: half axes in mm.
        tilt: turn about z, then about y, in degrees.
    """
    middle, half = np.asarray(center, np.float64), np.asarray(radii, np.float64)
    turn = rotation(*tilt)
    corners = middle + np.array([turn.T @ (half * sign) for sign in _FACES])
    patient = placement.back(corners)
    extent = np.sqrt(((turn.T * half) ** 2).sum(axis=1)) * np.array(placement.scale)
    center_patient = patient.mean(axis=0)

    def distance(grid: Grid) -> Field:
        return ellipsoid_distance(grid.anatomical, middle, half, turn)

    low = np.minimum(patient.min(axis=0), center_patient - extent) - SLACK_MM
    high = np.maximum(patient.max(axis=0), center_patient + extent) + SLACK_MM
    return Solid(low, high, distance)


_FACES = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float64)


def rotation(about_z: float, about_y: float) -> Float64[np.ndarray, "3 3"]:
    """Rotation matrix about z, then about y, in degrees; rows are the solid's own axes."""
    a, b = np.deg2rad(about_z), np.deg2rad(about_y)
    first = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    second = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    # einsum instead of BLAS, whose last bit may differ between machines.
    return np.asarray(np.einsum("ij,jk->ik", second, first))


def ellipsoid_distance(
    positions: Float32[np.ndarray, "3 x y z"], center: Point, radii: Point, turn: Float64[np.ndarray, "3 3"]
) -> Field:
    """First-order distance k (k - 1) / |grad k^2 / 2| of the level k = |position / radii|."""
    shift = [positions[i] - np.float32(center[i]) for i in range(3)]
    level = steep = np.float32(0)
    for row, radius in zip(turn.astype(np.float32), radii.astype(np.float32), strict=True):
        own = sum((value * part for value, part in zip(row, shift, strict=True) if value), np.float32(0)) / radius
        squared = own * own
        level = level + squared
        steep = steep + squared / (radius * radius)
    level = np.sqrt(level)
    distance = level * (level - 1) / np.sqrt(np.maximum(steep, np.float32(1e-8)))
    filled: Field = np.where(steep > 1e-8, distance, np.float32(-radii.min()))
    return filled


def smooth_curve(points: Sequence[Sequence[float]], radii: Sequence[float], step_mm: float) -> tuple[Points, Radii]:
    """A cubic spline through control points: positions every step_mm or so, and radii (n x 1) there."""
    nodes = np.array(points, np.float64)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1))])
    count = max(2, int(np.ceil(along[-1] / step_mm)) + 1)
    places = np.linspace(0, along[-1], count)
    curve = make_interp_spline(along, nodes, k=min(3, len(nodes) - 1))(places)
    return curve, np.interp(places, along, radii)[:, None]


@final
@dataclass(frozen=True, eq=False)
class Tubes:
    """Round cones between pairs of points in patient mm.

    Attributes:
        starts: of the axis of each cone.
        ends: likewise.
        radii: at start and end.
    """

    starts: Points
    ends: Points
    radii: Float64[np.ndarray, "n 2"]

    def solid(self) -> Solid:
        """The union of the cones."""
        widest = self.radii.max(initial=0)
        both = np.concatenate([self.starts, self.ends])
        return Solid(both.min(axis=0) - widest, both.max(axis=0) + widest, lambda grid: self.nearest(grid)[0])

    def nearest(self, grid: Grid, reach_mm: float = REACH_MM + 1) -> tuple[Field, Int16[np.ndarray, "x y z"]]:
        """Distance to the nearest cone, at most reach_mm, and the index of that cone (0 if none)."""
        found = np.full(grid.shape, reach_mm, np.float32)
        which = np.zeros(grid.shape, np.int16)
        margin = self.radii.max(axis=1, keepdims=True) + reach_mm
        lows, highs = np.minimum(self.starts, self.ends) - margin, np.maximum(self.starts, self.ends) + margin
        units, lengths = self._lines()
        slopes = ((self.radii[:, 1] - self.radii[:, 0]) / lengths.astype(np.float64)).astype(np.float32)
        for index, part in grid.parts(lows, highs):
            own = _cone_distance(
                _offsets(grid, part, self.starts[index]),
                units[index],
                lengths[index],
                (np.float32(self.radii[index, 0]), slopes[index]),
            )
            nearer = own < found[part]
            np.copyto(found[part], own, where=nearer)
            which[part][nearer] = index
        return found, which

    def _lines(self) -> tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, " n"]]:
        """Unit vectors and lengths of the axes."""
        lines = (self.ends - self.starts).astype(np.float32)
        lengths = np.maximum(np.sqrt((lines.astype(np.float64) ** 2).sum(axis=1)), 1e-3).astype(np.float32)
        return lines / lengths[:, None], lengths


def chain(points: Points, radii: Radii) -> Tubes:
    """The tubes along one curve; radii (n x 1)."""
    return Tubes(points[:-1], points[1:], np.concatenate([radii[:-1], radii[1:]], axis=1))


def tube(
    placement: Placement,
    points: Sequence[Sequence[float]],
    radii: Sequence[float],
    step_mm: float = 6.0,
    folds: tuple[float, float] = (0.0, 30.0),
) -> tuple[Solid, Points]:
    """A curved tube through anatomical points, and its axis in patient mm.

    Args:
        placement: to patient space.
        points: control points in anatomical mm.
        radii: one per control point.
        step_mm: length of its straight pieces.
        folds: relative depth and distance in mm of ring-shaped folds (haustra).
    """
    curve, wide = smooth_curve(points, radii, step_mm)
    depth, period = folds
    along = np.arange(len(curve))[:, None] * step_mm
    wide = wide * (1 + depth * np.cos(2 * np.pi * along / period))
    patient = placement.back(curve)
    return chain(patient, wide).solid(), patient


def _offsets(grid: Grid, part: Part, origin: Point) -> tuple[Line, Line, Line]:
    """Positions along the axes of a part of a grid, from an origin."""
    x, y, z = ((axis[cut] - start).astype(np.float32) for axis, cut, start in zip(grid.axes, part, origin, strict=True))
    return x[:, None, None], y[None, :, None], z[None, None, :]


def _cone_distance(
    offsets: tuple[Line, Line, Line],
    unit: Float32[np.ndarray, "3"],
    length: np.float32,
    radius: tuple[np.float32, np.float32],
) -> Field:
    """Distance to one cone, from positions along the axes, without a full array of positions.

    Args:
        offsets: from the start of the cone.
        unit: direction of its axis.
        length: of its axis.
        radius: at its start, and growth per mm.
    """
    x, y, z = offsets
    along = (x * unit[0] + y * unit[1]) + z * unit[2]
    squared = (x * x + y * y) + z * z
    held = np.minimum(np.maximum(along, np.float32(0)), length)
    squared += held * (held - 2 * along)
    np.maximum(squared, 0, out=squared)
    distance: Field = np.sqrt(squared) - (radius[0] + held * radius[1])
    return distance


def union(*solids: Solid) -> Solid:
    """The union of solids."""
    low = np.min([solid.low for solid in solids], axis=0)
    high = np.max([solid.high for solid in solids], axis=0)
    return Solid(low, high, lambda grid: np.minimum.reduce([solid.distance(grid) for solid in solids]))


def shared(solid: Solid, name: str) -> Solid:
    """The same solid; its distance is computed once per grid, under this name."""
    return Solid(solid.low, solid.high, lambda grid: grid.once(name, solid.distance))


def within(solid: Solid, region: Callable[[Grid], Field]) -> Solid:
    """The part of a solid where a distance is negative."""
    return Solid(solid.low, solid.high, lambda grid: np.maximum(solid.distance(grid), region(grid)))


def within_smoothly(solid: Solid, region: Callable[[Grid], Field], rounding_mm: float) -> Solid:
    """As `within`, with a rounded edge: a polynomial smooth maximum over this width."""

    def distance(grid: Grid) -> Field:
        own, other = solid.distance(grid), region(grid)
        overlap = np.maximum(np.float32(rounding_mm) - np.abs(own - other), 0)
        return np.asarray(np.maximum(own, other) + overlap * overlap / np.float32(4 * rounding_mm), np.float32)

    return Solid(solid.low, solid.high, distance)


def without(solid: Solid, region: Callable[[Grid], Field]) -> Solid:
    """The part of a solid where a distance is positive."""
    return Solid(solid.low, solid.high, lambda grid: np.maximum(solid.distance(grid), -region(grid)))


def resized(solid: Solid, mm: float) -> Solid:
    """A solid whose surface is moved outwards by mm."""
    return Solid(solid.low - mm, solid.high + mm, lambda grid: solid.distance(grid) - np.float32(mm))


def smooth_minimum(first: Field, second: Field, rounding_mm: float) -> Field:
    """The smaller of two distances with a rounded seam: a polynomial smooth minimum over this width."""
    overlap = np.maximum(np.float32(rounding_mm) - np.abs(first - second), 0)
    least: Field = np.minimum(first, second) - overlap * overlap / np.float32(4 * rounding_mm)
    return least
