"""Pulmonary nodules: solid, part-solid and ground-glass; round, lobulated and spiculated."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float64
from scipy.ndimage import distance_transform_edt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from medsmith.phantoms.canvas import Canvas, blend, ramp_mm
from medsmith.phantoms.chest.anatomy import Anatomy
from medsmith.phantoms.chest.lungs import SIDES, Lungs
from medsmith.phantoms.chest.nodule_kinds import (
    CONTRAST_HU,
    CORE_HU,
    CORE_SHARE,
    COUNT_SHARES,
    DENSITY_HU,
    DENSITY_SHARES,
    DIAMETER_LIMITS_MM,
    DIAMETER_MM,
    MARGIN_MM,
    PLACE_SHARES,
    SHAPES,
)
from medsmith.phantoms.outline import Form, Outline, sample_outline
from medsmith.phantoms.shares import choose
from medsmith.phantoms.space import Field, Grid, Point, cover, stream
from medsmith.phantoms.tissue import smooth_noise

Depths = Float64[np.ndarray, "x y"]
Place = Float64[np.ndarray, "2"]
Places = Float64[np.ndarray, "_ 2"]

TRIES = 400
"""Places that are tried for a nodule."""
FINE_MM = (0.15, 0.5)
"""Least and greatest sample distance at which a nodule is measured: a fiftieth of its radius."""
SEARCH_MM = (3.0, 360.0)
"""Sample distance of the grid on which places are searched, and its edge."""
GAP_MM = 2.0
"""Least distance between two nodules."""


@final
@dataclass(frozen=True, eq=False)
class Nodule:
    """One nodule.

    Attributes:
        shape: a key of `SHAPES`.
        density: a key of `DENSITY_HU`.
        place: a key of `PLACE_SHARES`.
        side: of the lung.
        outline: its edge, patient mm; the lung's surface cuts off what lies beyond it.
        level_mm: patient z.
        hu: mean density, of a part-solid nodule outside its core.
        core_hu: density of the core.
        core: diameter of the core relative to the nodule, 0 for none.
        core_off_mm: its position from the center of the nodule.
        margin_mm: width of its edge.
        texture_hu: standard deviation of its texture.
        lungs: that it lies in.
        seed: of its texture.
        measured: true measures, by name.
    """

    shape: str
    density: str
    place: str
    side: str
    outline: Outline
    level_mm: float
    hu: float
    core_hu: float
    core: float
    core_off_mm: tuple[float, float]
    margin_mm: float
    texture_hu: float
    lungs: Lungs
    seed: np.random.SeedSequence
    measured: Mapping[str, float]

    @property
    def reach_mm(self) -> float:
        """Largest radius."""
        return float(self.outline.radii.max())

    def distance(self, grid: Grid) -> Field:
        """Distance to the nodule's surface, within the lung."""
        x, y = grid.axes[0][:, None, None], grid.axes[1][None, :, None]
        own = self.outline.distance(x, y).astype(np.float32)
        return np.asarray(np.maximum(own, self.lungs.surface(grid)))

    def paint(self, canvas: Canvas, grid: Grid, label: int) -> None:
        """Renders it into a canvas, in place; its label covers the inside of its surface."""
        center = np.array([*self.outline.center, self.level_mm])
        reach = self.reach_mm + self.margin_mm + 2 * grid.spacing
        part = grid.part(center - reach, center + reach)
        if part is None:
            return
        own = grid.crop(part)
        distance = self.distance(own)
        width = float(np.hypot(ramp_mm(grid.spacing), self.margin_mm))
        lung = self.lungs.surface(own)
        share = cover(distance, width) * (lung < ramp_mm(grid.spacing))
        blend(canvas.image[part], self._density(own, center), np.asarray(share, np.float32))
        np.copyto(canvas.labels[part], label, where=distance <= 0)

    def _density(self, grid: Grid, center: Point) -> Field:
        rng = np.random.Generator(np.random.PCG64(self.seed))
        edge = 2 * self.reach_mm + 24
        grain = max(1.5, self.reach_mm / 4)
        texture = smooth_noise(rng, grid, center - edge / 2, (grain, grain), edge)
        hu = np.float32(self.hu) + np.float32(self.texture_hu) * texture
        if self.core:
            x, y = self.outline.center
            inner = Outline(self.outline.radii * self.core, (x + self.core_off_mm[0], y + self.core_off_mm[1]))
            across, up = grid.axes[0][:, None, None], grid.axes[1][None, :, None]
            share = cover(inner.distance(across, up).astype(np.float32), float(np.hypot(ramp_mm(grid.spacing), 1.5)))
            hu = hu + (np.float32(self.core_hu) - hu) * share
        return np.asarray(hu, np.float32)

    def words(self) -> dict[str, Any]:
        """The nodule in words and numbers, JSON."""
        x, y = self.outline.center
        return {
            "label": "nodule",
            "shape": self.shape,
            "density": self.density,
            "place": self.place,
            "lung": self.side,
            "center_mm": [round(x, 3), round(y, 3)],
            "mean_hu": round(self.hu, 2),
            "margin_width_mm": round(self.margin_mm, 3),
            **({"core_hu": round(self.core_hu, 2), "core_share": round(self.core, 3)} if self.core else {}),
            **{name: round(value, 3) for name, value in self.measured.items()},
        }


