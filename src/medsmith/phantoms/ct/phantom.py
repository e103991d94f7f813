"""CT with one lesion: a cube of 128 mm of a procedural body, in Hounsfield units, whose report is the ground truth.

Everything is defined in mm, so that a seed gives the same anatomy at every size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, final

import numpy as np

from medsmith.cases.case import Case, Json
from medsmith.geometry import Geometry
from medsmith.phantoms.ct.anatomy import LABELS, Anatomy, sample_head, sample_torso
from medsmith.phantoms.ct.lesion import PhantomLesion, requested_report, sample_lesion, window
from medsmith.phantoms.ct.varied import varied_report
from medsmith.phantoms.family import PhantomFamily
from medsmith.phantoms.space import WINDOW_MM, Grid, stream
from medsmith.phantoms.tissue import PHASES, sample_textures, scanner_noise
from medsmith.reports.organs import is_hollow
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.schema import LesionReport

SIZES = (48, 160)


@final
@dataclass(frozen=True)
class BodyPart:
    """A part of the body and the lesions that occur in it.

    Attributes:
        sample_anatomy: anatomy of a seed and a phase of `PHASES`.
        types: lesion type -> organs that it can lie in; types and organs are sampled uniformly.
        noise_hu: smallest and largest standard deviation of the noise.
        report: of a lesion, by its type, its organ and the seed of the case.
    """

    sample_anatomy: Callable[[int, int], Anatomy]
    types: Mapping[str, tuple[str, ...]]
    noise_hu: tuple[float, float]
    report: Callable[[str, str, int], LesionReport] = requested_report


_KIDNEYS, _LUNGS = ("kidney_left", "kidney_right"), ("lung_left", "lung_right")
TORSO = BodyPart(
    sample_torso,
    MappingProxyType(
        {
            "gallstone": ("gallbladder",),
            "kidney stone": _KIDNEYS,
            "liver cyst": ("liver",),
            "pancreas cyst": ("pancreas",),
            "kidney cyst": _KIDNEYS,
            "esophageal cancer": ("esophagus",),
            "gallbladder cancer": ("gallbladder",),
            "lung cancer": _LUNGS,
            "liver cancer": ("liver",),
            "pancreas cancer": ("pancreas",),
            "kidney cancer": _KIDNEYS,
            "stomach cancer": ("stomach",),
            "colon cancer": ("colon",),
            "bladder cancer": ("urinary_bladder",),
        }
    ),
    (8.0, 25.0),
)
VARIED = replace(
    TORSO,
    types=MappingProxyType(
        {
            name: organs
            for name, organs in TORSO.types.items()
            if not is_hollow(organs[0]) and LESION_TYPES[name].kind != "stone"
        }
    ),
    report=varied_report,
)
HEAD = BodyPart(sample_head, MappingProxyType({"intracranial hemorrhage": ("brain",)}), (3.0, 7.0))


@final
class CtPhantom(PhantomFamily):
    """CT of the trunk with one lesion of fourteen types."""

    name: ClassVar[str] = "ct"
    revision: ClassVar[int] = 5
    channel_names: ClassVar[tuple[str, ...]] = ("CT",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    sizes: ClassVar[tuple[int, int]] = SIZES

    def make(self, seed: int, id: str, size: int) -> Case:
        """A cube of size voxels per edge over 128 mm, its labels and its report; the seed decides the type.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        return _case(self, TORSO, seed, id, size, _with_lesion)


