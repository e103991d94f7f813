"""Contours of the classes of a label map, and label maps from contours.

A class is the union of its outlines less its holes. A hole where another class lies is none: the other class is painted
over. Every contour starts at its foremost point straight ahead of its centroid and turns from x (right) towards y
(front); its points are evenly spaced in arc length.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from scipy.ndimage import binary_fill_holes, find_objects
from skimage.measure import find_contours

from medsmith.anatomy.rasterization import Size, centroid, rasterize, signed_area
from medsmith.anatomy.splines import OVERSAMPLING, control_points, curve_points

Curve = Float64[np.ndarray, "_ 2"]
Mask = Bool[np.ndarray, "x y"]
LEAST_SHARE = 1e-4
LEAST_PIXELS = 4
"""Contours of smaller area, in shares of the field of view or in pixels, are fragments and are dropped."""


@final
@dataclass(frozen=True, eq=False)
class Contour:
    """One closed contour of a class.

    Attributes:
        value: of the class in the map of regions.
        hole: whether it is cut out of the class.
        curve: points evenly spaced in arc length, in fractions of the field of view.
    """

    value: int
    hole: bool
    curve: Curve

    @property
    def area(self) -> float:
        """Enclosed share of the field of view."""
        return abs(signed_area(self.curve))

    def spline(self, points: int) -> "Contour":
        """The same contour as a closed cubic B-spline with this number of control points."""
        return replace(self, curve=curve_points(control_points(self.curve, points), len(self.curve)))


@final
@dataclass(frozen=True)
class Traced:
    """The contours of one map.

    Attributes:
        contours: of all classes.
        fragments: number of contours that were dropped because they are too small.
    """

    contours: tuple[Contour, ...]
    fragments: int


def trace_classes(
    masks: Mapping[int, Mask], points: int, spacing: tuple[float, float] = (1.0, 1.0), least: float = LEAST_SHARE
) -> Traced:
    """The contours of several classes.

    Args:
        masks: value of a class -> its pixels, at least one. Holes of a class are filled where another class lies.
        points: control points per contour; a contour gets ``OVERSAMPLING`` times as many points.
        spacing: edges of a pixel, in which arc length is measured.
        least: share of the field of view below which a contour is a fragment.
    """
    occupied = np.any(list(masks.values()), axis=0) if masks else np.zeros((1, 1), dtype=bool)
    found: list[Contour] = []
    fragments = 0
    for value, mask in masks.items():
        for curve, hole in _trace(mask, occupied, points * OVERSAMPLING, spacing):
            contour = Contour(value, hole, curve)
            if contour.area < max(least, LEAST_PIXELS / mask.size):
                fragments += 1
            else:
                found.append(contour)
    return Traced(tuple(found), fragments)


def _trace(mask: Mask, occupied: Mask, along: int, spacing: tuple[float, float]) -> list[tuple[Curve, bool]]:
    """Curves of a mask, and whether each is a hole; a mask that touches the border is closed there.

    Args:
        mask: of one class.
        occupied: pixels of any class; holes are filled there.
        along: points per curve.
        spacing: edges of a pixel.
    """
    box = find_objects(mask.astype(np.uint8))[0]
    corner = np.array([part.start for part in box]) - 0.5
    covered = mask[box] | (occupied[box] & binary_fill_holes(mask[box]))
    size = np.array(mask.shape, dtype=np.float64)
    traced = []
    for path in find_contours(np.pad(covered, 1).astype(np.float64), 0.5, positive_orientation="high"):
        curve = (path[:-1] + corner) / size
        turn = signed_area(curve)
        ordered = curve if turn > 0 else curve[::-1]
        traced.append((_even(_from_start(ordered), along, size * spacing), turn < 0))
    return traced


def _from_start(curve: Curve) -> Curve:
    """The curve from its canonical start: where the ray from the centroid to the front leaves it last.

    If the ray misses the curve, the start is its foremost point.
    """
    x, y = curve.T
    following = np.roll(curve, -1, axis=0)
    middle = centroid(curve)
    crosses = (x > middle[0]) != (following[:, 0] > middle[0])
    share = np.divide(middle[0] - x, following[:, 0] - x, out=np.zeros_like(x), where=crosses)
    height = np.where(crosses, y + share * (following[:, 1] - y), -np.inf)
    edge = int(height.argmax())
    if height[edge] <= middle[1]:
        return np.roll(curve, -int(y.argmax()), axis=0)
    start = np.array([[middle[0], height[edge]]])
    return np.concatenate([start, np.roll(curve, -edge - 1, axis=0)])


def _even(curve: Curve, along: int, extent: Float64[np.ndarray, "2"]) -> Curve:
    """Points evenly spaced in arc length from the first; ``extent`` is the field of view in units of length."""
    closed = np.concatenate([curve, curve[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0) * extent, axis=1))])
    at = np.arange(along) * (length[-1] / along)
    return np.stack([np.interp(at, length, closed[:, axis]) for axis in (0, 1)], axis=1)


def paint(
    contours: Iterable[Contour], order: Sequence[int], size: Size, within: Mapping[int, int] = MappingProxyType({})
) -> UInt8[np.ndarray, "x y"]:
    """A map of regions from contours, painted class by class.

    Within a class larger contours come first, so that an island in a hole stays.

    Args:
        contours: of all classes.
        order: values of the classes, those painted first at the bottom.
        size: pixels along x and y.
        within: value of a class -> value of a class, painted before it, whose edge cuts it off if
            it is there.
    """
    regions = np.zeros(size, dtype=np.uint8)
    painted: dict[int, Mask] = {}
    by_size = sorted(contours, key=lambda contour: -contour.area)
    for value in order:
        mask = np.zeros(size, dtype=bool)
        for contour in by_size:
            if contour.value == value:
                inside = rasterize(contour.curve, size)
                mask = mask & ~inside if contour.hole else mask | inside
        if mask.any():
            painted[value] = mask & painted.get(within.get(value, -1), True)
            regions[painted[value]] = value
    return regions
