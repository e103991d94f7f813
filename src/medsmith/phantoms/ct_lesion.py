"""One lesion of the CT phantoms: report first, then form, place and density, then the numbers of what was drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy.spatial import ConvexHull
from scipy.special import ndtr
from skimage.measure import marching_cubes

from medsmith.conditioning.sampling import sample_report
from medsmith.conditioning.schema import LesionReport
from medsmith.measuring.surface import Mesh
from medsmith.phantoms.ct_anatomy import LABELS, Anatomy
from medsmith.phantoms.ct_canvas import Canvas, ramp_mm
from medsmith.phantoms.ct_density import Density, draw_density
from medsmith.phantoms.ct_forms import (
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
from medsmith.phantoms.ct_place import Surroundings, place_in_lumen, place_on_wall, place_star, survey
from medsmith.phantoms.ct_space import Field, Grid, stream

LARGEST_MM = 76.0
"""Longest edge that is drawn; what a report asks beyond it is drawn smaller, in proportion."""
SHELL_MM = 5.0
"""Thickness of the shell outside the margin that stands for the surroundings."""
RISE = 2 * 1.2815515655446004
"""Distance between the 10 % and 90 % points of a Gaussian edge, in standard deviations."""
MEASURED_VOXELS = 56
"""Voxels along the longest edge of the grid on which a lesion is measured."""


@final
@dataclass(frozen=True, eq=False)
class Lesion:
    """One lesion, ready to be painted at any size.

    Attributes:
        report: its words, and the numbers of what is drawn.
        form: its body.
        density: its HU.
        shift_hu: added to `Density.painted`, so that the mean is right.
    """

    report: LesionReport
    form: Form
    density: Density
    shift_hu: float

    def paint(self, canvas: Canvas, grid: Grid) -> None:
        """Puts the lesion over the anatomy."""
        reach = self.form.reach + 2 * self.density.margin_mm + 2
        part = grid.part(self.form.centre - reach, self.form.centre + reach)
        if part is None:
            return
        own = grid.crop(part)
        distance = self.form.distance(own)
        share = self._share(distance, grid.spacing)
        canvas.image[part] += share * (self.density.painted(own, distance) + self.shift_hu - canvas.image[part])
        np.copyto(canvas.labels[part], LABELS["lesion"], where=distance <= 0)

    def _share(self, distance: Field, spacing: float) -> Field:
        """Share of the lesion in a voxel: the margin's ramp and the voxel's own."""
        width = np.hypot(self.density.margin_mm, 0.66 * ramp_mm(spacing))
        share: Field = ndtr(-distance * np.float32(RISE / width)).astype(np.float32)
        return share


def draw_lesion(anatomy: Anatomy, report: LesionReport, seed: int) -> Lesion:
    """A lesion that obeys a report.

    Args:
        anatomy: of the case.
        report: drawn from the rules; its organ is one of the anatomy's.
        seed: of the case.
    """
    rng = stream(seed, "lesion")
    organ = report.organ or ""
    around = survey(anatomy, anatomy.organs[organ], LABELS[organ], rng)
    form, cavity = _draw_form(report, around, rng)
    grid = _measuring_grid(anatomy, form)
    distance = form.distance(grid)
    inside = distance <= 0
    volume = float(inside.sum()) * grid.spacing**3
    diameter = float(np.cbrt(6 * volume / np.pi))
    report = report.model_copy(update={"cavity": cavity})
    density = draw_density(
        report,
        form,
        -distance[inside],
        diameter,
        organ_hu(anatomy, organ),
        rng,
        np.random.SeedSequence([seed, 7]),
    )
    painted = density.painted(grid, distance)
    shift = density.mean_hu - float(painted[inside].mean())
    numbers = _measured(grid, distance, painted + np.float32(shift), density)
    edges = tuple(round(numbers[f"edge_{axis}_mm"], 1) for axis in "xyz")
    told = {"size_mm": edges, "ct_value_hu": round(density.mean_hu, 1), "measured": numbers}
    return Lesion(LesionReport.model_validate({**report.model_dump(), **told}), form, density, shift)


def organ_hu(anatomy: Anatomy, organ: str) -> float:
    """Mean HU of what a lesion of this organ is compared with: its parenchyma, or its wall."""
    names: Mapping[str, tuple[str, ...]] = {
        "kidney_left": ("kidney cortex", "kidney medulla"),
        "kidney_right": ("kidney cortex", "kidney medulla"),
        "lung_left": ("lung",),
        "lung_right": ("lung",),
        "gallbladder": ("gallbladder wall",),
        "stomach": ("stomach wall",),
        "colon": ("bowel wall",),
        "esophagus": ("esophagus wall",),
        "urinary_bladder": ("bladder wall",),
        "brain": ("grey matter", "white matter"),
    }
    return float(np.mean([anatomy.levels[name] for name in names.get(organ, (organ,))]))


def draw_report(lesion_type: str, organ: str, seed: int) -> LesionReport:
    """Words of one lesion, none of which goes beyond what the phantoms draw."""
    return sample_report(lesion_type, stream(seed, "report"), {"organ": organ})


def _draw_form(report: LesionReport, around: Surroundings, rng: np.random.Generator) -> tuple[Form, Any]:
    """Body and place; the place in the organ as it was found."""
    assert report.size_mm is not None
    edges = np.array(report.size_mm) * min(1.0, LARGEST_MM / max(report.size_mm))
    star = draw_star(rng, _bumps(report))
    if report.cavity == "within the lumen of a hollow organ":
        centre, edges = place_in_lumen(around, edges, rng, touching=False)
        return star.placed(centre, edges), report.cavity
    if "protrusion into the lumen" in report.shape:
        centre, edges = place_in_lumen(around, edges, rng, touching=True)
        return clipped(star.placed(centre, edges), around.organ), report.cavity
    if report.cavity == "wall thickening" and {"wall thickening", "luminal narrowing"} & set(report.shape):
        return _swollen(report, around, star, edges, rng), report.cavity
    protruding = report.cavity in ("protruding from the parenchymal organ", "wall thickening")
    centre, edges, protrudes = place_star(around, star, edges, protruding, rng)
    if around.organ.wall_mm:
        return star.placed(centre, edges), report.cavity
    word = "protruding from the parenchymal organ" if protrudes else "within the parenchymal organ"
    return star.placed(centre, edges), word


def _bumps(report: LesionReport) -> tuple[Bumps, ...]:
    kinds = [LOBULATED if "irregular" in report.shape else SMOOTH]
    if "spiculated margins" in report.features:
        kinds.append(SPICULES)
    return tuple(kinds)


def _swollen(report: LesionReport, around: Surroundings, star: Star, edges: Field, rng: np.random.Generator) -> Form:
    """A thickened wall whose longest edge is as asked for."""
    ring = "luminal narrowing" in report.shape
    lumen = -float(around.distance.min()) - around.organ.wall_mm
    inwards = lumen * float(rng.uniform(0.62, 0.85)) if ring else float(rng.uniform(5, 11))
    rough = 0.55 if "irregular" in report.shape else 0.12
    outwards = float(rng.uniform(2.5, 5) if report.surface == "serosal surface irregularity" else rng.uniform(0.5, 2))
    wanted, length = float(edges.max()), float(edges.max())
    centre = place_on_wall(around, rng)
    if ring and around.organ.course is not None:
        gaps = around.organ.course - centre
        centre = around.organ.course[int(np.argmin(np.sum(gaps**2, axis=1)))]
    for _ in range(3):
        swelling = Swelling(length, min(inwards, 0.9 * lumen), outwards, rough, ring)
        form = thickened(around.organ, centre, around.axis, swelling, star)
        spans = _spans(form, around.grid)
        length *= float(np.clip(wanted / max(spans), 0.6, 1.6))
    return form


def _spans(form: Form, grid: Grid) -> list[float]:
    """Edges of a form's bounding box on a coarse grid, to about half a voxel."""
    part = grid.part(form.centre - form.reach, form.centre + form.reach)
    assert part is not None
    inside = form.distance(grid.crop(part)) <= 0
    found = np.argwhere(inside)
    return [1.0] * 3 if not len(found) else list((np.ptp(found, axis=0) + 1) * grid.spacing)


