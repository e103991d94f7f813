"""One lesion of the CT phantoms: report first, then form, place and density, then the numbers of what was drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from medsmith.phantoms.ct.anatomy import LABELS, Anatomy
from medsmith.phantoms.ct.canvas import Canvas, ramp_mm
from medsmith.phantoms.ct.density import Density, draw_density
from medsmith.phantoms.ct.forms import (
    LOBULATED,
    SMOOTH,
    SPICULES,
    Bumps,
    Form,
    Star,
    Swelling,
    clipped,
    draw_star,
    thickened,
)
from medsmith.phantoms.ct.organs import Organ
from medsmith.phantoms.ct.place import CLOSE_MM, Surroundings, place_in_lumen, place_on_wall, place_star, survey
from medsmith.phantoms.ct.space import WINDOW_MM, Grid, Point, stream
from medsmith.phantoms.ct.truth import Body, Context, context_of, density_numbers, margin_on, measured_body, share_of
from medsmith.reports.organs import PROTRUDING_SHARE
from medsmith.reports.sampling import sample_report
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import Cavity, Relationship

LARGEST_MM, SMALLEST_MM = 76.0, 3.0
"""Edges that are drawn; what a report asks beyond them is drawn smaller, in proportion, or larger."""
JITTER_MM = 22.0
"""Largest shift of the window against the lesion along each axis."""
ROOM_MM = 6.0
"""What of the window is kept around the lesion where there is room."""
PLAQUE = 0.4
"""Thickness over length that a thickened wall has at most."""
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
    "brain": ("grey matter", "white matter", "white matter"),
}
"""Organ -> tissues whose mean a lesion's density is compared with; other organs are their own tissue."""


@final
@dataclass(frozen=True, eq=False)
class Lesion:
    """One lesion, ready to be painted at any size.

    Attributes:
        report: its words, and the numbers of what is drawn.
        form: its body.
        density: its HU.
        organ: that has it.
        shift_hu: added to `Density.painted`, so that the mean is right.
    """

    report: LesionReport
    form: Form
    density: Density
    organ: Organ
    shift_hu: float

    def paint(self, canvas: Canvas, grid: Grid) -> None:
        """Puts the lesion over the anatomy."""
        reach = self.form.reach + 2 * self.density.margin_mm + 2 * grid.spacing + 2
        part = grid.part(self.form.centre - reach, self.form.centre + reach)
        if part is None:
            return
        own = grid.crop(part)
        distance = self.form.distance(own)
        # The margin and the voxel's own edge add as variances do.
        margin = margin_on(own, self.organ, self.density.margin_mm)
        share = share_of(distance, np.hypot(margin, np.float32(0.66 * ramp_mm(grid.spacing))))
        painted = self.density.painted(own, distance) + np.float32(self.shift_hu)
        canvas.image[part] += share * (painted - canvas.image[part])
        # A lesion smaller than a voxel still has one.
        np.copyto(canvas.labels[part], LABELS["lesion"], where=distance <= max(0.0, float(distance.min())))


def draw_report(lesion_type: str, organ: str, seed: int) -> LesionReport:
    """Words and numbers that a lesion is asked to have."""
    return sample_report(lesion_type, stream(seed, "report"), {"organ": organ})


def window(form: Form, seed: int) -> Point:
    """Lower corner in patient mm of the cube that is rendered: the lesion lies in it, seldom in the middle."""
    room = np.clip(WINDOW_MM / 2 - form.reach - ROOM_MM, 0, JITTER_MM)
    shift = stream(seed, "window").uniform(-1, 1, 3) * room
    return np.asarray(np.round(form.centre + shift - WINDOW_MM / 2, 2))


def draw_lesion(anatomy: Anatomy, report: LesionReport, seed: int) -> Lesion:
    """A lesion that obeys a report, and the report of what it came to be.

    Args:
        anatomy: of the case.
        report: drawn from the rules; its organ is one of the anatomy's.
        seed: of the case.
    """
    rng = stream(seed, "lesion")
    organ = report.organ or ""
    home = anatomy.organs[organ]
    around = survey(anatomy, home, LABELS[organ], rng)
    body = measured_body(anatomy, _draw_form(report, around, rng))
    context = context_of(anatomy, body.form, organ, window(body.form, seed), stream(seed, "textures"))
    level = organ_hu(anatomy, organ)
    density = draw_density(
        report,
        body.form,
        -body.distance[body.distance <= 0],
        body.diameter_mm,
        level,
        rng,
        np.random.SeedSequence([seed, 7]),
    )
    painted = density.painted(body.grid, body.distance)
    shift = density.mean_hu - float(painted[body.distance <= 0].mean())
    hu = density_numbers(body, context, painted + np.float32(shift), home, density.margin_mm, level)
    return Lesion(_true_report(report, body, context, {**body.shape_numbers(), **hu}), body.form, density, home, shift)


