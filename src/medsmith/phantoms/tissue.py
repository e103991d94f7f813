"""Hounsfield units of the tissues of CT and chest phantoms, their textures, and the noise of the scanner.

Values are typical of an adult at 120 kV; every case deviates from them (`sample_levels`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import numpy as np

from medsmith.phantoms.space import WINDOW_MM, Field, Grid, Point, spline_matrix, spread_knots

Levels = Mapping[str, float]

PHASES = ("plain", "portal venous")
"""Columns of `LEVELS_HU`."""
LEVELS_HU: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "air": (-1000, -1000),
        "gas": (-960, -960),
        "skin": (15, 35),
        "fat": (-102, -100),
        "muscle": (52, 64),
        "liver": (58, 108),
        "liver vessels": (42, 155),
        "spleen": (48, 122),
        "pancreas": (40, 94),
        "kidney cortex": (33, 185),
        "kidney medulla": (31, 160),
        "renal pelvis": (6, 12),
        "gallbladder wall": (35, 72),
        "bile": (8, 8),
        "stomach wall": (42, 88),
        "bowel wall": (40, 84),
        "esophagus wall": (38, 70),
        "bladder wall": (38, 70),
        "urine": (3, 6),
        "fluid": (12, 12),
        "prostate": (40, 75),
        "blood": (42, 152),
        "vein": (42, 150),
        "heart blood": (42, 150),
        "myocardium": (45, 108),
        "lung": (-855, -845),
        "lung vessels": (40, 120),
        "airway wall": (-30, -20),
        "disc": (82, 85),
        "marrow": (165, 175),
        "cortex": (820, 820),
        "cartilage": (105, 110),
        "csf": (7, 7),
        "gray matter": (39, 44),
        "white matter": (29, 32),
    }
)
"""Tissue -> mean HU without contrast agent, and in the portal venous phase."""
SPREAD = 0.07
"""Standard deviation of a case's factor on each enhanced part (normal); plain levels deviate by 3 HU."""


def sample_levels(rng: np.random.Generator, phase: int) -> Levels:
    """Mean HU of every tissue in one case."""
    levels = {}
    for name, row in LEVELS_HU.items():
        deviation = 3 * float(rng.standard_normal()) if -120 < row[0] < 300 else 0.0
        levels[name] = row[0] + (row[phase] - row[0]) * (1 + SPREAD * float(rng.standard_normal())) + deviation
    return levels


@final
@dataclass(frozen=True, eq=False)
class Textures:
    """Smooth noise of unit variance over a window; the textures of all structures are derived from it.

    Attributes:
        fine: blobs of 4 mm.
        coarse: blobs of 12 mm.
    """

    fine: Field
    coarse: Field

    @classmethod
    def none(cls, shape: tuple[int, int, int]) -> "Textures":
        """No texture."""
        return cls(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


def sample_textures(rng: np.random.Generator, grid: Grid, low: Point) -> Textures:
    """The textures of a window whose lower corner is given in patient mm."""
    return Textures(smooth_noise(rng, grid, low, (4.0, 4.0, 4.0)), smooth_noise(rng, grid, low, (12.0, 12.0, 12.0)))


def smooth_noise(
    rng: np.random.Generator, grid: Grid, low: Point, knot_mm: tuple[float, ...], edge_mm: float = WINDOW_MM
) -> Field:
    """Smooth Gaussian noise of zero mean and unit variance, the same at every size of the grid.

    Args:
        rng: generator.
        grid: sample points inside the cube.
        low: lower corner of the cube that holds the knots, patient mm.
        knot_mm: distance of the knots along x, y, z; along x and y alone, if the grid is one slice.
        edge_mm: edge of that cube.
    """
    counts = [int(np.ceil(edge_mm / knot)) + 3 for knot in knot_mm]
    knots = rng.standard_normal(counts, dtype=np.float32)
    matrices = []
    for axis, start, knot, count in zip(grid.axes, low, knot_mm, counts, strict=False):
        matrix = spline_matrix(axis, float(start) - knot, knot, count)
        length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1))).ravel()
        matrices.append((matrix.multiply((1 / length)[:, None])).tocsr().astype(np.float32))
    noise: Field = spread_knots(knots, matrices).reshape(grid.shape)
    return noise


