"""The soft-tissue tumor of a limb: where it lies, its body, and how it differs from muscle."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import numpy as np

from medsmith.phantoms.ct.lesion_bodies import Bumps, LesionBody, sample_star
from medsmith.phantoms.limb.anatomy import Limb
from medsmith.phantoms.shares import choose
from medsmith.phantoms.space import Field, Grid, Point, stream

LONGEST_MM = (50.0, 200.0)
WIDTH_SHARE = (0.4, 0.95)
"""The two other edges over the longest one."""
ALONG = 0.8
"""How often the longest edge runs along the limb."""
ROUNDISH, LOBULATED = Bumps((4, 8), (0.08, 0.3), (0.35, 0.7)), Bumps((8, 14), (0.2, 0.5), (0.25, 0.45))
LOBULATED_SHARE = 0.5
SHELL_MM = (1.0, 6.0)
"""Tissue that stays over a tumor that bulges."""
ENCAPSULATED, CAPSULE_MM = 0.3, (0.3, 1.5)
"""How often fat surrounds a tumor, and its thickness."""
BULGE_MM = 8.0
"""Over which the skin passes into a bulge."""
DEPTHS: Mapping[str, float] = MappingProxyType({"deep": 0.7, "superficial": 0.3})
"""Below the fascia, between muscles, or above it in the fat."""
KINDS: Mapping[str, float] = MappingProxyType({"like muscle": 0.75, "with fat": 0.13, "with blood": 0.12})
GRAIN_MM = (6.0, 20.0)


@final
@dataclass(frozen=True, eq=False)
class Tumor:
    """One tumor.

    Attributes:
        body: its surface, without the bones that it grows around.
        edges_mm: of its box.
        depth: key of ``DEPTHS``.
        kind: of its tissue, key of ``KINDS``.
        lobulated: or smooth.
        shell: thickness of the tissue over it, mm.
        capsule: thickness of the fat around it, mm.
        grain: size of the blobs of its texture, mm.
    """

    body: LesionBody
    edges_mm: Point
    depth: str
    kind: str
    lobulated: bool
    shell: float
    capsule: float
    grain: float

    def distance(self, grid: Grid, limb: Limb) -> Field:
        """Distance to its surface, mm, a millimeter away from the bones, which it grows around."""
        found = self.body.distance(grid)
        for bone in limb.bones:
            found = np.maximum(found, np.float32(1) - limb.rod(grid, bone))
        return np.asarray(found, np.float32)


def sample_edges(seed: int) -> Point:
    """Edges of the tumor's box in mm along x, y, z."""
    rng = stream(seed, "tumor size")
    low, high = np.log(LONGEST_MM)
    longest = float(np.exp(rng.uniform(low, high)))
    edges = longest * np.array([rng.uniform(*WIDTH_SHARE), rng.uniform(*WIDTH_SHARE), 1.0])
    return edges if rng.random() < ALONG else np.asarray(edges[[2, 0, 1]])


def sample_tumor(seed: int, limb: Limb, edges: Point) -> Tumor:
    """The tumor of a seed, at the side of the limb that bones leave free.

    Args:
        seed: of the case.
        limb: it lies in.
        edges: of its box, mm.
    """
    rng = stream(seed, "tumor")
    depth = choose(DEPTHS, rng)
    lobulated = bool(rng.random() < LOBULATED_SHARE)
    bone = limb.bones[0]
    turn = np.arctan2(-bone.y, -bone.x) + rng.uniform(-1.2, 1.2)
    half = float(edges[:2].mean()) / 2
    muscle = limb.radius - limb.fat
    away = muscle - 0.9 * half + limb.fat * rng.uniform(-0.2, 0.1) if depth == "deep" else muscle + 0.6 * half
    away = max(float(away), 0.25 * half)
    center = np.array([away * np.cos(turn), away * np.sin(turn), rng.uniform(-10, 10)])
    center[:2] += np.array(limb.lean) * center[2]
    body = sample_star(rng, (LOBULATED if lobulated else ROUNDISH,)).placed(center, edges)
    return Tumor(
        body=body,
        edges_mm=edges,
        depth=depth,
        kind=choose(KINDS, rng),
        lobulated=lobulated,
        shell=float(rng.uniform(*SHELL_MM)),
        capsule=float(rng.uniform(*CAPSULE_MM)) if rng.random() < ENCAPSULATED else 0.0,
        grain=float(np.clip(edges.mean() / 5, *GRAIN_MM)),
    )


def bulging(surface: Field, tumor: Field, shell_mm: float) -> Field:
    """A surface that the tumor pushes outwards: the smooth union with the tumor and a shell over it.

    Args:
        surface: distance to it, mm.
        tumor: distance to the tumor, mm.
        shell_mm: thickness of the shell.
    """
    over = tumor - np.float32(shell_mm)
    nearer, farther = np.minimum(surface, over), np.maximum(surface, over)
    gap = np.minimum((farther - nearer) / np.float32(BULGE_MM), np.float32(30))
    return np.asarray(nearer - np.float32(BULGE_MM) * np.log1p(np.exp(-gap)), np.float32)
