"""Bones of the chest: ribs with their cartilage, sternum, shoulder blades, a vertebra with its canal and the cord."""

from dataclasses import dataclass
from typing import final

import numpy as np

from medsmith.phantoms.canvas import Layer
from medsmith.phantoms.chest.patient import Patient
from medsmith.phantoms.chest.wall import Wall
from medsmith.phantoms.solids import Solid, smooth_minimum
from medsmith.phantoms.space import Field, Grid, Placement, Point
from medsmith.phantoms.tissue import Levels, Painter, Spot, bone, plain

RIB_PERIOD_MM = 27.0
"""Distance between ribs along z."""
RIB_HEIGHT_MM = 13.0
RIB_HALF_MM = 3.7
"""Half thickness of a rib."""
CARTILAGE_MM = 62.0
"""Length of the way along the wall, from the middle of the front, on which ribs are cartilage."""
VERTEBRA_MM = (0.0, -64.0)
CANAL_MM = (0.0, -86.5)
"""Centers of the body of the vertebra and of its canal."""
CORD_MM = (6.8, 5.0)
"""Half axes of the cord."""


def box(placement: Placement, low: tuple[float, float], high: tuple[float, float]) -> tuple[Point, Point]:
    """Bounds in patient mm of a rectangle in the anatomical plane; along z, of everything."""
    corners = np.array([[x, y, 0.0] for x in (low[0], high[0]) for y in (low[1], high[1])])
    patient = placement.back(corners)
    first, last = patient.min(axis=0) - 6, patient.max(axis=0) + 6
    first[2], last[2] = -1e3, 1e3
    return first, last