NOISE_KNOTS_MM = (1.15, 1.15, 1.5)
"""Grain of the noise: a soft kernel within slices, the slice thickness across them."""


def scanner_noise(rng: np.random.Generator, grid: Grid, low: Point, sd_hu: float) -> Field:
    """Correlated noise of this standard deviation in HU."""
    noise: Field = np.float32(sd_hu) * smooth_noise(rng, grid, low, NOISE_KNOTS_MM)
    return noise


@final
@dataclass(frozen=True, eq=False)
class Spot:
    """The points at which a structure is rendered.

    Attributes:
        grid: the points.
        distance: to its surface in mm, negative inside.
        textures: the window's, cropped.
    """

    grid: Grid
    distance: Field
    textures: Textures


Painter = Callable[[Spot], Field]


def plain(level: float, sd: float = 4.0) -> Painter:
    """A mean and a soft texture of this standard deviation, in HU."""

    def paint(spot: Spot) -> Field:
        mixed = spot.textures.fine * np.float32(0.6 * sd)
        mixed += spot.textures.coarse * np.float32(0.8 * sd)
        mixed += np.float32(level)
        return mixed

    return paint


def bone(levels: Levels, cortex_mm: float = 1.6) -> Painter:
    """Cortex at the surface, marrow below it, trabeculae as texture."""

    def paint(spot: Spot) -> Field:
        shell = np.exp(-((np.minimum(spot.distance, 0) / np.float32(cortex_mm)) ** 2))
        marrow = np.float32(levels["marrow"]) + 38 * spot.textures.fine + 25 * spot.textures.coarse
        painted: Field = marrow + (np.float32(levels["cortex"]) - marrow) * shell
        return painted

    return paint


def skin(levels: Levels) -> Painter:
    """Fat with septa below a thin skin."""
    inner = plain(levels["fat"], 7.0)

    def paint(spot: Spot) -> Field:
        septa = 45 * np.exp(-((spot.textures.fine / np.float32(0.12)) ** 2)) * (spot.textures.coarse > 0.4)
        rim = np.clip(0.5 + (spot.distance + 2) / np.float32(spot.grid.spacing), 0, 1)
        below = inner(spot) + septa.astype(np.float32)
        painted: Field = below + (np.float32(levels["skin"]) - below) * rim
        return painted

    return paint


def striated(levels: Levels, seam_hu: float = 70.0) -> Painter:
    """Muscle with fat between its bundles, that many HU darker."""
    base = plain(levels["muscle"], 6.0)

    def paint(spot: Spot) -> Field:
        seam = np.exp(-((spot.textures.coarse / np.float32(0.10)) ** 2)) * np.float32(seam_hu)
        painted: Field = base(spot) - seam
        return painted

    return paint


def layered(wall_mm: float, wall: Painter, content: Painter) -> Painter:
    """A wall of this thickness around the organ's content."""

    def paint(spot: Spot) -> Field:
        share = np.clip(0.5 - (spot.distance + np.float32(wall_mm)) / np.float32(spot.grid.spacing + 0.6), 0, 1)
        outside = wall(spot)
        painted: Field = outside + (content(spot) - outside) * share
        return painted

    return paint


def gas_above(level: float, content: Painter, gas_hu: float = -960.0) -> Painter:
    """Gas over a flat fluid level: the patient lies on the back; level is an anatomical y in mm."""

    def paint(spot: Spot) -> Field:
        height = spot.grid.anatomical[1] - np.float32(level)
        share = np.clip(0.5 + height / np.float32(spot.grid.spacing + 0.8), 0, 1)
        below = content(spot)
        painted: Field = below + (np.float32(gas_hu) - below) * share
        return painted

    return paint
