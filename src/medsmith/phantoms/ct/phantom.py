"""CT with one lesion: a cube of 128 mm of a procedural body, in Hounsfield units, whose report is the truth.

Everything is defined in mm, so that a seed gives the same anatomy at every size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, final

import numpy as np

from medsmith.cases.case import Case, Json
from medsmith.geometry import Geometry
from medsmith.phantoms.ct.anatomy import LABELS, Anatomy, draw_head, draw_torso
from medsmith.phantoms.ct.lesion import Lesion, draw_lesion, draw_report, window
from medsmith.phantoms.ct.space import WINDOW_MM, Grid, stream
from medsmith.phantoms.ct.tissue import PHASES, draw_textures, scanner_noise
from medsmith.phantoms.frame import PhantomFamily

SIZES = (48, 160)


@final
@dataclass(frozen=True)
class Subject:
    """A part of the body with what can be found in it.

    Attributes:
        draw: anatomy of a seed and a phase of `PHASES`.
        types: lesion type -> organs that it is drawn in; types and organs are drawn uniformly.
        noise_hu: smallest and largest standard deviation of the noise.
    """

    draw: Callable[[int, int], Anatomy]
    types: Mapping[str, tuple[str, ...]]
    noise_hu: tuple[float, float]


_KIDNEYS, _LUNGS = ("kidney_left", "kidney_right"), ("lung_left", "lung_right")
TORSO = Subject(
    draw_torso,
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
HEAD = Subject(draw_head, MappingProxyType({"intracranial hemorrhage": ("brain",)}), (3.0, 7.0))


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
        """A cube of size voxels per edge over 128 mm, its labels and its report; the type is drawn from the seed.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        return _case(self, TORSO, seed, id, size, _with_lesion)


@final
class HealthyCtPhantom(PhantomFamily):
    """The same bodies and windows without their lesions: templates to put lesions into."""

    name: ClassVar[str] = "ct-healthy"
    revision: ClassVar[int] = CtPhantom.revision
    channel_names: ClassVar[tuple[str, ...]] = ("CT",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    sizes: ClassVar[tuple[int, int]] = SIZES

    def make(self, seed: int, id: str, size: int) -> Case:
        """The case that `CtPhantom` makes of this seed, without its lesion.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        return _case(self, TORSO, seed, id, size, _without_lesion)


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
    sizes: ClassVar[tuple[int, int]] = SIZES

    def make(self, seed: int, id: str, size: int) -> Case:
        """The case that `CtHeadPhantom` makes of this seed, without its lesion.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        return _case(self, HEAD, seed, id, size, _without_lesion)


def healthy_case(seed: int, id: str, size: int) -> Case:
    """One template of the trunk; see `HealthyCtPhantom.make`."""
    return HealthyCtPhantom().make(seed, id, size)


def drawn_type(subject: Subject, seed: int) -> tuple[str, str]:
    """Lesion type and organ of one case."""
    rng = stream(seed, "type")
    lesion_type = list(subject.types)[int(rng.integers(len(subject.types)))]
    return lesion_type, str(rng.choice(subject.types[lesion_type]))


def drawn(subject: Subject, seed: int) -> tuple[Anatomy, Lesion]:
    """Body and lesion of one case."""
    report = draw_report(*drawn_type(subject, seed), seed)
    phase = PHASES.index("portal venous" if report.enhancement == "enhanced CT" else "plain")
    anatomy = subject.draw(seed, phase)
    return anatomy, draw_lesion(anatomy, report, seed)


Finish = Callable[[Lesion], tuple[Lesion, ...]]


def _with_lesion(lesion: Lesion) -> tuple[Lesion, ...]:
    return (lesion,)


def _without_lesion(_lesion: Lesion) -> tuple[Lesion, ...]:
    return ()


def _case(family: PhantomFamily, subject: Subject, seed: int, id: str, size: int, finish: Finish) -> Case:
    """One case of a family; finish says which lesions are painted.

    Raises:
        RequestError: the size is not one that this family renders.
    """
    family.require_size(size)
    anatomy, lesion = drawn(subject, seed)
    low, lesions = window(lesion.form, seed), finish(lesion)
    spacing = WINDOW_MM / size
    grid = Grid.over(anatomy.warp, low, (size, size, size), spacing)
    canvas = anatomy.painted(grid, draw_textures(stream(seed, "textures"), grid, low))
    for one in lesions:
        one.paint(canvas, grid)
    rng = stream(seed, "noise")
    sd = float(rng.uniform(*subject.noise_hu))
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
