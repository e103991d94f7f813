"""Ground-truth measures of a phantom lesion, taken on its surface and on the noise-free anatomy around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import ConvexHull
from scipy.special import ndtr
from skimage.measure import marching_cubes

from medsmith.measurement.surface import Mesh
from medsmith.phantoms.canvas import Canvas
from medsmith.phantoms.ct.anatomy import LABELS, Anatomy
from medsmith.phantoms.ct.lesion_bodies import LesionBody
from medsmith.phantoms.ct.organs import Organ
from medsmith.phantoms.space import Field, Grid, Point, Points
from medsmith.phantoms.tissue import sample_textures
from medsmith.reports.organs import share_outside

VOXELS = 52
"""Voxels along the longest edge of the grid on which a lesion is measured."""
CONTEXT_MM = 8.0
"""Distance around a lesion within which other organs are searched."""
CONTEXT_STEP_MM = (1.0, 2.2)
"""Finest and coarsest voxel of that grid."""
FEWEST = 30
"""Fewest voxels that the HU of the surroundings is taken from."""
SHELL_MM = 5.0
"""Thickness of the shell outside the margin in which the surroundings are measured."""
LUMEN_MARGIN_MM = 0.8
"""Width of a margin against the content of a hollow organ."""
RISE = 2 * 1.2815515655446004
"""Distance between the 10 % and 90 % points of a Gaussian edge, in standard deviations."""


@final
@dataclass(frozen=True, eq=False)
class MeasuredBody:
    """A lesion's body with its surface mesh.

    Attributes:
        body: the same, with a tight reach about the center of its bounding box.
        grid: fine grid around it.
        distance: to its surface on that grid.
        mesh: its surface, patient mm.
    """

    body: LesionBody
    grid: Grid
    distance: Field
    mesh: Mesh

    @property
    def diameter_mm(self) -> float:
        """Diameter in mm of the ball of equal volume."""
        return float(np.cbrt(6 * self.mesh.volume / np.pi))

    @property
    def edges_mm(self) -> Point:
        """Edges of the bounding box in mm."""
        return np.asarray(np.ptp(self.mesh.vertices, axis=0))

    def shape_numbers(self) -> Mapping[str, float]:
        """Volume, size, sphericity (Wadell 1935) and convexity."""
        volume, (x, y, z) = self.mesh.volume, self.edges_mm
        return {
            "volume_mm3": volume,
            "equivalent_diameter_mm": self.diameter_mm,
            "edge_x_mm": float(x),
            "edge_y_mm": float(y),
            "edge_z_mm": float(z),
            "sphericity": float(np.cbrt(np.pi) * (6 * volume) ** (2 / 3) / self.mesh.area),
            "convexity": min(1.0, volume / float(ConvexHull(self.mesh.vertices).volume)),
        }


def measure_body(anatomy: Anatomy, body: LesionBody) -> MeasuredBody:
    """Mesh of a body's surface, by marching cubes on a fine grid."""
    low, high = _bounds(anatomy, body)
    spacing = max(float(np.max(high - low)) / VOXELS, 0.12)
    grid = Grid.around(anatomy.warp, low, high, spacing)
    distance = body.distance(grid)
    first = np.array([axis[0] for axis in grid.axes]) - spacing
    closed = np.pad(distance, 1, constant_values=spacing)
    vertices, faces, _, _ = marching_cubes(closed, 0.0)
    mesh = Mesh(vertices.astype(np.float64) * spacing + first, faces)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    return MeasuredBody(LesionBody((low + high) / 2, (high - low) / 2, body.distance), grid, distance, mesh)


def _bounds(anatomy: Anatomy, body: LesionBody) -> tuple[Point, Point]:
    """A box that holds the body, found on a coarse grid where its reach is generous."""
    reach = body.reach + 1.0
    rough = Grid.around(anatomy.warp, body.center - reach, body.center + reach, max(float(reach.max()) / 22, 0.4))
    found = np.argwhere(body.distance(rough) <= 0.7 * rough.spacing)
    first = np.array([axis[0] for axis in rough.axes])
    return first + (found.min(axis=0) - 1.5) * rough.spacing, first + (found.max(axis=0) + 1.5) * rough.spacing


