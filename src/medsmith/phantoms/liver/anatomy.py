"""One liver: its shape, veins and tumors, and the body around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import final

from medsmith.phantoms.canvas import Layer
from medsmith.phantoms.ct.trunk import Trunk, sample_trunk
from medsmith.phantoms.liver.body import body_layers
from medsmith.phantoms.liver.courses import HEPATIC, PORTAL, Course, section_at
from medsmith.phantoms.liver.organ import (
    LiverShape,
    Probe,
    cava,
    liver,
    probe,
    sample_corner,
    sample_liver_warp,
    sample_shape,
)
from medsmith.phantoms.liver.signal import sample_levels
from medsmith.phantoms.liver.tumors import Tumor, sample_tumors
from medsmith.phantoms.liver.veins import (
    APART_MM,
    LEAF_MM,
    NO_OBSTACLES,
    SIDE_MM,
    Tree,
    course_controls,
    fixed_parts,
    grow,
    large_veins,
    spread_targets,
)
from medsmith.phantoms.solids import Solid, shared
from medsmith.phantoms.space import Point, Points, Warp, stream
from medsmith.phantoms.tissue import Levels

COURSES: Mapping[str, Mapping[str, Course]] = MappingProxyType({"hepatic": HEPATIC, "portal": PORTAL})
TARGETS = {"hepatic": (110, 160), "portal": (150, 220)}
"""Fewest and most points that side branches grow towards."""
TARGET_GAP_MM = {"hepatic": 11.0, "portal": 10.0}
BESIDE_MM = 4.6
"""Largest radius of a portal branch that may come near a hepatic vein."""
LARGE_GAP_MM, SIDE_GAP_MM = 5.0, 3.5
"""Distance of the axes of large veins and of side branches from tumors."""


@final
@dataclass(frozen=True, eq=False)
class LiverAnatomy:
    """Everything that a seed decides.

    Attributes:
        seed: of the case.
        warp: patient to anatomical space.
        trunk: proportions of the body.
        corner: lower corner of the field of view, patient mm.
        shape: proportions of the liver.
        levels: signal of the tissues.
        liver: its outer surface.
        trees: "portal" and "hepatic".
        tumors: in the order in which they were placed.
    """

    seed: int
    warp: Warp
    trunk: Trunk
    corner: Point
    shape: LiverShape
    levels: Levels
    liver: Solid
    trees: dict[str, Tree]
    tumors: tuple[Tumor, ...]

    @cached_property
    def layers(self) -> list[Layer]:
        """The body around the liver."""
        return body_layers(self.warp, self.trunk, self.levels, self.seed, self.liver)

    def sections(self) -> list[str]:
        """The section of the liver that each tumor lies in."""
        found = []
        for tumor in self.tumors:
            x, y, z = tumor.body.center[:, None]
            across, along = self.warp.on((x, y, z))[:2, 0, 0, 0].tolist()
            found.append(section_at(across, along))
        return found

    @cached_property
    def cava(self) -> Solid:
        """The vena cava, where hepatic veins end."""
        return cava(self.warp)


def sample_anatomy(seed: int) -> LiverAnatomy:
    """The anatomy of one case."""
    warp, trunk, corner = sample_liver_warp(seed), sample_trunk(seed), sample_corner(seed)
    shape = sample_shape(stream(seed, "liver shape"))
    solid = shared(liver(warp, trunk, shape, seed), "liver")
    inside = probe(warp, solid, corner)
    controls = {
        kind: course_controls(courses, warp, stream(seed, f"{kind} courses"), inside)
        for kind, courses in COURSES.items()
    }
    fixed = [fixed_parts(courses, controls[kind]) for kind, courses in COURSES.items()]
    tumors = sample_tumors(stream(seed, "tumors"), inside, fixed[0].joined(fixed[1]))
    trees = _grown(seed, controls, inside, tumors)
    levels = sample_levels(stream(seed, "levels"))
    return LiverAnatomy(seed, warp, trunk, corner, shape, levels, solid, trees, tumors)


def _grown(
    seed: int, controls: Mapping[str, Mapping[str, Points]], inside: Probe, tumors: tuple[Tumor, ...]
) -> dict[str, Tree]:
    """Large veins around the tumors, then side branches: of the hepatic veins, and of the portal vein between them."""
    rng = stream(seed, "side branches")
    around, near = NO_OBSTACLES, NO_OBSTACLES
    for tumor in tumors:
        near = near.joined(tumor.balls(LARGE_GAP_MM))
        around = around.joined(tumor.balls(SIDE_GAP_MM))
    hepatic = large_veins(HEPATIC, controls["hepatic"], inside, near, NO_OBSTACLES)
    portal = large_veins(PORTAL, controls["portal"], inside, near, hepatic.obstacles(APART_MM + BESIDE_MM))
    trees: dict[str, Tree] = {}
    other = portal.obstacles(SIDE_MM + APART_MM)
    for kind, growth in (("hepatic", hepatic), ("portal", portal)):
        count = int(rng.integers(*TARGETS[kind], endpoint=True))
        targets = spread_targets(rng, inside, count, TARGET_GAP_MM[kind])
        grow(growth, targets, inside, around.joined(other), rng)
        trees[kind] = growth.finished(LEAF_MM[kind])
        other = trees[kind].obstacles(SIDE_MM + APART_MM)
    return trees
