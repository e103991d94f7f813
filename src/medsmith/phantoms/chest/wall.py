"""The wall of the chest: skin, fat, breasts, muscles, and the inner surface of the rib cage.

The surfaces are closed curves in polar form about the anatomical origin. Positions on the wall are given by their
distance from the inner surface and by the length of the way along it from the middle of the front.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float64
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from medsmith.phantoms.chest.patient import Patient
from medsmith.phantoms.outline import ANGLES, Radii
from medsmith.phantoms.solids import smooth_minimum
from medsmith.phantoms.space import Field, Grid

_INNER = (
    (0, 76), (25, 80), (55, 82), (84, 72), (109, 51), (125, 24), (132, -6), (129, -37), (115, -65), (91, -87),
    (63, -97), (40, -93), (23, -82), (12, -76),
)  # fmt: skip
"""Inner surface of the right half of the rib cage at the level of the heart: x, y in mm, from front to back."""
RIB_MM = 10.5
"""Thickness of the layer of ribs and intercostal muscles."""
_DEGREES = np.abs((np.rad2deg(ANGLES) - 90 + 180) % 360 - 180)
"""Direction of every angle, from the front (0) to the back (180), on either side."""
_STEP = ANGLES.size / (2 * np.pi)
BACK_MM = 127.0
"""Distance of the muscles' flat hind surface from the origin."""


@final
@dataclass(frozen=True, eq=False)
class Wall:
    """The wall of one patient at the level of the slice; all curves in anatomical mm.

    Attributes:
        patient: whose wall it is.
    """

    patient: Patient

    @cached_property
    def shoulder(self) -> float:
        """0 below the shoulder blades, 1 at their level."""
        return _rise(self.patient.level_mm, 35.0, 100.0)

    @cached_property
    def inner_radii(self) -> Radii:
        """The inner surface of the rib cage, narrower towards its top."""
        up = _rise(self.patient.level_mm, 55.0, 150.0)
        right = np.array(_INNER) * (1 - 0.16 * up, 1 - 0.10 * up)
        left = right[:0:-1] * (-1, 1)
        return curve_through(np.concatenate([right, left]))

    @cached_property
    def muscle_radii(self) -> Radii:
        """The outer surface of the muscles."""
        m, s, p = self.patient.muscle, self.shoulder, _rise(self.patient.level_mm, 0.0, 80.0)
        table = {
            0: 14, 16: 15 + 2 * m * p, 30: 14 + m * (2 + 12 * p), 48: 14 + m * (2 + 12 * p), 66: 13 + m * (1 + 7 * p),
            84: 13 + m * (3 + 3 * s), 100: 13 + m * (4 + 11 * s), 118: 13 + m * 7 + s * (8 + 17 * m),
            138: 14 + m * 7 + s * (16 + 24 * m), 153: 17 + m * 8 + s * (12 + 18 * m), 164: 24, 172: 30, 180: 34,
        }  # fmt: skip
        thick = np.interp(_DEGREES, list(table), list(table.values()))
        radii = self.inner_radii + gaussian_filter1d(thick, 9, mode="wrap")
        behind = np.clip((_DEGREES - 142) / 14, 0, 1)
        flat = (BACK_MM + 3 * m) / np.maximum(np.abs(np.sin(ANGLES)), 0.5) - 5 * np.exp(-(((_DEGREES - 180) / 5) ** 2))
        full = np.maximum(radii, flat * behind)
        return np.asarray(gaussian_filter1d(full, 9, mode="wrap"))

    @cached_property
    def skin_radii(self) -> Radii:
        """The body's surface without breasts and without the flattening by the table."""
        fat = self.patient.fat_mm
        table = {0: 0.5, 40: 0.75, 75: 1.05, 112: 1.1, 140: 0.85, 165: 0.6, 180: 0.6}
        covered = np.interp(_DEGREES, list(table), list(table.values())) * fat + 2.5
        hull = maximum_filter1d(self.muscle_radii, 50, mode="wrap")
        hull = gaussian_filter1d(0.6 * hull + 0.4 * self.muscle_radii, 26, mode="wrap")
        return np.asarray(np.maximum(hull, self.muscle_radii) + gaussian_filter1d(covered, 20, mode="wrap"))

    @property
    def back_mm(self) -> float:
        """Anatomical y of the back that lies on the table."""
        return -(BACK_MM + 3 * self.patient.muscle + 0.5 * self.patient.fat_mm + 3)

    @property
    def width_mm(self) -> float:
        """Width of the body in anatomical mm."""
        across = self.skin_radii * np.cos(ANGLES)
        return float(across.max() - across.min())

    @cached_property
    def _along(self) -> Float64[np.ndarray, " angles"]:
        """Length of the inner surface from the middle of the front, on either side."""
        points = self.inner_radii[:, None] * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
        steps = np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1)
        front = ANGLES.size // 4
        lengths = np.cumsum(np.roll(steps, -front - 1))
        forwards = np.concatenate([[0.0], lengths[:-1]])
        return np.roll(np.minimum(forwards, lengths[-1] - forwards), front)

    @property
    def half_mm(self) -> float:
        """Length of the inner surface from the middle of the front to that of the back."""
        return float(self._along.max())

    def outside(self, grid: Grid) -> Field:
        """Distance to the inner surface, negative in the cavity."""
        return grid.once("inner", lambda whole: _distance(whole, self.inner_radii))

    def along(self, grid: Grid) -> Field:
        """Way along the inner surface in mm from the middle of the front, the same on both sides."""
        return grid.once("along", lambda whole: _lookup(whole, self._along))

    def muscle(self, grid: Grid) -> Field:
        """Distance to the outer surface of the muscles, at least 4 mm below the skin."""
        return grid.once(
            "muscle", lambda whole: np.maximum(_distance(whole, self.muscle_radii), self.skin(whole) + np.float32(4))
        )

    def skin(self, grid: Grid) -> Field:
        """Distance to the body's surface."""
        return grid.once("skin", self._skin)

    def _skin(self, grid: Grid) -> Field:
        body = _distance(grid, self.skin_radii)
        if self.patient.breast:
            body = smooth_minimum(body, self.breasts(grid), 22.0)
        flat = np.float32(self.back_mm) - grid.anatomical[1]
        return np.asarray(-smooth_minimum(-body, -flat, 22.0))

    def breasts(self, grid: Grid) -> Field:
        """Distance to the breasts of a woman on her back."""
        return grid.once("breasts", self._breasts)

    def _breasts(self, grid: Grid) -> Field:
        x, y, z = grid.anatomical
        size = self.patient.breast
        away = (z - np.float32(42)) / np.float32(60 * size + 20)
        share = np.sqrt(np.maximum(1 - away * away, 0.02))
        width, height = np.float32(62 * size) * share, np.float32(30 * size) * share
        turned = np.float32(0.5)
        across, up = np.abs(x) - np.float32(72 + 14 * size), y - np.float32(80 + 0.3 * self.patient.fat_mm)
        u = (across * np.cos(turned) - up * np.sin(turned)) / width
        v = (across * np.sin(turned) + up * np.cos(turned)) / height
        level = np.sqrt(u * u + v * v)
        steep = np.sqrt((u / width) ** 2 + (v / height) ** 2) + np.float32(1e-4)
        breasts: Field = np.asarray(level * (level - 1) / steep, np.float32)
        return breasts

    def gland(self, grid: Grid) -> Field:
        """Distance to the part of the breasts that may hold fibroglandular tissue."""
        covered = np.maximum(self.breasts(grid) + np.float32(7), self.skin(grid) + np.float32(6))
        return np.asarray(np.maximum(covered, np.float32(6) - self.muscle(grid)))

    def shoulder_plane(self, grid: Grid) -> Field:
        """Distance to the fat between the muscles over the shoulder blade and those behind them."""
        thick = np.float32((0.4 + 0.5 * self.patient.fat_inside + 0.6 * self.patient.age) * self.shoulder)
        middle = np.float32(26 + 9 * self.patient.muscle) + np.float32(0.08) * (self.along(grid) - np.float32(180))
        off = np.abs(self.outside(grid) - middle) - thick
        ends = np.maximum(np.float32(120) - self.along(grid), self.along(grid) - np.float32(self.half_mm - 34))
        return np.asarray(np.maximum(np.maximum(off, ends), self.muscle(grid) + np.float32(2)))

    def fat_plane(self, grid: Grid) -> Field:
        """Distance to the fat between ribs and outer muscles; thicker in the old and the obese, absent behind."""
        thick = np.float32(0.5 + 0.7 * self.patient.fat_inside + 0.6 * self.patient.age)
        off = np.abs(self.outside(grid) - np.float32(RIB_MM + 1)) - thick
        return np.asarray(np.maximum(off, np.float32(-0.5) * grid.anatomical[1] - np.float32(52)))


