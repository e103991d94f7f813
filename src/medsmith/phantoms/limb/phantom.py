"""Limbs with one soft-tissue tumor, cut out around it: T1-weighted MR and CT.

Everything is defined in mm, so that a seed gives the same patient at every size. Voxels are as many along each axis;
the field of view is the box of the tumor with a margin of its own at every face, as crops about a tumor have it.
"""

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np

from medsmith.cases.case import Case, Json
from medsmith.geometry import Geometry
from medsmith.phantoms.family import PhantomFamily
from medsmith.phantoms.limb.anatomy import sample_limb
from medsmith.phantoms.limb.render import LABELS, render
from medsmith.phantoms.limb.tumor import Tumor, sample_edges, sample_tumor
from medsmith.phantoms.limb.values import CT, T1, Modality
from medsmith.phantoms.space import Grid, Point, sample_warp, stream

ROOM = 0.55
"""Least radius of the limb over the mean edge of the tumor across it."""
SIZES = (16, 160)


@final
class LimbMrPhantom(PhantomFamily):
    """T1-weighted MR of a limb with a soft-tissue tumor."""

    name: ClassVar[str] = "limb-mr"
    revision: ClassVar[int] = 1
    channel_names: ClassVar[tuple[str, ...]] = ("T1",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    sizes: ClassVar[tuple[int, int]] = SIZES

    def make(self, seed: int, id: str, size: int) -> Case:
        """A volume of size voxels along each edge, its labels and its report.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        return _case(self, T1, seed, id, size)


@final
class LimbCtPhantom(PhantomFamily):
    """CT of the limbs of `LimbMrPhantom`, seed by seed, without contrast agent; more of the limb is shown."""

    name: ClassVar[str] = "limb-ct"
    revision: ClassVar[int] = LimbMrPhantom.revision
    channel_names: ClassVar[tuple[str, ...]] = ("CT",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    sizes: ClassVar[tuple[int, int]] = SIZES

    def make(self, seed: int, id: str, size: int) -> Case:
        """A volume of size voxels along each edge, its labels and its report.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        return _case(self, CT, seed, id, size)


def _case(family: PhantomFamily, modality: Modality, seed: int, id: str, size: int) -> Case:
    family.require_size(size)
    edges = sample_edges(seed)
    limb = sample_limb(seed, ROOM * float(edges[:2].mean()))
    tumor = sample_tumor(seed, limb, edges)
    low, view = _field_of_view(tumor, modality.margin_mm, seed)
    spacing = view / size
    grid = _grid(seed, low, spacing, size)
    rng = stream(seed, f"scanner {family.name}")
    rendered = render(limb, tumor, modality.levels(tumor, rng), grid, low, seed)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = low + spacing / 2
    return Case(
        id=id,
        image=modality.scanned(rendered.image, rng).astype(np.float32)[None],
        labels=rendered.labels,
        geometry=Geometry((size, size, size), affine),
        channel_names=family.channel_names,
        label_names=family.label_names,
        stored=np.dtype(np.int16),
        report=_report(family, tumor),
        provenance=family.provenance(seed, size),
    )


def _field_of_view(tumor: Tumor, margin_mm: tuple[float, float], seed: int) -> tuple[Point, Point]:
    """Lower corner and edges, mm; the edges across the limb are equal, so that voxels are square there."""
    rng = stream(seed, "field of view")
    margins = rng.uniform(*margin_mm, (2, 3))
    low = tumor.body.center - tumor.edges_mm / 2 - margins[0]
    view = tumor.edges_mm + margins.sum(axis=0)
    widest = view[:2].max()
    low[:2] -= (widest - view[:2]) * rng.uniform(0.2, 0.8, 2)
    return np.asarray(low), np.array([widest, widest, view[2]])


def _grid(seed: int, low: Point, spacing: Point, size: int) -> Grid:
    return Grid.over(sample_warp(seed), low, (size, size, size), float(spacing[0]), float(spacing[2] / spacing[0]))


def _report(family: PhantomFamily, tumor: Tumor) -> Json:
    words = {
        "depth": tumor.depth,
        "kind": tumor.kind,
        "lobulated": tumor.lobulated,
        "size_mm": [round(float(edge), 1) for edge in tumor.edges_mm],
    }
    return {"lesions": [words], "phantom": {"family": family.name, "revision": family.revision}}