def _measuring_grid(anatomy: Anatomy, form: Form) -> Grid:
    """A fine grid around a form, tight where the form is known to be smaller than its reach."""
    reach = form.reach + 1.0
    rough = Grid.around(anatomy.warp, form.centre - reach, form.centre + reach, max(float(reach.max()) / 24, 0.4))
    found = np.argwhere(form.distance(rough) <= rough.spacing)
    first = np.array([axis[0] for axis in rough.axes])
    low, high = first + (found.min(axis=0) - 2) * rough.spacing, first + (found.max(axis=0) + 2) * rough.spacing
    return Grid.around(anatomy.warp, low, high, max(float(np.max(high - low)) / MEASURED_VOXELS, 0.15))


def _measured(grid: Grid, distance: Field, hu: Field, density: Density) -> dict[str, float]:
    """Size, shape and HU of what was drawn, free of noise and voxels."""
    inside = distance <= 0
    vertices, faces, _, _ = marching_cubes(np.pad(distance, 1, constant_values=float(grid.spacing)), 0.0)
    mesh = Mesh((vertices * grid.spacing).astype(np.float64), faces)
    edges = np.ptp(vertices, axis=0) * grid.spacing
    values = {
        "volume_mm3": mesh.volume,
        "equivalent_diameter_mm": float(np.cbrt(6 * mesh.volume / np.pi)),
        "edge_x_mm": float(edges[0]),
        "edge_y_mm": float(edges[1]),
        "edge_z_mm": float(edges[2]),
        "sphericity": float(np.cbrt(np.pi) * (6 * mesh.volume) ** (2 / 3) / mesh.area),
        "convexity": mesh.volume / float(ConvexHull(mesh.vertices).volume),
        "mean_hu": float(hu[inside].mean()),
        "heterogeneity_hu": float(hu[inside].std()),
        "margin_width_mm": density.margin_mm,
    }
    return {name: round(float(value), 3) for name, value in values.items()}