@final
class HealthyCtPhantom(PhantomFamily):
    """The same bodies and windows without their lesions: templates for lesion insertion."""

    name: ClassVar[str] = "ct-healthy"
    revision: ClassVar[int] = CtPhantom.revision
    channel_names: ClassVar[tuple[str, ...]] = ("CT",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    lesions: ClassVar[bool] = False
    sizes: ClassVar[tuple[int, int]] = SIZES

    def make(self, seed: int, id: str, size: int) -> Case:
        """The case of this seed in `CtPhantom`, without its lesion.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        return _case(self, TORSO, seed, id, size, _without_lesion)


@final
class VariedCtPhantom(PhantomFamily):
    """CT of the trunk with one lesion whose density, texture, margin and areas its type and organ do not tell.

    Of a solid organ or the lung. From such lesions a network learns what each of these words does by itself.
    """

    name: ClassVar[str] = "ct-varied"
    revision: ClassVar[int] = CtPhantom.revision
    channel_names: ClassVar[tuple[str, ...]] = ("CT",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    sizes: ClassVar[tuple[int, int]] = SIZES

    def make(self, seed: int, id: str, size: int) -> Case:
        """A cube of size voxels per edge over 128 mm, its labels and its report.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        return _case(self, VARIED, seed, id, size, _with_lesion)


@final
class CtHeadPhantom(PhantomFamily):
    """CT of the head, not enhanced, with an intracranial hemorrhage."""

    name: ClassVar[str] = "ct-head"
    revision: ClassVar[int] = CtPhantom.revision
    channel_names: ClassVar[tuple[str, ...]] = ("CT",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    sizes: ClassVar[tuple[int, int]] = SIZES

    def make(self, seed: int, id: str, size: int) -> Case:
        """A cube of size voxels per edge over 128 mm, its labels and its report.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        return _case(self, HEAD, seed, id, size, _with_lesion)


@final
class HealthyCtHeadPhantom(PhantomFamily):
    """The same heads and windows without their hemorrhage."""

    name: ClassVar[str] = "ct-head-healthy"
    revision: ClassVar[int] = CtPhantom.revision
    channel_names: ClassVar[tuple[str, ...]] = ("CT",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    lesions: ClassVar[bool] = False
    sizes: ClassVar[tuple[int, int]] = SIZES

    def make(self, seed: int, id: str, size: int) -> Case:
        """The case of this seed in `CtHeadPhantom`, without its lesion.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        return _case(self, HEAD, seed, id, size, _without_lesion)


def sampled_type(part: BodyPart, seed: int) -> tuple[str, str]:
    """Lesion type and organ of one case."""
    rng = stream(seed, "type")
    lesion_type = list(part.types)[int(rng.integers(len(part.types)))]
    return lesion_type, str(rng.choice(part.types[lesion_type]))


def sampled_case(part: BodyPart, seed: int) -> tuple[Anatomy, PhantomLesion]:
    """Anatomy and lesion of one case."""
    report = part.report(*sampled_type(part, seed), seed)
    phase = PHASES.index("portal venous" if report.enhancement == "enhanced CT" else "plain")
    anatomy = part.sample_anatomy(seed, phase)
    return anatomy, sample_lesion(anatomy, report, seed)


SelectLesions = Callable[[PhantomLesion], tuple[PhantomLesion, ...]]


def _with_lesion(lesion: PhantomLesion) -> tuple[PhantomLesion, ...]:
    return (lesion,)


def _without_lesion(_lesion: PhantomLesion) -> tuple[PhantomLesion, ...]:
    return ()


def _case(family: PhantomFamily, part: BodyPart, seed: int, id: str, size: int, select_lesions: SelectLesions) -> Case:
    """One case of a family; `select_lesions` decides which lesions are rendered.

    Raises:
        RequestError: the size is not one that this family renders.
    """
    family.require_size(size)
    anatomy, lesion = sampled_case(part, seed)
    low, lesions = window(lesion.body, seed), select_lesions(lesion)
    spacing = WINDOW_MM / size
    grid = Grid.over(anatomy.warp, low, (size, size, size), spacing)
    canvas = anatomy.painted(grid, sample_textures(stream(seed, "textures"), grid, low))
    for one in lesions:
        one.paint(canvas, grid)
    rng = stream(seed, "noise")
    sd = float(rng.uniform(*part.noise_hu))
    image = np.rint(np.clip(canvas.image + scanner_noise(rng, grid, low, sd), -1024, 3071)).astype(np.float32)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low + spacing / 2
    phantom = {"family": family.name, "revision": family.revision, "window_mm": low.tolist(), "noise_hu": round(sd, 2)}
    report: Json = {"lesions": [one.report.model_dump(mode="json") for one in lesions], "phantom": phantom}
    return Case(
        id=id,
        image=image[None],
        labels=canvas.labels,
        geometry=Geometry((size, size, size), affine),
        channel_names=family.channel_names,
        label_names=family.label_names,
        stored=np.dtype(np.int16),
        report=report,
        provenance=family.provenance(seed, size),
    )