@final
@dataclass(frozen=True, eq=False)
class LesionSurroundings:
    """The anatomy around a lesion.

    Attributes:
        grid: around its box.
        distance: to its surface.
        canvas: the anatomy without it.
        label: of its organ.
    """

    grid: Grid
    distance: Field
    canvas: Canvas
    label: int

    @property
    def outside_share(self) -> float:
        """Share of the lesion's surface that does not lie against its organ."""
        edge = self.grid.spacing
        return share_outside(self.distance <= 0, self.canvas.labels == self.label, (edge, edge, edge))

    def gap_mm(self, vertices: Points) -> float:
        """From the lesion's surface to the nearest other labeled organ, at most `CONTEXT_MM`."""
        other = (self.canvas.labels != 0) & (self.canvas.labels != self.label)
        if not other.any():
            return CONTEXT_MM
        far = distance_transform_edt(~other, sampling=self.grid.spacing) - 0.5 * self.grid.spacing
        return float(np.clip(self._sampled(far, vertices).min(), 0, CONTEXT_MM))

    def background(self, grid: Grid) -> Field:
        """HU of the anatomy without the lesion, interpolated on another grid."""
        places = [(axis - own[0]) / self.grid.spacing for axis, own in zip(grid.axes, self.grid.axes, strict=True)]
        mesh = np.meshgrid(*places, indexing="ij")
        return np.asarray(map_coordinates(self.canvas.image, mesh, order=1, mode="nearest"))

    def surroundings_hu(self, margin_mm: float, otherwise: float) -> float:
        """Median HU of the organ in a shell outside the margin, else on the grid; `otherwise` if none is left."""
        start = margin_mm / 2 + self.grid.spacing
        around = (self.distance > start) & (self.canvas.labels == self.label)
        shell = around & (self.distance <= start + SHELL_MM)
        for part in (shell, around):
            if part.sum() >= FEWEST:
                return float(np.median(self.canvas.image[part]))
        return otherwise

    def _sampled(self, field: Float[np.ndarray, "x y z"], points: Points) -> Float[np.ndarray, " _"]:
        first = np.array([axis[0] for axis in self.grid.axes])
        return np.asarray(map_coordinates(field, ((points - first) / self.grid.spacing).T, order=1, mode="nearest"))


def surroundings_of(
    anatomy: Anatomy, body: LesionBody, organ: str, low: Point, rng: np.random.Generator
) -> LesionSurroundings:
    """Paints the anatomy around a body, with the textures of the window whose lower corner is low."""
    reach = body.reach + CONTEXT_MM
    spacing = float(np.clip(reach.max() / 24, *CONTEXT_STEP_MM))
    grid = Grid.around(anatomy.warp, body.center - reach, body.center + reach, spacing)
    canvas = anatomy.painted(grid, sample_textures(rng, grid, low))
    return LesionSurroundings(grid, body.distance(grid), canvas, LABELS[organ])


def margin_on(grid: Grid, organ: Organ, margin_mm: float) -> Field:
    """Width of a lesion's margin: in the lumen of a hollow organ it is sharp, whatever it is in tissue."""
    width = np.full(grid.shape, margin_mm, np.float32)
    if organ.wall_mm:
        lumen = organ.solid.distance(grid) < -organ.wall_mm
        np.minimum(width, np.float32(LUMEN_MARGIN_MM), out=width, where=lumen)
    return width


def share_of(distance: Field, width: Field) -> Field:
    """Share of a lesion in a point at this distance from its surface: 90 % to 10 % over the margin's width."""
    share: Field = ndtr(-distance * (np.float32(RISE) / width)).astype(np.float32)
    return share


def density_numbers(
    measured: MeasuredBody, surroundings: LesionSurroundings, hu: Field, organ: Organ, margin_mm: float, organ_hu: float
) -> dict[str, float]:
    """HU of the lesion's tissue, and HU after mixing with the background across the margin.

    Args:
        measured: the lesion.
        surroundings: its surroundings.
        hu: of its tissue on the body's grid.
        organ: the organ with the lesion.
        margin_mm: width of the margin.
        organ_hu: mean of the organ, used where nothing of the organ is left around the lesion.
    """
    inside = measured.distance <= 0
    share = share_of(measured.distance, margin_on(measured.grid, organ, margin_mm))[inside]
    behind = surroundings.background(measured.grid)[inside]
    outside_hu = surroundings.surroundings_hu(margin_mm, organ_hu)
    own = hu[inside]
    return {
        "tissue_hu": float(own.mean()),
        "mean_hu": float((own * share + behind * (1 - share)).mean()),
        "surroundings_hu": outside_hu,
        "contrast_hu": float(own.mean()) - outside_hu,
        "heterogeneity_hu": float(own.std()),
        "margin_width_mm": margin_mm,
    }
