"""The lungs: the cavity outside the mediastinum, with parenchyma, fissures, and trees of vessels and bronchi."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import final

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.ndimage import label as components

from medsmith.phantoms.canvas import Layer, ramp_mm
from medsmith.phantoms.chest.mediastinum import Mediastinum
from medsmith.phantoms.chest.patient import Patient
from medsmith.phantoms.chest.skeleton import box
from medsmith.phantoms.solids import Solid, Tubes, resized, smooth_minimum, within
from medsmith.phantoms.space import Field, Grid, cover, stream
from medsmith.phantoms.tissue import Levels, Painter, Spot, plain
from medsmith.phantoms.trees import grown_tree

SIDES = {"right": 1, "left": -1}
SLAB_MM = 11.0
"""Half thickness of the slab about the slice in which trees grow."""
TARGETS = {"artery": 100, "vein": 70}
"""Ends of each tree in the slab."""
LEAF_MM = {"artery": 0.5, "vein": 0.5}
"""Their radii."""
EXPONENT = 2.3
DIRECTNESS = 0.55
"""Of Murray's law, for these trees."""
CORE_MM, TIP_MM = 3.0, 5.0
"""Depth of the core of a lung, and how far the lung reaches from it."""
BARE_MM = 9.0
"""Depth below the pleura at which vessels have faded."""


