"""Closed curves in polar form, such as the outline of a mass: exact area, perimeter, hull, and distance to them."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.ndimage import distance_transform_edt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from medsmith.phantoms.fields import DEPTH_MM, LATERAL_MM, NATIVE_MM, Field

ANGLES = np.linspace(0, 2 * np.pi, 720, endpoint=False)
"""Directions from the center, from lateral towards depth, in radians."""

Radii = Float64[np.ndarray, " angles"]
Points = Float64[np.ndarray, "angles 2"]


@final
@dataclass(frozen=True)
class Form:
    """How a curve deviates from a circle.

    Attributes:
        diameter_mm: of the circle of equal area.
        ratio: long over short axis of the underlying ellipse.
        tilt_degrees: of its long axis, from lateral towards depth.
        waves: angular frequencies of the deviation from that ellipse, lowest and highest.
        rough: root mean square of that deviation, as a fraction of the radius.
        spicules: their number.
        reach: shortest and longest spicule, as a fraction of the radius.
    """

    diameter_mm: float
    ratio: float
    tilt_degrees: float
    waves: tuple[int, int]
    rough: float
    spicules: int = 0
    reach: tuple[float, float] = (0.0, 0.0)


@final
@dataclass(frozen=True, eq=False)
class Outline:
    """A closed star-shaped curve.

    Attributes:
        radii: distance in mm from the center at `ANGLES`.
        center: lateral and depth position in mm.
    """

    radii: Radii
    center: tuple[float, float] = (0.0, 0.0)

    @property
    def points(self) -> Points:
        """Lateral and depth positions in mm."""
        directions = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
        points: Points = self.radii[:, None] * directions + np.array(self.center)
        return points

    @property
    def area_mm2(self) -> float:
        """Enclosed area (shoelace formula)."""
        x, y = self.points.T
        return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)

    @property
    def circularity(self) -> float:
        """4 pi area / perimeter^2: 1 for a circle, less for every other curve."""
        steps = np.roll(self.points, -1, axis=0) - self.points
        perimeter = np.hypot(steps[:, 0], steps[:, 1]).sum()
        return float(4 * np.pi * self.area_mm2 / perimeter**2)

    @property
    def solidity(self) -> float:
        """Area over the area of the convex hull."""
        return self.area_mm2 / float(ConvexHull(self.points).volume)

    @property
    def longest_diameter_mm(self) -> float:
        """Largest distance between two points of the curve (Feret diameter)."""
        points = self.points
        return float(pdist(points[ConvexHull(points).vertices]).max())

    def coverage(self) -> Field:
        """Share of each native pixel inside the curve, 0 to 1."""
        across, down = LATERAL_MM - self.center[0], DEPTH_MM - self.center[1]
        limit, steepness = self._limits(across, down)
        share: Field = np.clip(0.5 + (limit - np.hypot(across, down)) / (steepness * NATIVE_MM), 0, 1)
        return share

    def distance(self, lateral: Float[np.ndarray, "..."], depth: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """First-order signed distance in mm of positions to the curve, negative inside.

        Args:
            lateral: positions in mm.
            depth: likewise.
        """
        across, down = lateral - self.center[0], depth - self.center[1]
        limit, steepness = self._limits(across, down)
        distance: Float[np.ndarray, "..."] = (np.hypot(across, down) - limit) / steepness
        return distance

    def _limits(
        self, across: Float[np.ndarray, "..."], down: Float[np.ndarray, "..."]
    ) -> tuple[Float64[np.ndarray, "..."], Float64[np.ndarray, "..."]]:
        """The radius in the direction of each position, and the distance along it per distance to the curve."""
        angle = np.arctan2(down, across) % (2 * np.pi)
        slope = np.gradient(np.pad(self.radii, 1, mode="wrap"), ANGLES[1])[1:-1]
        tilt = np.hypot(1, slope / self.radii)
        limit, steepness = (
            np.interp(angle, np.append(ANGLES, 2 * np.pi), np.append(values, values[0]))
            for values in (self.radii, tilt)
        )
        return limit, steepness


def sample_outline(form: Form, rng: np.random.Generator) -> Outline:
    """An outline about the origin, scaled so that its area is that of the form's diameter."""
    tilt = np.deg2rad(form.tilt_degrees)
    ellipse = 1 / np.hypot(np.cos(ANGLES - tilt), form.ratio * np.sin(ANGLES - tilt))
    deviation = 1 + _waves(form, rng) + _spicules(form, rng)
    outline = Outline(ellipse * np.maximum(deviation, 0.35))
    return Outline(outline.radii * form.diameter_mm / 2 * np.sqrt(np.pi / outline.area_mm2))


def signed_distance(inside: Bool[np.ndarray, "n n"]) -> Field:
    """Distance in mm of every native pixel's center to the edge of a region, negative inside."""
    outwards = distance_transform_edt(~inside)
    inwards = distance_transform_edt(inside)
    distance: Field = NATIVE_MM * np.where(inside, 0.5 - inwards, outwards - 0.5)
    return distance


def _waves(form: Form, rng: np.random.Generator) -> Radii:
    """A sum of waves with random phase whose root mean square is the form's roughness."""
    lowest, highest = form.waves
    frequencies = np.arange(lowest, highest + 1)
    weights, phases = rng.uniform(0.4, 1, frequencies.size), rng.uniform(0, 2 * np.pi, frequencies.size)
    waves = np.sum(weights[:, None] * np.cos(frequencies[:, None] * ANGLES + phases[:, None]), axis=0)
    scaled: Radii = form.rough * waves / np.sqrt(np.mean(waves**2))
    return scaled


def _spicules(form: Form, rng: np.random.Generator) -> Radii:
    """Narrow peaks in random directions."""
    peaks = np.zeros(ANGLES.size)
    for _ in range(form.spicules):
        away = (ANGLES - rng.uniform(0, 2 * np.pi) + np.pi) % (2 * np.pi) - np.pi
        peaks = np.maximum(peaks, rng.uniform(*form.reach) * np.exp(-np.abs(away) / rng.uniform(0.06, 0.14)))
    return peaks
