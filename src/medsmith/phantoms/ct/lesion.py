"""One lesion of the CT phantoms: its report, body, place and density, and the numbers measured on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from medsmith.phantoms.canvas import Canvas, ramp_mm
from medsmith.phantoms.ct.anatomy import LABELS, Anatomy
from medsmith.phantoms.ct.density import Density, sample_density
from medsmith.phantoms.ct.lesion_bodies import (
    LOBULATED,
    SMOOTH,
    SPICULES,
    Bumps,
    LesionBody,
    Star,
    Swelling,
    clipped,
    sample_star,
    thickened,
)
from medsmith.phantoms.ct.organs import Organ
from medsmith.phantoms.ct.place import CLOSE_MM, OrganSurroundings, place_in_lumen, place_on_wall, place_star, survey
from medsmith.phantoms.ct.truth import (
    LesionSurroundings,
    MeasuredBody,
    density_numbers,
    margin_on,
    measure_body,
    share_of,
    surroundings_of,
)
from medsmith.phantoms.space import WINDOW_MM, Grid, Point, stream
from medsmith.reports.organs import PROTRUDING_SHARE
from medsmith.reports.sampling import sample_report
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import Cavity, Relationship

LARGEST_MM, SMALLEST_MM = 76.0, 3.0
"""Limits of the edges. A larger requested size is scaled down in proportion; smaller edges are raised to the limit."""
JITTER_MM = 22.0
"""Largest shift of the window against the lesion along each axis."""
ROOM_MM = 6.0
"""Distance kept between the lesion and the faces of the window, where the window is large enough."""
PLAQUE = 0.4
"""Largest ratio of thickness to length of a thickened wall."""
COMPARED_WITH: Mapping[str, tuple[str, ...]] = {
    "kidney_left": ("kidney cortex", "kidney medulla"),
    "kidney_right": ("kidney cortex", "kidney medulla"),
    "lung_left": ("lung",),
    "lung_right": ("lung",),
    "gallbladder": ("gallbladder wall",),
    "stomach": ("stomach wall",),
    "colon": ("bowel wall",),
    "esophagus": ("esophagus wall",),
    "urinary_bladder": ("bladder wall",),
    "brain": ("gray matter", "white matter", "white matter"),
}
"""Organ -> tissues whose mean HU a lesion's density is compared with; an organ that is not listed is one tissue."""


@final
@dataclass(frozen=True, eq=False)
class PhantomLesion:
    """One lesion, which can be rendered at any resolution.

    Attributes:
        report: its words, and the numbers measured on it.
        body: its body.
        density: its HU.
        organ: that has it.
        shift_hu: added to `Density.painted`, so that the mean is right.
    """

    report: LesionReport
    body: LesionBody
    density: Density
    organ: Organ
    shift_hu: float

    def paint(self, canvas: Canvas, grid: Grid) -> None:
        """Renders the lesion over the anatomy, in place."""
        reach = self.body.reach + 2 * self.density.margin_mm + 2 * grid.spacing + 2
        part = grid.part(self.body.center - reach, self.body.center + reach)
        if part is None:
            return
        own = grid.crop(part)
        distance = self.body.distance(own)
        # The margin and the voxel's own edge add as variances do.
        margin = margin_on(own, self.organ, self.density.margin_mm)
        share = share_of(distance, np.hypot(margin, np.float32(0.66 * ramp_mm(grid.spacing))))
        painted = self.density.painted(own, distance) + np.float32(self.shift_hu)
        canvas.image[part] += share * (painted - canvas.image[part])
        # A lesion smaller than a voxel still gets one labeled voxel.
        np.copyto(canvas.labels[part], LABELS["lesion"], where=distance <= max(0.0, float(distance.min())))


def requested_report(lesion_type: str, organ: str, seed: int) -> LesionReport:
    """The report that a lesion is generated from, sampled from the rules of its type."""
    return sample_report(lesion_type, stream(seed, "report"), {"organ": organ})


def window(body: LesionBody, seed: int) -> Point:
    """Lower corner in patient mm of the rendered cube, which holds the lesion at a random offset from its center."""
    room = np.clip(WINDOW_MM / 2 - body.reach - ROOM_MM, 0, JITTER_MM)
    shift = stream(seed, "window").uniform(-1, 1, 3) * room
    return np.asarray(np.round(body.center + shift - WINDOW_MM / 2, 2))


def sample_lesion(anatomy: Anatomy, report: LesionReport, seed: int) -> PhantomLesion:
    """A lesion that follows a report; its own report states what was measured on it.

    Args:
        anatomy: of the case.
        report: sampled from the rules; its organ is one of the anatomy's.
        seed: of the case.
    """
    rng = stream(seed, "lesion")
    name = report.organ or ""
    organ = anatomy.organs[name]
    surroundings = survey(anatomy, organ, LABELS[name], rng)
    measured = measure_body(anatomy, _sample_body(report, surroundings, rng))
    nearby = surroundings_of(anatomy, measured.body, name, window(measured.body, seed), stream(seed, "textures"))
    level = organ_hu(anatomy, name)
    density = sample_density(
        report,
        measured.body,
        -measured.distance[measured.distance <= 0],
        measured.diameter_mm,
        level,
        rng,
        np.random.SeedSequence([seed, 7]),
    )
    painted = density.painted(measured.grid, measured.distance)
    shift = density.mean_hu - float(painted[measured.distance <= 0].mean())
    hu = density_numbers(measured, nearby, painted + np.float32(shift), organ, density.margin_mm, level)
    return PhantomLesion(
        _true_report(report, measured, nearby, {**measured.shape_numbers(), **hu}), measured.body, density, organ, shift
    )


