"""A limb in patient mm: skin, fat, muscles, bones and vessels, all defined about an axis that runs along z.

Axes: x y z of the patient. A section across the limb has polar coordinates (r, angle) about the axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64

from medsmith.phantoms.space import Field, Grid, stream

RADIUS_MM = (42.0, 100.0)
"""From the axis to the skin: arms and calves to thighs."""
FAT_SHARE = (0.05, 0.35)
"""Thickness of the fat below the skin over the radius."""
HARMONICS = (2, 3, 4)
"""Orders of the waves that make a section other than round."""
OUTLINE, FAT_WAVES = 0.09, 0.35
"""Largest amplitudes of the waves of the outline and of the fat's thickness."""
TAPER, LEAN = 0.0012, 0.25
"""Largest change of the radius per mm along the axis, as a share, and of the axis' position, in mm."""
MUSCLES = (5, 9)
SEPTUM_MM = (0.6, 2.2)
"""Thickness of the fat between two muscles."""
BONE_SHARE, SMALL_BONE_SHARE = (0.14, 0.22), (0.08, 0.12)
"""Radius of a bone over that of the limb; the smaller one is that of a second bone."""
CORTEX_SHARE = (0.25, 0.5)
"""Thickness of the cortex over the radius of the bone."""
TWO_BONES = 0.35
VESSELS, VESSEL_MM = (2, 5), (2.0, 4.5)


@final
@dataclass(frozen=True)
class Rod:
    """A bone or vessel along the limb.

    Attributes:
        x: position across the limb where z = 0, mm from the axis.
        y: likewise.
        radius: mm.
        cortex: thickness of the wall of a bone, mm; 0 for a vessel.
    """

    x: float
    y: float
    radius: float
    cortex: float = 0.0


@final
@dataclass(frozen=True, eq=False)
class Limb:
    """The geometry of one limb without its tumor.

    Attributes:
        radius: mean distance of the skin from the axis, mm.
        fat: mean thickness of the fat below the skin, mm.
        outline: cosine and sine amplitudes of the outline, one column per harmonic.
        fat_waves: likewise, of the thickness of the fat.
        taper: change of the radius per mm along z, as a share.
        lean: mm along x and y that the axis moves per mm along z.
        bones: one or two.
        vessels: at the first bone, and anywhere in the limb.
        muscles: a point of each muscle, as shares of the radius.
        septum: thickness of the fat between muscles, mm.
    """

    radius: float
    fat: float
    outline: Float64[np.ndarray, "2 h"]
    fat_waves: Float64[np.ndarray, "2 h"]
    taper: float
    lean: tuple[float, float]
    bones: tuple[Rod, ...]
    vessels: tuple[Rod, ...]
    muscles: Float64[np.ndarray, "m 2"]
    septum: float

    def across(self, grid: Grid) -> tuple[Field, Field]:
        """Positions of the voxels about the axis, mm; the warp of the patient bends it."""
        x, y, z = grid.anatomical
        return x - np.float32(self.lean[0]) * z, y - np.float32(self.lean[1]) * z

    def skin(self, grid: Grid) -> Field:
        """Distance to the skin, mm, negative inside; exact for a round limb."""
        r, angle, radius = self._polar(grid)
        return np.asarray(r - radius * (1 + _waves(self.outline, angle)), np.float32)

    def fascia(self, grid: Grid) -> Field:
        """Distance to the surface of the muscles, mm, negative inside."""
        _, angle, _ = self._polar(grid)
        return self.skin(grid) + np.float32(self.fat) * (1 + _waves(self.fat_waves, angle))

    def rod(self, grid: Grid, rod: Rod) -> Field:
        """Distance to the surface of a bone or vessel, mm, negative inside."""
        x, y = self.across(grid)
        return np.asarray(np.hypot(x - np.float32(rod.x), y - np.float32(rod.y)) - np.float32(rod.radius), np.float32)

    def septa(self, grid: Grid) -> Field:
        """Distance to the nearest boundary between two muscles, mm: the bisectors of the muscles' points."""
        x, y = self.across(grid)
        places = self.muscles * self.radius
        squares = np.stack([(x - np.float32(u)) ** 2 + (y - np.float32(v)) ** 2 for u, v in places])
        order = np.argsort(squares, axis=0, kind="stable")[:2]
        first, second = np.take_along_axis(squares, order, axis=0)
        gap = np.sqrt(((places[order[0]] - places[order[1]]) ** 2).sum(axis=-1))
        return np.asarray((second - first) / (2 * np.maximum(gap, 1e-3)), np.float32)

    def _polar(self, grid: Grid) -> tuple[Field, Field, Field]:
        x, y = self.across(grid)
        radius = np.float32(self.radius) * (1 + np.float32(self.taper) * grid.anatomical[2])
        return np.hypot(x, y), np.arctan2(y, x), radius


