"""Hepatocellular carcinomas: hypointense bodies inside the liver, away from large veins or in contact with one."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import numpy as np

from medsmith.phantoms.ct.lesion_bodies import SMOOTH, Bumps, LesionBody, sample_star
from medsmith.phantoms.liver.organ import Probe
from medsmith.phantoms.liver.veins import Obstacles
from medsmith.phantoms.shares import Shares, choose
from medsmith.phantoms.space import Field, Point, cover
from medsmith.phantoms.tissue import Textures

COUNT_SHARES = (0.16, 0.36, 0.24, 0.15, 0.09)
"""Share of cases with 0, 1, 2, 3 and 4 tumors."""
DIAMETER_MM = (27.0, 0.5)
"""Median, and standard deviation of the logarithm."""
DIAMETER_LIMITS_MM = (8.0, 75.0)
SHAPES: Shares = MappingProxyType({"round": 0.5, "lobulated": 0.5})
STRUCTURES: Shares = MappingProxyType({"homogeneous": 0.45, "capsule": 0.30, "necrosis": 0.25})
"""Inner structure: even; a darker rim around a brighter core; a darker center."""
CONTACT_SHARE = 0.25
"""Share of tumors that veins may touch."""
CONTACT_MM = 4.0
"""Depth to which the axes of veins come nearer to these."""
SIGNAL_SHARE = (0.34, 0.80)
"""Signal over that of the liver."""
DEPTH = 0.72
"""Depth of the center below the liver's surface over the radius: below 1, a tumor reaches the surface."""
_BUMPS: Mapping[str, tuple[Bumps, ...]] = MappingProxyType(
    {"round": (SMOOTH,), "lobulated": (SMOOTH, Bumps((4, 8), (0.14, 0.34), (0.35, 0.6)))}
)
TRIES = 400


@final
@dataclass(frozen=True, eq=False)
class Tumor:
    """One tumor.

    Attributes:
        body: its surface, before it is cut off at the surface of the liver.
        diameter_mm: mean of the edges of its bounding box.
        shape: of `SHAPES`.
        structure: of `STRUCTURES`.
        touches: whether large veins that it displaces lie against it; else they keep a distance.
        signal_share: its signal over that of the liver.
    """

    body: LesionBody
    diameter_mm: float
    shape: str
    structure: str
    touches: bool
    signal_share: float

    def signal(self, distance: Field, textures: Textures, liver: float) -> Field:
        """Its noise-free signal at a distance from its surface."""
        level = np.full(distance.shape, self.signal_share, np.float32)
        radius = np.float32(self.diameter_mm / 2)
        if self.structure == "capsule":
            inner = cover(distance + np.float32(min(3.0, self.diameter_mm / 8)), 2.5)
            level *= np.float32(0.90) + np.float32(0.32) * inner
        if self.structure == "necrosis":
            depth = distance / radius + np.float32(0.55) + np.float32(0.12) * textures.coarse
            level *= 1 - np.float32(0.30) * cover(depth, 0.3)
        level += level * (np.float32(0.05) * textures.fine + np.float32(0.07) * textures.coarse)
        return np.asarray(level * np.float32(liver), np.float32)

    def words(self) -> Mapping[str, Any]:
        """Its entry in the report, without what is measured on voxels."""
        return {
            "shape": self.shape,
            "structure": self.structure,
            "center_mm": [round(float(value), 2) for value in self.body.center],
            "diameter_mm": round(self.diameter_mm, 2),
            "signal_over_liver": round(self.signal_share, 3),
        }

    def balls(self, extra_mm: float) -> Obstacles:
        """A ball around it, larger by this much; smaller by what veins may touch."""
        contact = CONTACT_MM if self.touches else 0.0
        return Obstacles(self.body.center[None], np.array([float(self.body.reach.max()) + extra_mm - contact]))


def sample_tumors(rng: np.random.Generator, inside: Probe, veins: Obstacles) -> tuple[Tumor, ...]:
    """The tumors of one case; fewer than drawn where the liver has no room for them.

    Args:
        rng: generator.
        inside: distance to the liver's surface.
        veins: parts of the large veins that stay where they are.
    """
    count = int(np.searchsorted(np.cumsum(COUNT_SHARES)[:-1], rng.uniform(), "right"))
    taken = Obstacles(np.empty((0, 3)), np.empty(0))
    tumors: list[Tumor] = []
    for _ in range(count):
        tumor = _sample_tumor(rng, inside, veins, taken)
        if tumor is not None:
            tumors.append(tumor)
            taken = taken.joined(tumor.balls(0))
    return tuple(tumors)


def _sample_tumor(rng: np.random.Generator, inside: Probe, veins: Obstacles, taken: Obstacles) -> Tumor | None:
    """One tumor, shrunk until a place for it is found."""
    diameter = float(np.clip(DIAMETER_MM[0] * np.exp(DIAMETER_MM[1] * rng.standard_normal()), *DIAMETER_LIMITS_MM))
    touches = bool(rng.uniform() < CONTACT_SHARE)
    shape = choose(SHAPES, rng)
    edges = diameter * np.exp(np.clip(rng.standard_normal(3), -2, 2) * 0.08)
    star = sample_star(rng, _BUMPS[shape])
    structure = choose(STRUCTURES, rng) if diameter > 14 else "homogeneous"
    share = float(rng.uniform(*SIGNAL_SHARE))
    for scale in (1.0, 0.75, 0.55, 0.4):
        center = _place(rng, inside, (veins, taken), float(edges.max()) * scale / 2)
        if center is not None and diameter * scale >= DIAMETER_LIMITS_MM[0]:
            body = star.placed(center, edges * scale)
            return Tumor(body, float(edges.mean()) * scale, shape, structure, touches, share)
    return None


def _place(rng: np.random.Generator, inside: Probe, balls: tuple[Obstacles, Obstacles], radius: float) -> Point | None:
    """A center for a tumor of this radius; None if none was found."""
    veins, taken = balls
    keep_away = Obstacles(veins.centers, veins.radii + radius + 2).joined(
        Obstacles(taken.centers, taken.radii + radius + 12)
    )
    tries = inside.first + rng.uniform(size=(12 * TRIES, 3)) * (inside.last - inside.first)
    tries = tries[inside.at(tries) < -max(DEPTH * radius, 6.0)][:TRIES]
    for center in tries:
        if keep_away.free(center[None]).all():
            return np.asarray(center)
    return None
