"""Axial chest CT slices at the level of heart and great vessels, in Hounsfield units, with or without nodules.

Everything is defined in mm, so that a seed gives the same patient at every size.
"""

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import ClassVar, Literal, final

import numpy as np

from medsmith.cases.case import Case, Json
from medsmith.geometry import Geometry
from medsmith.phantoms.canvas import Canvas
from medsmith.phantoms.chest.anatomy import LABELS, Anatomy, sample_anatomy, samples_per_pixel
from medsmith.phantoms.chest.nodules import Nodule, sample_nodules
from medsmith.phantoms.chest.scanner import pixel_centers, pixel_means
from medsmith.phantoms.family import PhantomFamily
from medsmith.phantoms.space import Grid

SIZES = (32, 512)
REVISION = 4


@final
class ChestPhantom(PhantomFamily):
    """Axial chest CT slices with up to three pulmonary nodules."""

    name: ClassVar[str] = "chest"
    revision: ClassVar[int] = REVISION
    channel_names: ClassVar[tuple[str, ...]] = ("CT",)
    label_names: ClassVar[Mapping[str, int]] = MappingProxyType({**LABELS, "nodule": len(LABELS)})
    file_ending: ClassVar[str] = ".nii.gz"
    dimensions: ClassVar[Literal[2, 3]] = 2
    sizes: ClassVar[tuple[int, int]] = SIZES

    def make(self, seed: int, id: str, size: int) -> Case:
        """A slice of size x size pixels over 360 to 400 mm, its labels and its report.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        anatomy = sample_anatomy(seed)
        return _case(self, anatomy, sample_nodules(anatomy, seed), id, size)


@final
class HealthyChestPhantom(PhantomFamily):
    """The same chests without their nodules."""

    name: ClassVar[str] = "chest-healthy"
    revision: ClassVar[int] = REVISION
    channel_names: ClassVar[tuple[str, ...]] = ("CT",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    dimensions: ClassVar[Literal[2, 3]] = 2
    lesions: ClassVar[bool] = False
    sizes: ClassVar[tuple[int, int]] = SIZES

    def make(self, seed: int, id: str, size: int) -> Case:
        """The case of this seed in `ChestPhantom`, without its nodules.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        return _case(self, sample_anatomy(seed), (), id, size)


def rendered(anatomy: Anatomy, nodules: tuple[Nodule, ...], grid: Grid, label: int) -> Canvas:
    """The chest with these nodules on a grid, without noise.

    Args:
        anatomy: the chest.
        nodules: to paint.
        grid: the samples.
        label: of the nodules.
    """
    canvas = anatomy.painted(grid)
    for nodule in nodules:
        nodule.paint(canvas, grid, label)
    return canvas


def _case(family: PhantomFamily, anatomy: Anatomy, nodules: tuple[Nodule, ...], id: str, size: int) -> Case:
    """One case of a family.

    Raises:
        RequestError: the size is not one that this family renders.
    """
    family.require_size(size)
    factor = samples_per_pixel(size)
    grid = anatomy.grid(size, factor)
    canvas = rendered(anatomy, nodules, grid, family.label_names.get("nodule", 0))
    image = np.rint(np.clip(pixel_means(canvas.image + anatomy.noise(grid), factor), -1024, 3071))
    labels = pixel_centers(canvas.labels, factor)
    spacing = anatomy.field_mm / size
    affine = np.diag([spacing, spacing, SLICE_MM, 1.0])
    affine[:3, 3] = anatomy.low + np.array([spacing / 2, spacing / 2, 0.0])
    return Case(
        id=id,
        image=image[None].astype(np.float32),
        labels=labels,
        geometry=Geometry((size, size, 1), affine),
        channel_names=family.channel_names,
        label_names=family.label_names,
        stored=np.dtype(np.int16),
        report=_report(family, anatomy, nodules),
        provenance=family.provenance(anatomy.seed, size),
    )


SLICE_MM = 3.0
"""Stated thickness of the slice."""


def _report(family: PhantomFamily, anatomy: Anatomy, nodules: tuple[Nodule, ...]) -> Json:
    """Report of the case: its nodules, the patient and the scanner."""
    scanner = anatomy.scanner
    return {
        "lesions": [nodule.words() for nodule in nodules],
        "phantom": {
            "family": family.name,
            "revision": family.revision,
            "field_mm": round(anatomy.field_mm, 3),
            "patient": {name: _rounded(value) for name, value in asdict(anatomy.patient).items()},
            "scanner": {"noise_hu": _rounded(scanner.noise_hu), "grain_mm": _rounded(scanner.grain_mm)},
        },
    }


def _rounded(value: float | str) -> float | str:
    return round(value, 3) if isinstance(value, float) else value