def sample_nodules(anatomy: Anatomy, seed: int) -> tuple[Nodule, ...]:
    """The nodules of one case; fewer than drawn where the lungs leave no place."""
    rng = stream(seed, "nodules")
    count = int(np.searchsorted(np.cumsum(COUNT_SHARES)[:-1], rng.uniform(), "right"))
    nodules: list[Nodule] = []
    depths = {side: _depths(anatomy, side) for side in SIDES} if count else {}
    for index in range(count):
        own = stream(seed, f"nodule {index}")
        drawn = _drawn(anatomy, own, np.random.SeedSequence([seed, index]))
        for place in (drawn.place, "parenchyma", "pleura"):
            placed = _placed(replace(drawn, place=place), depths[drawn.side], nodules, own)
            if placed is not None:
                nodules.append(replace(placed, measured=_measured(placed, anatomy)))
                break
    return tuple(nodules)


def _drawn(anatomy: Anatomy, rng: np.random.Generator, seed: np.random.SeedSequence) -> Nodule:
    """A nodule about the origin."""
    median, spread = DIAMETER_MM
    diameter = float(np.clip(median * np.exp(spread * rng.standard_normal()), *DIAMETER_LIMITS_MM))
    density = choose(DENSITY_SHARES, rng)
    name = choose({key: row.share for key, row in SHAPES.items()}, rng)
    shape = SHAPES[name]
    form = Form(
        diameter_mm=diameter,
        ratio=float(rng.uniform(*shape.ratio)),
        tilt_degrees=float(rng.uniform(0, 180)),
        waves=shape.waves,
        rough=float(rng.uniform(*shape.rough)),
        spicules=int(rng.integers(*shape.spicules, endpoint=True)),
        reach=shape.reach,
    )
    core = float(rng.uniform(*CORE_SHARE)) if density == "part-solid" else 0.0
    off, turn = float(rng.uniform(0.2, 0.8)) * (1 - core) * diameter / 2, float(rng.uniform(0, 2 * np.pi))
    uptake = float(rng.uniform(*CONTRAST_HU)) if density == "solid" and anatomy.patient.phase != "plain" else 0.0
    return Nodule(
        shape=name,
        density=density,
        place=choose(PLACE_SHARES, rng),
        side=str(rng.choice(list(SIDES))),
        outline=sample_outline(form, rng),
        level_mm=anatomy.patient.level_mm,
        hu=float(rng.uniform(*DENSITY_HU[density])) + uptake,
        core_hu=float(rng.uniform(*CORE_HU)),
        core=core,
        core_off_mm=(float(off * np.cos(turn)), float(off * np.sin(turn))),
        margin_mm=min(float(rng.uniform(*MARGIN_MM[density])), diameter / 3),
        texture_hu=float(rng.uniform(4, 14) if density == "solid" else rng.uniform(20, 50)),
        lungs=anatomy.lungs,
        seed=seed,
        measured={},
    )


