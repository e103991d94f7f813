"""The heart: four chambers with their walls, appendages, grooves filled with fat."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from medsmith.phantoms.canvas import Layer
from medsmith.phantoms.chest.patient import Patient
from medsmith.phantoms.chest.wall import Wall
from medsmith.phantoms.solids import NOTHING, Solid, ellipsoid, smooth_minimum, tube, union, within
from medsmith.phantoms.space import Field, Grid, Placement
from medsmith.phantoms.tissue import Levels, plain

CENTER_MM = (-16.0, 22.0, 32.0)
"""About which the heart is turned and scaled."""
WALL_GAP_MM = 6.0
"""Least distance from the inner surface of the rib cage."""
SEAM_MM = 16.0
"""Width over which chambers merge in the outline."""


@final
@dataclass(frozen=True)
class _Chamber:
    """An ellipsoid of blood and the thickness of its wall.

    Attributes:
        center: anatomical mm.
        radii: of its outer surface in mm.
        tilt: turn about z, then about y, in degrees.
        wall_mm: between outer surface and blood.
        blood: level of its blood.
    """

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    tilt: tuple[float, float]
    wall_mm: float
    blood: str


_CHAMBERS = (
    _Chamber((-48, 16, 18), (43, 30, 38), (-38, 14), 10.0, "left blood"),
    _Chamber((-14, 48, 20), (48, 25, 36), (-24, 10), 3.5, "right blood"),
    _Chamber((30, 24, 32), (24, 28, 36), (10, 0), 2.0, "right blood"),
    _Chamber((-2, -10, 48), (38, 20, 24), (4, 0), 2.0, "left blood"),
)
_CORE = _Chamber((-12, 20, 26), (50, 40, 45), (-30, 0), 0.0, "")
"""Rings of the valves and septa that chambers lie around."""
_APPENDAGES = (
    _Chamber((-44, 14, 51), (16, 11, 13), (-50, 0), 1.5, "left blood"),
    _Chamber((24, 40, 47), (17, 12, 15), (30, 0), 1.5, "right blood"),
    _Chamber((-18, 50, 45), (19, 18, 20), (0, 0), 3.0, "right blood"),
)
"""Left and right appendage, and the outflow of the right ventricle."""
_GROOVES = (
    ((35, 57, -20), (34, 58, 62)),
    ((-55, -18, -20), (-49, -14, 62)),
    ((-60, 58, -20), (-42, 67, 58)),
)
"""Fat between right and left atrium and ventricle, and between the ventricles in front: start, end."""


@final
@dataclass(frozen=True, eq=False)
class Heart:
    """The heart of one patient.

    Attributes:
        patient: whose heart it is.
        placement: of the anatomy.
        wall: in front of it.
    """

    patient: Patient
    placement: Placement
    wall: Wall

    def place(self, point: tuple[float, float, float]) -> tuple[float, float, float]:
        """A position in the average heart, in this heart: turned about z, scaled and shifted."""
        angle = np.deg2rad(self.patient.heart_degrees)
        size = self.patient.heart
        x, y, z = np.subtract(point, CENTER_MM) * (size, size, np.sqrt(size))
        cos, sin = np.cos(angle), np.sin(angle)
        moved = np.array([cos * x - sin * y, sin * x + cos * y, z]) + CENTER_MM
        return float(moved[0] + self.patient.shift_mm), float(moved[1]), float(moved[2])

    def _solid(self, chamber: _Chamber, wall_mm: float = 0.0) -> Solid:
        size = self.patient.heart
        radii = [radius * size - wall_mm for radius in chamber.radii[:2]]
        radii.append(chamber.radii[2] * float(np.sqrt(size)) - wall_mm)
        about_z, about_y = chamber.tilt
        return ellipsoid(
            self.placement, self.place(chamber.center), radii, (about_z + self.patient.heart_degrees, about_y)
        )

    @cached_property
    def solid(self) -> Solid:
        """The whole heart with a smooth surface."""
        level = self.patient.level_mm
        parts = [self._solid(chamber) for chamber in (*_CHAMBERS, *_APPENDAGES, _CORE)]
        parts = [part for part in parts if part.low[2] - SEAM_MM < level < part.high[2] + SEAM_MM]
        if not parts:
            return NOTHING
        whole = union(*parts)

        def distance(grid: Grid) -> Field:
            return grid.once("heart", lambda entire: self._behind_wall(_merged(parts, entire), entire))

        return Solid(whole.low, whole.high, distance)

    def _behind_wall(self, distance: Field, grid: Grid) -> Field:
        """A distance inside the rib cage, with a rounded edge."""
        return np.asarray(-smooth_minimum(-distance, -self.wall.outside(grid) - np.float32(WALL_GAP_MM), 10.0))

    def layers(self, levels: Levels, label: int) -> list[Layer]:
        """Muscle, blood and fat."""
        blood = [
            Layer(self._solid(chamber, chamber.wall_mm), plain(levels[chamber.blood], 4.0))
            for chamber in (*_CHAMBERS, *_APPENDAGES)
        ]
        whole = self.solid
        coronary = levels["left blood"] + 450 * max(0.0, self.patient.age - 0.6)
        return [
            Layer(whole, plain(levels["myocardium"], 5.0), label),
            *(Layer(within(part.solid, whole.distance), part.painter) for part in blood),
            *(Layer(within(groove, whole.distance), plain(levels["fat"] + 12, 6.0)) for groove in self._grooves(4.0)),
            *(Layer(vessel, plain(coronary, 30.0)) for vessel in self._grooves(1.1)),
        ]

    def _grooves(self, radius_mm: float) -> list[Solid]:
        """The grooves, wider with more fat, or the arteries in them."""
        wide = radius_mm * (0.6 + 0.4 * self.patient.fat_inside)
        return [tube(self.placement, [self.place(start), self.place(end)], (wide, wide))[0] for start, end in _GROOVES]


def _merged(parts: list[Solid], grid: Grid) -> Field:
    merged = parts[0].distance(grid)
    for part in parts[1:]:
        merged = smooth_minimum(merged, part.distance(grid), SEAM_MM)
    return merged
