"""The trunk: skin, fat, muscle, spine, ribs, sternum, pelvis, and the cavity for the organs.

Anatomical space: z = 0 at the lower edge of the lungs behind, +x the patient's right, +y the front, +z the head.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from medsmith.phantoms.canvas import Layer
from medsmith.phantoms.solids import Solid, ellipsoid, union, within, without
from medsmith.phantoms.space import REGION_MM, Field, Grid, Warp, stream
from medsmith.phantoms.tissue import Levels, Painter, Spot, bone, plain, skin, striated

VERTEBRA_MM = 30.0
"""Distance between vertebrae."""
RIB_MM = 27.0
"""Distance between ribs along the body."""


@final
@dataclass(frozen=True)
class Trunk:
    """Proportions of one body in anatomical mm.

    Attributes:
        half_width: of the cavity at the navel.
        half_depth: likewise, front to back.
        fat: thickness under the skin.
        dome: height of the diaphragm on the right.
        phase: shift of the vertebrae and ribs along z.
    """

    half_width: float
    half_depth: float
    fat: float
    dome: float
    phase: float

    def cavity(self, grid: Grid) -> Field:
        """Distance to the inner surface of the trunk's wall."""
        return grid.once("cavity", self._cavity)

    def _cavity(self, grid: Grid) -> Field:
        x, y, z = grid.anatomical
        up = np.clip(z / 232, 0, 0.985)
        down = np.clip((-150 - z) / 220, 0, 0.8)
        narrow = np.sqrt(1 - up * up * up) - 0.45 * down
        return _oval(x, y, np.float32(self.half_width) * narrow, np.float32(self.half_depth) * (narrow * 0.8 + 0.2))

    def skin(self, grid: Grid) -> Field:
        """Distance to the body's surface."""
        return grid.once("skin", self._skin)

    def _skin(self, grid: Grid) -> Field:
        x, y, _z = grid.anatomical
        width, depth = self.half_width + 14 + 1.3 * self.fat, self.half_depth + 16 + self.fat
        return _oval(x, y + np.float32(7), np.float32(width), np.float32(depth))

    def muscle(self, grid: Grid) -> Field:
        """Distance to the outer surface of the muscle wall."""
        z = grid.anatomical[2]
        thick = 12 + 0.35 * np.maximum(0, -140 - z) + 0.42 * np.maximum(0, z - 90)
        return np.asarray(np.maximum(self.cavity(grid) - thick.astype(np.float32), self.skin(grid) + np.float32(5)))

    def diaphragm(self, grid: Grid) -> Field:
        """Height over the diaphragm in mm, negative below it."""
        return grid.once("diaphragm", self._diaphragm)

    def _diaphragm(self, grid: Grid) -> Field:
        x, y, z = grid.anatomical
        right = np.float32(self.dome) - 0.0065 * (x - 62) ** 2
        left = np.float32(self.dome - 14) - 0.0065 * (x + 62) ** 2
        top = np.maximum(np.maximum(right, left), np.float32(self.dome - 22)) - 0.010 * (y - 12) ** 2
        height: Field = (z - np.maximum(top, -45)) * np.float32(0.8)
        return height


def _oval(x: Field, y: Field, width: Field | np.float32, depth: Field | np.float32) -> Field:
    """First-order distance to an upright elliptical cylinder."""
    across, along = x / width, y / depth
    level = np.sqrt(across * across + along * along)
    steep = np.sqrt((across / width) ** 2 + (along / depth) ** 2) + np.float32(1e-4)
    distance: Field = (level * (level - 1) / steep).astype(np.float32)
    return distance


def sample_trunk(seed: int) -> Trunk:
    """The proportions of one case."""
    rng = stream(seed, "trunk")
    return Trunk(
        half_width=float(rng.uniform(120, 134)),
        half_depth=float(rng.uniform(78, 90)),
        fat=float(rng.uniform(9, 28)),
        dome=float(rng.uniform(42, 58)),
        phase=float(rng.uniform(0, 1)),
    )