def _depths(anatomy: Anatomy, side: str) -> Depths:
    """Depth below the surface of one lung on a coarse grid, in mm."""
    spacing, edge = SEARCH_MM
    count = round(edge / spacing)
    low = np.array([-edge / 2, -edge / 2, anatomy.patient.level_mm - spacing / 2])
    grid = Grid.over(anatomy.pose, low, (count, count, 1), spacing)
    inside = anatomy.lungs.solid(side).distance(grid)[:, :, 0] <= 0
    depths: Depths = distance_transform_edt(inside, sampling=spacing) - spacing / 2
    return depths


def _placed(nodule: Nodule, depths: Depths, others: list[Nodule], rng: np.random.Generator) -> Nodule | None:
    """The nodule at a random position of its kind, or None if none was found."""
    low, high = -SEARCH_MM[1] / 2, SEARCH_MM[1] / 2
    places = rng.uniform(low, high, (TRIES, 2))
    if nodule.place == "vessel":
        places = _beside_vessels(nodule, rng)
    at = np.clip((places - low) / SEARCH_MM[0], 0, depths.shape[0] - 1).astype(int)
    for place, depth in zip(places, depths[at[:, 0], at[:, 1]], strict=True):
        if _fits(nodule, place, float(depth), others):
            return replace(nodule, outline=Outline(nodule.outline.radii, (float(place[0]), float(place[1]))))
    return None


def _fits(nodule: Nodule, place: Place, depth_mm: float, others: list[Nodule]) -> bool:
    """Whether a nodule can lie at this depth below the lung's surface, clear of the others."""
    mean = float(np.sqrt((nodule.outline.radii**2).mean()))
    low, high = (0.6 * mean, 0.95 * mean) if nodule.place == "pleura" else (nodule.reach_mm + 2.0, np.inf)
    if not low <= depth_mm <= high:
        return False
    return all(
        np.hypot(place[0] - other.outline.center[0], place[1] - other.outline.center[1])
        > nodule.reach_mm + other.reach_mm + GAP_MM
        for other in others
    )


def _beside_vessels(nodule: Nodule, rng: np.random.Generator) -> Places:
    """Positions at which the nodule's edge meets a vessel of the slice."""
    tubes = nodule.lungs.tree(nodule.side, "artery")
    z = (tubes.starts[:, 2] - nodule.level_mm, tubes.ends[:, 2] - nodule.level_mm)
    crossing = np.flatnonzero((z[0] * z[1] < 0) & (tubes.radii.mean(axis=1) > 0.8))
    chosen = rng.permutation(crossing)[:TRIES]
    share = (z[0] / (z[0] - z[1]))[chosen, None]
    at = (tubes.starts[chosen] + share * (tubes.ends[chosen] - tubes.starts[chosen]))[:, :2]
    turn = rng.uniform(0, 2 * np.pi, len(chosen))
    radius = float(np.median(nodule.outline.radii))
    return np.asarray(at + radius * np.column_stack([np.cos(turn), np.sin(turn)]))


def _measured(nodule: Nodule, anatomy: Anatomy) -> dict[str, float]:
    """Area and diameters of the nodule in the lung, on a fine grid of its own."""
    center = np.array([*nodule.outline.center, nodule.level_mm])
    fine = float(np.clip(nodule.reach_mm / 50, *FINE_MM))
    count = int(np.ceil(2 * (nodule.reach_mm + 1) / fine))
    low = center - np.array([count * fine / 2, count * fine / 2, fine / 2])
    grid = Grid.over(anatomy.pose, low, (count, count, 1), fine)
    inside = nodule.distance(grid)[:, :, 0] <= 0
    longest, shortest = _diameters(inside, fine)
    area = float(inside.sum()) * fine**2
    return {
        "area_mm2": area,
        "equivalent_diameter_mm": float(np.sqrt(4 * area / np.pi)),
        "longest_diameter_mm": longest,
        "perpendicular_diameter_mm": shortest,
    }


def _diameters(inside: Bool[np.ndarray, "x y"], fine: float) -> tuple[float, float]:
    """Largest distance between two points in mm, and the extent across it."""
    points = np.argwhere(inside) * fine
    hull = points[ConvexHull(points).vertices]
    gaps = pdist(hull)
    first, second = np.triu_indices(len(hull), 1)
    longest = int(np.argmax(gaps))
    line = (hull[second[longest]] - hull[first[longest]]) / gaps[longest]
    across = hull @ np.array([-line[1], line[0]])
    return float(gaps[longest]) + fine, float(np.ptp(across)) + fine