def curve_through(points: Sequence[Sequence[float]] | Float64[np.ndarray, "_ 2"]) -> Radii:
    """Radii at `ANGLES` of a smooth closed curve through points around the origin."""
    x, y = np.asarray(points, np.float64).T
    angle = np.arctan2(y, x) % (2 * np.pi)
    order = np.argsort(angle)
    angle, radius = angle[order], np.hypot(x, y)[order]
    angle, radius = np.append(angle, angle[0] + 2 * np.pi), np.append(radius, radius[0])
    radii: Radii = make_interp_spline(angle, radius, k=3, bc_type="periodic")(
        (ANGLES - angle[0]) % (2 * np.pi) + angle[0]
    )
    return radii


def _rise(value: float, low: float, high: float) -> float:
    """A smooth step from 0 to 1."""
    t = float(np.clip((value - low) / (high - low), 0, 1))
    return t * t * (3 - 2 * t)


def _radius(grid: Grid) -> Field:
    """Distance from the anatomical origin."""
    return grid.once("radius", lambda whole: np.hypot(whole.anatomical[0], whole.anatomical[1]))


def _place(grid: Grid) -> Field:
    """Direction from the anatomical origin as a position in a table over `ANGLES`."""
    return grid.once(
        "place",
        lambda whole: (
            np.arctan2(whole.anatomical[1], whole.anatomical[0]) * np.float32(_STEP) % np.float32(ANGLES.size)
        ),
    )


def _lookup(grid: Grid, table: Float64[np.ndarray, " angles"]) -> Field:
    """A table over `ANGLES`, interpolated in the direction of every point."""
    place = _place(grid)
    index = place.astype(np.int32)
    closed = np.concatenate([table, table[:2]]).astype(np.float32)
    first = closed[index]
    found: Field = first + (closed[index + 1] - first) * (place - index.astype(np.float32))
    return found


def _distance(grid: Grid, radii: Radii) -> Field:
    """First-order distance to a closed curve."""
    slope = np.gradient(np.pad(radii, 1, mode="wrap"), ANGLES[1])[1:-1]
    shorter = 1 / np.hypot(1, slope / radii)
    distance: Field = (_radius(grid) - _lookup(grid, radii)) * _lookup(grid, shorter)
    return distance