@final
@dataclass(frozen=True, eq=False)
class Skeleton:
    """The bones of one patient at the level of the slice.

    Attributes:
        wall: on which the ribs lie.
        placement: of the anatomy.
    """

    wall: Wall
    placement: Placement

    @property
    def patient(self) -> Patient:
        """Whose bones they are."""
        return self.wall.patient

    def layers(self, levels: Levels, bone_label: int, cord_label: int) -> list[Layer]:
        """Ribs, sternum, shoulder blades, vertebra, canal, cord."""
        everywhere = box(self.placement, (-200, -170), (200, 140))
        spine = box(self.placement, (-48, -130), (48, -44))
        canal = box(self.placement, (-14, -102), (14, -72))
        breast = box(self.placement, (-42, 66), (42, 108))
        hard = bone(levels, 1.3)
        layers = [
            Layer(Solid(*everywhere, self._cartilage), _cartilage_painter(levels, self.patient.age)),
            Layer(Solid(*everywhere, self._ribs), hard, bone_label),
            Layer(Solid(*breast, self._sternum), hard, bone_label),
        ]
        if self.wall.shoulder > 0.25:
            layers.append(Layer(Solid(*everywhere, self._shoulder_blades), hard, bone_label))
        return [
            *layers,
            Layer(Solid(*spine, self.vertebra), hard, bone_label),
            Layer(Solid(*canal, self.canal), plain(levels["csf"] + 6, 3.0), 0),
            Layer(Solid(*canal, self.cord), plain(levels["muscle"] - 12, 3.0), cord_label),
        ]

    def _rib(self, grid: Grid) -> Field:
        """Distance to the nearest rib or its cartilage: bands that descend towards the front."""
        return grid.once("rib", self._rib_on)

    def _rib_on(self, grid: Grid) -> Field:
        outside, along = self.wall.outside(grid), self.wall.along(grid)
        x = grid.anatomical[0]
        half = np.float32(self.wall.half_mm)
        behind = np.clip((along - half + 95) / 95, 0, 1)
        turns = 0.5 * along - 22 * behind * behind + np.sign(x) * 2.0
        turns = turns / np.float32(RIB_PERIOD_MM) + np.float32(self.patient.level_mm / RIB_PERIOD_MM)
        turns = turns + np.float32(self.patient.rib_phase)
        slope = np.float32(0.5) - np.float32(44 / 95) * behind
        off = (turns - np.round(turns)) * np.float32(RIB_PERIOD_MM) / slope
        length = np.float32(RIB_HEIGHT_MM / 2) / slope - np.float32(RIB_HALF_MM)
        ahead = np.maximum(np.abs(off) - length, 0)
        height = outside - np.float32(1.2 + RIB_HALF_MM) + np.float32(0.05) * np.clip(off, -25, 25)
        rib: Field = np.hypot(ahead, height).astype(np.float32) - np.float32(RIB_HALF_MM)
        return rib

    def _ribs(self, grid: Grid) -> Field:
        """The bony parts, from the cartilage to the vertebra."""
        along = self.wall.along(grid)
        ends = np.maximum(np.float32(CARTILAGE_MM) - along, along - np.float32(self.wall.half_mm - 24))
        return np.asarray(np.maximum(self._rib(grid), ends))

    def _cartilage(self, grid: Grid) -> Field:
        """The parts between the bones of the ribs and the sternum."""
        along = self.wall.along(grid)
        ends = np.maximum(along - np.float32(CARTILAGE_MM), np.float32(20) - along)
        return np.asarray(np.maximum(self._rib(grid) - np.float32(0.6), ends))

    def _sternum(self, grid: Grid) -> Field:
        """A flat bone, wider at the top."""
        x, y, z = grid.anatomical
        front = np.float32(self.wall.inner_radii[self.wall.inner_radii.size // 4] + 7.5)
        wide = np.float32(15) + np.float32(12) * np.clip((z - 96) / 24, 0, 1)
        thick = np.float32(5.0)
        across = np.maximum(np.abs(x) - wide + thick, 0)
        curved = y - front + np.float32(0.004) * x * x
        sternum: Field = np.hypot(across, curved) - thick
        return np.asarray(sternum, np.float32)

    def _shoulder_blades(self, grid: Grid) -> Field:
        """Thin plates behind the ribs, thicker at their outer border."""
        outside, along = self.wall.outside(grid), self.wall.along(grid)
        half, grown = np.float32(self.wall.half_mm), np.float32(self.wall.shoulder)
        middle = half - np.float32(112)
        length = np.float32(8) + np.float32(26) * grown
        off = along - middle
        lifted = np.float32(13 + 4 * self.patient.muscle) + np.float32(0.14) * np.clip(-off, -40, 40) * grown
        thick = np.float32(2.1) + np.float32(2.4) * np.clip((-off - length + 14) / 14, 0, 1)
        blade: Field = np.hypot(np.maximum(np.abs(off) - length, 0), outside - lifted) - thick
        return np.asarray(blade, np.float32)

    def vertebra(self, grid: Grid) -> Field:
        """Body, arch and processes; what of the arch meets the slice depends on its level."""
        return grid.once("vertebra", self._vertebra)

    def _vertebra(self, grid: Grid) -> Field:
        x, y, _z = grid.anatomical
        side, low = np.abs(x), y - np.float32(CANAL_MM[1])
        height = (self.patient.level_mm / 24 + self.patient.arch_phase) % 1
        body = self.vertebral_body(grid)
        ring = np.abs(np.sqrt(x * x + low * low) - np.float32(12)) - np.float32(3.0)
        if height > 0.62:
            ring = np.maximum(ring, low + np.float32(1))
        lamina = _capsule(side, y, (11, -88), (2, -103), 3.2)
        spinous = _capsule(side, y, (0, -100), (0, -112 - 12 * height), 2.8)
        arch = smooth_minimum(smooth_minimum(ring, lamina, 3.0), spinous, 3.0)
        if height < 0.62:
            arch = smooth_minimum(arch, _capsule(side, y, (13, -91), (36, -102), 4.2), 4.0)
        return smooth_minimum(body, arch, 3.0)

    def vertebral_body(self, grid: Grid) -> Field:
        """The body of the vertebra, hollowed behind."""
        x, y, _z = grid.anatomical
        u, v = x / np.float32(17.5), (y - np.float32(VERTEBRA_MM[1])) / np.float32(14.5)
        level = np.sqrt(u * u + v * v)
        steep = np.sqrt((u / 17.5) ** 2 + (v / 14.5) ** 2) + np.float32(1e-4)
        body: Field = np.asarray(level * (level - 1) / steep, np.float32)
        return -smooth_minimum(-body, self.canal(grid) - np.float32(1.5), 3.0)

    def canal(self, grid: Grid) -> Field:
        """The canal of the spine."""
        x, y, _z = grid.anatomical
        return np.asarray(np.hypot(x / np.float32(1.12), y - np.float32(CANAL_MM[1])) - np.float32(8.6), np.float32)

    def cord(self, grid: Grid) -> Field:
        """The cord in it."""
        x, y, _z = grid.anatomical
        wide, high = np.float32(CORD_MM[0]), np.float32(CORD_MM[1])
        level = np.hypot(x / wide, (y - np.float32(CANAL_MM[1] + 0.6)) / high)
        return np.asarray((level - 1) * np.float32(CORD_MM[1] + 0.8), np.float32)


def _capsule(x: Field, y: Field, start: tuple[float, float], end: tuple[float, float], radius: float) -> Field:
    """Distance to a thick line in the anatomical plane."""
    line = np.array(end, np.float32) - np.array(start, np.float32)
    across, up = x - np.float32(start[0]), y - np.float32(start[1])
    share = np.clip((across * line[0] + up * line[1]) / np.float32((line**2).sum()), 0, 1)
    distance: Field = np.hypot(across - share * line[0], up - share * line[1]) - np.float32(radius)
    return distance


def _cartilage_painter(levels: Levels, age: float) -> Painter:
    """Soft in the young, with calcium in the old."""
    base = plain(levels["cartilage"], 6.0)

    def paint(spot: Spot) -> Field:
        shell = np.exp(-(((spot.distance + np.float32(1)) / np.float32(1.2)) ** 2)) * (spot.textures.coarse > 0.2)
        painted: Field = base(spot) + np.float32(260 * age * age) * shell.astype(np.float32)
        return painted

    return paint
