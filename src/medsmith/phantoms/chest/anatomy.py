"""The anatomy of one chest phantom without nodules, and the grids on which it is rendered."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import numpy as np

from medsmith.phantoms.canvas import Canvas, Layer, paint
from medsmith.phantoms.chest.body import body_layers
from medsmith.phantoms.chest.heart import Heart
from medsmith.phantoms.chest.lungs import Lungs
from medsmith.phantoms.chest.mediastinum import Mediastinum
from medsmith.phantoms.chest.patient import Patient, sample_patient
from medsmith.phantoms.chest.pose import Pose, sample_pose
from medsmith.phantoms.chest.scanner import FIELD_MM, Scanner, sample_scanner
from medsmith.phantoms.chest.skeleton import Skeleton
from medsmith.phantoms.chest.wall import Wall
from medsmith.phantoms.space import Field, Grid, Point, stream
from medsmith.phantoms.tissue import PHASES, Levels, Textures, plain, sample_levels, smooth_noise

ORGANS = ("lung", "heart", "aorta", "trachea", "esophagus", "spinal_cord", "bone")
LABELS: Mapping[str, int] = MappingProxyType(
    {"background": 0, **{name: value for value, name in enumerate(ORGANS, start=1)}}
)
"""Label name -> value."""
SMALLEST_FIELD_MM = 360.0
"""Smallest field of view; the largest is `FIELD_MM`."""
FINEST_MM = 2.1
"""Samples are at most this far apart."""


@final
@dataclass(frozen=True, eq=False)
class Anatomy:
    """One chest on one table.

    Attributes:
        patient: sampled values.
        pose: of the patient.
        scanner: of the case.
        lungs: with everything that they lie against.
        levels: mean HU of every tissue.
        field_mm: edge of the field of view.
        layers: all structures in painting order.
        seed: of the case.
    """

    patient: Patient
    pose: Pose
    scanner: Scanner
    lungs: Lungs
    levels: Levels
    field_mm: float
    layers: tuple[Layer, ...]
    seed: int

    @property
    def low(self) -> Point:
        """Lower corner of the field of view, patient mm."""
        return np.array([-self.field_mm / 2, -self.field_mm / 2, self.patient.level_mm])

    def grid(self, size: int, factor: int) -> Grid:
        """The samples of a picture: factor x factor in each of size x size pixels."""
        spacing = self.field_mm / (size * factor)
        low = self.low - np.array([0, 0, spacing / 2])
        return Grid.over(self.pose, low, (size * factor, size * factor, 1), spacing)

    def textures(self, grid: Grid) -> Textures:
        """The tissues' textures."""
        rng, low = stream(self.seed, "textures"), np.full(3, -FIELD_MM / 2)
        return Textures(*(smooth_noise(rng, grid, low, (knot, knot), FIELD_MM) for knot in (4.0, 12.0)))

    def painted(self, grid: Grid) -> Canvas:
        """The anatomy on a grid, without noise."""
        return paint(grid, self.layers, self.textures(grid), plain(self.levels["fat"], 8.0))

    def noise(self, grid: Grid) -> Field:
        """The scanner's noise on a grid."""
        return self.scanner.noise(grid, np.full(3, -FIELD_MM / 2))


def samples_per_pixel(size: int) -> int:
    """Samples along each edge of a pixel: odd, so that one lies at its center."""
    return 1 if size > 160 else 3 if size > 60 else 5


def sample_anatomy(seed: int) -> Anatomy:
    """The chest of one case."""
    patient = sample_patient(seed)
    pose, scanner, wall = sample_pose(patient, seed), sample_scanner(seed), Wall(patient)
    skeleton = Skeleton(wall, pose)
    lungs = Lungs(Mediastinum(Heart(patient, pose, wall), skeleton, seed), seed)
    levels = _levels(patient, seed)
    field = float(np.clip(wall.width_mm * pose.scale[0] * 1.08, SMALLEST_FIELD_MM, FIELD_MM))
    values = dict(LABELS)
    back = wall.back_mm * pose.scale[1] + pose.origin[1]
    layers = (
        *scanner.table_layers(back),
        *body_layers(wall, skeleton, lungs, levels),
        *lungs.layers(levels, values["lung"]),
        *skeleton.layers(levels, values["bone"], values["spinal_cord"]),
        *lungs.mediastinum.layers(levels, values),
        *lungs.hilum_layers(levels),
    )
    return Anatomy(patient, pose, scanner, lungs, levels, field, layers, seed)


def _levels(patient: Patient, seed: int) -> Levels:
    """Mean HU of every tissue, with blood on its way through heart and lungs."""
    rng = stream(seed, "levels")
    levels = dict(sample_levels(rng, PHASES.index("plain" if patient.phase == "plain" else "portal venous")))
    blood = levels["blood"]
    left = right = cava = blood
    if patient.phase == "arterial":
        early = float(rng.uniform(0, 1))
        left, right = 140 + 240 * early, 380 - 220 * early + float(rng.uniform(-20, 60))
        cava = right + float(rng.uniform(-60, 120))
        levels["lung vessels"] = 0.5 * (left + right)
        levels["vein"] = 60 + 40 * early
    levels |= {"left blood": left, "right blood": right, "cava": cava}
    levels["marrow"] = 210 - 90 * patient.age + float(rng.uniform(-15, 25))
    return levels