def organ_hu(anatomy: Anatomy, organ: str) -> float:
    """Mean HU of what a lesion of this organ is compared with: its parenchyma, or its wall."""
    return float(np.mean([anatomy.levels[name] for name in COMPARED_WITH.get(organ, (organ,))]))


def _true_report(report: LesionReport, body: Body, context: Context, numbers: Mapping[str, float]) -> LesionReport:
    """The report with what was drawn in place of what was asked for."""
    gap, outside = context.gap_mm(body.mesh.vertices), context.outside_share
    relationship: Relationship = "no close relationship with surrounding organs"
    if gap < CLOSE_MM:
        relationship = "close relationship with adjacent organs"
    cavity = report.cavity
    if cavity in ("within the parenchymal organ", "protruding from the parenchymal organ"):
        cavity = _place_word(outside)
    measured = {**numbers, "share_outside": outside, "neighbour_distance_mm": gap}
    x, y, z = (round(float(edge), 1) for edge in body.edges_mm)
    return report.model_copy(
        update={
            "size_mm": (x, y, z),
            "ct_value_hu": round(numbers["tissue_hu"], 1),
            "relationship": relationship,
            "cavity": cavity,
            "measured": {name: round(float(value), 3) for name, value in measured.items()},
        }
    )


def _place_word(outside: float) -> Cavity:
    if outside < PROTRUDING_SHARE:
        return "within the parenchymal organ"
    return "protruding from the parenchymal organ"


def _draw_form(report: LesionReport, around: Surroundings, rng: np.random.Generator) -> Form:
    """A body where the report says."""
    size = np.array(report.size_mm)
    edges: Point = np.maximum(size * min(1.0, LARGEST_MM / float(size.max())), SMALLEST_MM)
    star = draw_star(rng, _bumps(report))
    if report.cavity == "within the lumen of a hollow organ":
        return star.placed(*place_in_lumen(around, edges, rng, touching=False))
    if "protrusion into the lumen" in report.shape:
        return clipped(star.placed(*place_in_lumen(around, edges, rng, touching=True)), around.organ)
    if report.cavity == "wall thickening" and {"wall thickening", "luminal narrowing"} & set(report.shape):
        return _swollen(report, around, star, float(edges.max()), rng)
    protruding = report.cavity in ("protruding from the parenchymal organ", "wall thickening")
    close = report.relationship == "close relationship with adjacent organs"
    return star.placed(*place_star(around, star, edges, protruding, close, rng))


def _bumps(report: LesionReport) -> tuple[Bumps, ...]:
    kinds = [LOBULATED if "irregular" in report.shape else SMOOTH]
    if "spiculated margins" in report.features:
        kinds.append(SPICULES)
    return tuple(kinds)


def _swollen(report: LesionReport, around: Surroundings, star: Star, longest: float, rng: np.random.Generator) -> Form:
    """A thickened wall whose longest edge is as asked for: its length is corrected twice."""
    centre, wall = place_on_wall(around, rng), around.organ.wall_mm
    ring = "luminal narrowing" in report.shape
    lumen = -float(around.distance.min()) - wall
    rough = 0.55 if "irregular" in report.shape else 0.12
    outwards = float(rng.uniform(2.5, 4) if report.surface == "serosal surface irregularity" else rng.uniform(0.4, 1.2))
    inwards = lumen * float(rng.uniform(0.62, 0.85)) if ring else float(rng.uniform(4, 10))
    if ring and around.organ.course is not None:
        gaps = np.sum((around.organ.course - centre) ** 2, axis=1)
        centre = around.organ.course[int(np.argmin(gaps))]
    least = (wall + outwards + 2) / PLAQUE
    longest = longest if ring else max(longest, least)
    thick = inwards if ring else min(inwards, PLAQUE * longest - wall - outwards)
    length = longest
    for _ in range(3):
        swelling = Swelling(length, min(thick, 0.9 * lumen), outwards, rough, ring, lumen + wall)
        form = thickened(around.organ, centre, around.axis, swelling, star)
        length *= float(np.clip(longest / _longest(form, around.grid), 0.6, 1.6))
    return form


def _longest(form: Form, grid: Grid) -> float:
    """Longest edge of a form's bounding box on a coarse grid, to about half a voxel."""
    part = grid.part(form.centre - form.reach, form.centre + form.reach)
    found = np.argwhere(form.distance(grid.crop(part)) <= 0) if part else np.zeros((0, 3))
    return float(np.ptp(found, axis=0).max() + 1) * grid.spacing if len(found) else 1.0