def organ_hu(anatomy: Anatomy, organ: str) -> float:
    """Mean HU of what a lesion of this organ is compared with: its parenchyma, or its wall."""
    return float(np.mean([anatomy.levels[name] for name in COMPARED_WITH.get(organ, (organ,))]))


def _true_report(
    report: LesionReport, measured: MeasuredBody, nearby: LesionSurroundings, numbers: Mapping[str, float]
) -> LesionReport:
    """The requested report with the measured values in place of the requested ones."""
    gap, outside = nearby.gap_mm(measured.mesh.vertices), nearby.outside_share
    relationship: Relationship = "no close relationship with surrounding organs"
    if gap < CLOSE_MM:
        relationship = "close relationship with adjacent organs"
    cavity = report.cavity
    if cavity in ("within the parenchymal organ", "protruding from the parenchymal organ"):
        cavity = _place_word(outside)
    all_numbers = {**numbers, "share_outside": outside, "neighbour_distance_mm": gap}
    x, y, z = (round(float(edge), 1) for edge in measured.edges_mm)
    return report.model_copy(
        update={
            "size_mm": (x, y, z),
            "ct_value_hu": round(numbers["tissue_hu"], 1),
            "relationship": relationship,
            "cavity": cavity,
            "measured": {name: round(float(value), 3) for name, value in all_numbers.items()},
        }
    )


def _place_word(outside: float) -> Cavity:
    if outside < PROTRUDING_SHARE:
        return "within the parenchymal organ"
    return "protruding from the parenchymal organ"


def _sample_body(report: LesionReport, surroundings: OrganSurroundings, rng: np.random.Generator) -> LesionBody:
    """A body of the shape, size and place that the report requests."""
    size = np.array(report.size_mm)
    edges: Point = np.maximum(size * min(1.0, LARGEST_MM / float(size.max())), SMALLEST_MM)
    star = sample_star(rng, _bumps(report))
    if report.cavity == "within the lumen of a hollow organ":
        return star.placed(*place_in_lumen(surroundings, edges, rng, touching=False))
    if "protrusion into the lumen" in report.shape:
        return clipped(star.placed(*place_in_lumen(surroundings, edges, rng, touching=True)), surroundings.organ)
    if report.cavity == "wall thickening" and {"wall thickening", "luminal narrowing"} & set(report.shape):
        return _swollen(report, surroundings, star, float(edges.max()), rng)
    protruding = report.cavity in ("protruding from the parenchymal organ", "wall thickening")
    close = report.relationship == "close relationship with adjacent organs"
    return star.placed(*place_star(surroundings, star, edges, protruding, close, rng))


def _bumps(report: LesionReport) -> tuple[Bumps, ...]:
    kinds = [LOBULATED if "irregular" in report.shape else SMOOTH]
    if "spiculated margins" in report.features:
        kinds.append(SPICULES)
    return tuple(kinds)


def _swollen(
    report: LesionReport, surroundings: OrganSurroundings, star: Star, longest: float, rng: np.random.Generator
) -> LesionBody:
    """A thickened wall whose longest edge is the requested one; the length is corrected twice."""
    center, wall = place_on_wall(surroundings, rng), surroundings.organ.wall_mm
    ring = "luminal narrowing" in report.shape
    lumen = -float(surroundings.distance.min()) - wall
    rough = 0.55 if "irregular" in report.shape else 0.12
    outwards = float(rng.uniform(2.5, 4) if report.surface == "serosal surface irregularity" else rng.uniform(0.4, 1.2))
    inwards = lumen * float(rng.uniform(0.62, 0.85)) if ring else float(rng.uniform(4, 10))
    if ring and surroundings.organ.course is not None:
        gaps = np.sum((surroundings.organ.course - center) ** 2, axis=1)
        center = surroundings.organ.course[int(np.argmin(gaps))]
    least = (wall + outwards + 2) / PLAQUE
    longest = longest if ring else max(longest, least)
    thick = inwards if ring else min(inwards, PLAQUE * longest - wall - outwards)
    length = longest
    for _ in range(3):
        swelling = Swelling(length, min(thick, 0.9 * lumen), outwards, rough, ring, lumen + wall)
        body = thickened(surroundings.organ, center, surroundings.axis, swelling, star)
        length *= float(np.clip(longest / _longest(body, surroundings.grid), 0.6, 1.6))
    return body


def _longest(body: LesionBody, grid: Grid) -> float:
    """Longest edge of a body's bounding box on a coarse grid, to about half a voxel."""
    part = grid.part(body.center - body.reach, body.center + body.reach)
    found = np.argwhere(body.distance(grid.crop(part)) <= 0) if part else np.zeros((0, 3))
    return float(np.ptp(found, axis=0).max() + 1) * grid.spacing if len(found) else 1.0