@final
@dataclass(frozen=True, eq=False)
class Lungs:
    """Both lungs of one patient.

    Attributes:
        mediastinum: between them.
        seed: of the case.
    """

    mediastinum: Mediastinum
    seed: int

    @property
    def patient(self) -> Patient:
        """Whose lungs they are."""
        return self.mediastinum.patient

    def solid(self, side: str) -> Solid:
        """One lung."""
        sign = SIDES[side]
        low, high = box(self.mediastinum.placement, (min(0, sign * 148), -114), (max(0, sign * 148), 100))
        return Solid(low, high, partial(self._distance, side))

    def distance(self, grid: Grid) -> Field:
        """Distance to the nearest lung, on a grid that holds both."""
        return grid.once("lungs", self._distance_on)

    def _distance_on(self, grid: Grid) -> Field:
        """Without splinters: the lung reaches at most `TIP_MM` farther than where it is twice `CORE_MM` thick."""
        surface = self.surface(grid)
        right = self.mediastinum.rightwards(grid) > 0
        core = np.zeros(grid.shape, np.bool_)
        for half in (right, ~right):
            parts, count = components((surface < -CORE_MM) & half)
            if count:
                core |= parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
        away = distance_transform_edt(~core[:, :, 0], sampling=grid.spacing)[:, :, None].astype(np.float32)
        return np.asarray(np.maximum(surface, away - np.float32(TIP_MM)))

    def surface(self, grid: Grid) -> Field:
        """Distance to the region inside the rib cage and outside the mediastinum, with rounded edges, on any grid."""
        return grid.once("surface of the lungs", self._surface_on)

    def _surface_on(self, grid: Grid) -> Field:
        cavity = self.mediastinum.wall.outside(grid) + np.float32(1.0)
        surface: Field = -smooth_minimum(-cavity, self.mediastinum.region(grid), 5.0)
        return surface

    def _distance(self, side: str, grid: Grid) -> Field:
        """Distance to one lung."""
        beyond = -np.float32(SIDES[side]) * self.mediastinum.rightwards(grid)
        return np.asarray(np.maximum(self.distance(grid), beyond))

    def layers(self, levels: Levels, label: int) -> list[Layer]:
        """Parenchyma with its vessels; to be painted before `hilum_layers`."""
        return [Layer(self.solid(side), self._painter(side, levels), label) for side in SIDES]

    def hilum_layers(self, levels: Levels) -> list[Layer]:
        """Large vessels and lobar bronchi, on top of lungs and mediastinum."""
        vessels, bronchi = self.mediastinum.hilar_vessels, self.mediastinum.lobar_bronchi
        wall = within(resized(bronchi, 1.1), self.distance)
        blood = within(vessels, self.distance)
        return [
            Layer(blood, plain(levels["lung vessels"], 5.0)),
            Layer(wall, plain(-40.0, 5.0)),
            Layer(within(bronchi, self.distance), plain(-970.0, 4.0)),
        ]

    def tree(self, side: str, kind: str) -> Tubes:
        """The arteries or veins of one lung near the slice, in patient mm; their radii shrink from the hilum."""
        return self._trees[side, kind]

    @cached_property
    def _trees(self) -> dict[tuple[str, str], Tubes]:
        return {(side, kind): self._grown(side, kind) for side in SIDES for kind in TARGETS}

    def _grown(self, side: str, kind: str) -> Tubes:
        """A tree whose root lies at the hilum or, off its level, where the lobar vessels meet the slice."""
        rng, sign, level = stream(self.seed, f"{kind} {side}"), SIDES[side], self.patient.level_mm
        low = np.array([min(sign * 26, sign * 130), -94, level - SLAB_MM])
        high = np.array([max(sign * 26, sign * 130), 80, level + SLAB_MM])
        targets = low + rng.uniform(size=(TARGETS[kind], 3)) * (high - low)
        root = (sign * (50.0 if kind == "artery" else 44.0), *_root_at(level, kind))
        starts, ends, radii = grown_tree(rng, root, targets, LEAF_MM[kind], EXPONENT, DIRECTNESS)
        both = self.mediastinum.placement.back(np.concatenate([starts, ends]))
        return Tubes(both[: len(starts)], both[len(starts) :], radii)

    def _painter(self, side: str, levels: Levels) -> Painter:
        base, vessel = self._parenchyma(side), levels["lung vessels"]

        def paint(spot: Spot) -> Field:
            painted = base(spot)
            deep = np.clip(-spot.distance / np.float32(BARE_MM), 0, 1)
            for kind in TARGETS:
                share = thin_cover(self.tree(side, kind), spot.grid)
                painted += (np.float32(vessel) - painted) * share * deep
            return painted

        return paint

    def _parenchyma(self, side: str) -> Painter:
        """Denser at the back, mottled, with a fissure and with less air below the hind pleura."""
        base = plain(self.patient.lung_hu, 15.0)
        rng = stream(self.seed, f"parenchyma {side}")
        tilt, at = float(rng.uniform(0.1, 0.5)), float(rng.normal(0, 6))
        slope, depend = float(rng.uniform(0.3, 0.9)), float(rng.uniform(0, 130))
        faint = float(rng.uniform(30, 130))

        def paint(spot: Spot) -> Field:
            x, y, _z = spot.grid.anatomical
            away = np.abs(x) - np.float32(40)
            middle = np.float32((self.patient.level_mm - 62) * 0.9 + at) - np.float32(tilt) * away
            fissure = y + np.float32(14) - middle - np.float32(1.5) * spot.textures.coarse
            line = np.float32(faint) * np.exp(-((fissure / np.float32(0.8 + 0.4 * spot.grid.spacing)) ** 2))
            hind = np.clip(-y / np.float32(60), 0, 1) * np.exp(np.minimum(spot.distance, 0) / np.float32(7))
            painted: Field = base(spot) + line - np.float32(slope) * y + np.float32(depend) * hind
            return painted

        return paint


def _root_at(level_mm: float, kind: str) -> tuple[float, float]:
    """Y and z of a tree's root for a slice at this level."""
    low = float(np.clip((70 - level_mm) / 70, 0, 1))
    y = -14 - 26 * low if kind == "artery" else -6 - 14 * low
    return y, float(np.clip(72.0, level_mm - SLAB_MM, level_mm + SLAB_MM))


def thin_cover(tubes: Tubes, grid: Grid) -> Field:
    """Share of each point's surroundings that lies in tubes, which may be thinner than the edge's ramp.

    The share of a slab of thickness 2 r at distance d from its surface is cover(d) - cover(d + 2 r); a tube across the
    slice is bounded in both directions of the plane, so that its share is squared.
    """
    width = ramp_mm(grid.spacing)
    distance, which = tubes.nearest(grid, width / 2)
    line = tubes.ends - tubes.starts
    upright = np.abs(line[:, 2]) / np.maximum(np.sqrt((line**2).sum(axis=1)), 1e-6)
    radius = tubes.radii.mean(axis=1).astype(np.float32)[which]
    share = cover(distance, width) - cover(distance + 2 * radius, width)
    shared: Field = np.power(share, 1 + upright.astype(np.float32)[which])
    return shared