def trunk_layers(trunk: Trunk, warp: Warp, levels: Levels) -> list[Layer]:
    """The layers behind the organs: skin, fat, muscle."""
    everywhere = (np.array(REGION_MM[0]), np.array(REGION_MM[1]))
    return [
        Layer(Solid(*everywhere, trunk.skin), skin(levels)),
        Layer(Solid(*everywhere, trunk.muscle), striated(levels)),
        Layer(Solid(*everywhere, trunk.cavity), plain(levels["fat"], 9.0), yields=True),
        *(Layer(solid, striated(levels)) for solid in long_muscles(trunk, warp)),
    ]


def long_muscles(trunk: Trunk, warp: Warp) -> list[Solid]:
    """Along the spine: behind it, and the psoas in front of it."""
    back = [ellipsoid(warp, (side * 33, -trunk.half_depth - 14, -60), (27, 19, 900)) for side in (-1, 1)]
    psoas = [ellipsoid(warp, (side * 42, -57, -190), (20, 19, 135), (0, side * 6.0)) for side in (-1, 1)]
    return [_clipped(solid) for solid in (*back, *psoas)]


def _clipped(solid: Solid) -> Solid:
    """The solid with bounds clipped to the region of the warp."""
    return Solid(np.maximum(solid.low, REGION_MM[0]), np.minimum(solid.high, REGION_MM[1]), solid.distance)


def bone_layers(trunk: Trunk, warp: Warp, levels: Levels, label: int) -> list[Layer]:
    """Spine with discs and canal, ribs with cartilage, sternum, pelvis."""
    solids = bone_solids(trunk, warp)
    hard = bone(levels)
    return [
        Layer(solids["ribs"], _rib_painter(levels, hard), label),
        Layer(solids["sternum"], hard, label),
        Layer(solids["spine"], _spine_painter(trunk, levels, hard), label),
        Layer(solids["canal"], plain(levels["csf"] + 20, 6.0)),
        *(Layer(solid, hard, label) for solid in _pelvis(warp)),
    ]


def bone_solids(trunk: Trunk, warp: Warp) -> dict[str, Solid]:
    """Ribs with cartilage, sternum, spine with discs, and the spinal canal."""
    return {
        "ribs": Solid(*_bounds(warp, (-160, -130, -60), (160, 110, 225)), lambda grid: _ribs(trunk, grid)),
        "sternum": ellipsoid(warp, (0, trunk.half_depth + 3, 105), (18, 5, 82), (0, 0)),
        "spine": Solid(*_bounds(warp, (-58, -135, -330), (58, -30, 300)), lambda grid: _spine(trunk, grid)),
        "canal": Solid(*_bounds(warp, (-10, -100, -330), (10, -70, 300)), _canal),
    }