def sample_limb(seed: int, least_radius: float) -> Limb:
    """The limb of a seed.

    Args:
        seed: of the case.
        least_radius: in mm, so that the tumor has room.
    """
    rng = stream(seed, "limb")
    radius = max(float(rng.uniform(*RADIUS_MM)), least_radius)
    bones = _bones(rng, radius)
    count = int(rng.integers(*MUSCLES, endpoint=True))
    return Limb(
        radius=radius,
        fat=radius * float(rng.uniform(*FAT_SHARE)),
        outline=_amplitudes(rng, OUTLINE),
        fat_waves=_amplitudes(rng, FAT_WAVES),
        taper=float(rng.uniform(-TAPER, TAPER)),
        lean=(float(rng.uniform(-LEAN, LEAN)), float(rng.uniform(-LEAN, LEAN))),
        bones=bones,
        vessels=_vessels(rng, radius, bones),
        muscles=_points(rng, count),
        septum=float(rng.uniform(*SEPTUM_MM)),
    )


def _amplitudes(rng: np.random.Generator, largest: float) -> Float64[np.ndarray, "2 h"]:
    return np.asarray(rng.uniform(-1, 1, (2, len(HARMONICS))) * largest / np.array(HARMONICS))


def _waves(amplitudes: Float64[np.ndarray, "2 h"], angle: Field) -> Field:
    parts = (
        np.float32(a) * np.cos(order * angle) + np.float32(b) * np.sin(order * angle)
        for order, a, b in zip(HARMONICS, *amplitudes, strict=True)
    )
    return np.asarray(sum(parts, np.float32(0)), np.float32)


def _bones(rng: np.random.Generator, radius: float) -> tuple[Rod, ...]:
    turn, away = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0, 0.35)
    shares: Sequence[tuple[float, float]] = (BONE_SHARE,)
    if rng.random() < TWO_BONES:
        shares, away = (BONE_SHARE, SMALL_BONE_SHARE), radius * rng.uniform(0.2, 0.45)
    bones = []
    for number, share in enumerate(shares):
        size = radius * float(rng.uniform(*share))
        angle = turn + number * rng.uniform(0.8, 1.6)
        cortex = size * float(rng.uniform(*CORTEX_SHARE))
        bones.append(Rod(float(away * np.cos(angle)), float(away * np.sin(angle)), size, cortex))
    return tuple(bones)


def _vessels(rng: np.random.Generator, radius: float, bones: Sequence[Rod]) -> tuple[Rod, ...]:
    """Vessels in turn at the first bone and anywhere in the limb."""
    bone, found = bones[0], []
    for number in range(int(rng.integers(*VESSELS, endpoint=True))):
        size, turn = float(rng.uniform(*VESSEL_MM)), rng.uniform(0, 2 * np.pi)
        far = bone.radius + size + rng.uniform(2, 8) if number % 2 == 0 else radius * rng.uniform(0.5, 0.95)
        x, y = (bone.x, bone.y) if number % 2 == 0 else (0.0, 0.0)
        found.append(Rod(float(x + far * np.cos(turn)), float(y + far * np.sin(turn)), size))
    return tuple(found)


def _points(rng: np.random.Generator, count: int) -> Float64[np.ndarray, "m 2"]:
    turns, away = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0.02, 0.8, count))
    return np.stack([away * np.cos(turns), away * np.sin(turns)], axis=1)