def _bounds(warp: Warp, low: tuple[float, ...], high: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A box in patient mm that holds an anatomical one."""
    scale = np.array(warp.scale)
    return np.array(low) * scale - 9, np.array(high) * scale + 9


def folded(height: Field, period: float, phase: float) -> Field:
    """Signed distance to the nearest of evenly spaced heights."""
    turns = height / np.float32(period) - np.float32(phase)
    distance: Field = (turns - np.round(turns)) * np.float32(period)
    return distance


def _spine(trunk: Trunk, grid: Grid) -> Field:
    """Bodies and discs, arch, spinous and transverse processes."""
    x, y, z = grid.anatomical
    level = folded(z, VERTEBRA_MM, trunk.phase)
    waist = np.float32(1.5) * np.cos(level * np.float32(2 * np.pi / VERTEBRA_MM))
    body = _oval(x, y + 62, 21 - waist, 16 - waist)
    ring = np.abs(np.sqrt(x * x + (y + 86) ** 2) - 11) - 3.2
    ring = np.maximum(ring, np.abs(level + 1) - 11)
    spinous = np.maximum(np.maximum(np.abs(x) - 3.5, np.abs(y + 106) - 13), np.abs(level + 5) - 8)
    across = np.sqrt((y + 86 + 0.12 * np.abs(x)) ** 2 + level**2) - 5
    transverse = np.maximum(across, np.maximum(np.abs(x) - 36, 9 - np.abs(x)))
    spine: Field = np.minimum(np.minimum(body, ring), np.minimum(spinous, transverse)).astype(np.float32)
    return spine


def _canal(grid: Grid) -> Field:
    """The spinal canal."""
    x, y, _z = grid.anatomical
    canal: Field = np.sqrt(x * x + (y + 86) ** 2) - np.float32(8)
    return canal


def _spine_painter(trunk: Trunk, levels: Levels, hard: Painter) -> Painter:
    """Bone, but discs between the bodies."""

    def paint(spot: Spot) -> Field:
        _x, y, z = spot.grid.anatomical
        level = np.abs(folded(z, VERTEBRA_MM, trunk.phase))
        gap = level - np.float32(VERTEBRA_MM / 2 - 4)
        disc = np.clip(0.5 + gap / np.float32(spot.grid.spacing + 0.8), 0, 1) * (y > -78)
        endplate = np.exp(-(((gap + 1.2) / 1.4) ** 2)) * (y > -78) * np.float32(280)
        painted = hard(spot) + endplate
        mixed: Field = (painted + (np.float32(levels["disc"]) - painted) * disc).astype(np.float32)
        return mixed

    return paint


def _ribs(trunk: Trunk, grid: Grid) -> Field:
    """Bands on the rib cage that descend towards the front."""
    x, y, z = grid.anatomical
    from_wall = trunk.cavity(grid) - np.float32(5.5)
    height = folded(z + 0.45 * y + 0.12 * np.abs(x), RIB_MM, trunk.phase) * np.float32(0.88)
    band = (np.sqrt((from_wall / 3.8) ** 2 + (height / 6.4) ** 2) - 1) * np.float32(3.8)
    low = np.float32(-42) - z + np.maximum(0, y + 20) * np.float32(0.8)
    ribs: Field = np.maximum(np.maximum(band, low), np.float32(24) - np.abs(x) - (y < 0) * np.float32(10))
    return ribs.astype(np.float32)


def _rib_painter(levels: Levels, hard: Painter) -> Painter:
    """Bone behind, cartilage in front."""

    def paint(spot: Spot) -> Field:
        share = np.clip((spot.grid.anatomical[1] - 48) / 6, 0, 1)
        painted = hard(spot)
        mixed: Field = painted + (np.float32(levels["cartilage"]) - painted) * share
        return mixed

    return paint


def _pelvis(warp: Warp) -> list[Solid]:
    """Iliac wings, sacrum, heads of the femurs, pubic bones."""
    wings = []
    for side in (-1, 1):
        outer = ellipsoid(warp, (side * 48, -12, -205), (76, 74, 88))
        inner = ellipsoid(warp, (side * 41, -9, -203), (71, 70, 90))
        wing = without(outer, inner.distance)
        wings.append(within(wing, lambda grid, s=side: _beside(grid, s)))  # type: ignore[misc]
    heads = [ellipsoid(warp, (side * 92, 0, -272), (25, 25, 25)) for side in (-1, 1)]
    sacrum = ellipsoid(warp, (0, -88, -235), (42, 20, 55), (0, 0))
    pubis = [ellipsoid(warp, (side * 38, 48, -288), (36, 9, 10), (-side * 20.0, 0)) for side in (-1, 1)]
    return [union(wings[0], wings[1]), union(heads[0], heads[1]), sacrum, union(pubis[0], pubis[1])]


def _beside(grid: Grid, side: int) -> Field:
    """Negative in the outer and hind half of one side."""
    x, y, z = grid.anatomical
    beside: Field = np.maximum(np.maximum(50 - side * x, y - 45), -310 - z).astype(np.float32)
    return beside
