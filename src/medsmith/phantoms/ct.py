"""CT with one lesion: a cube of 128 mm of a procedural body, in Hounsfield units, whose report is the truth.

Everything is defined in mm, so that a seed gives the same anatomy at every size.
"""

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np

from medsmith.case import Case, Geometry, Json
from medsmith.phantoms.ct_anatomy import LABELS, Anatomy, draw_torso
from medsmith.phantoms.ct_lesion import Lesion, draw_lesion, draw_report
from medsmith.phantoms.ct_space import WINDOW_MM, Grid, Point, stream
from medsmith.phantoms.ct_tissue import draw_textures, scanner_noise
from medsmith.phantoms.frame import PhantomFamily

TYPES: Mapping[str, tuple[str, ...]] = {
    "gallstone": ("gallbladder",),
    "kidney stone": ("kidney_left", "kidney_right"),
    "liver cyst": ("liver",),
    "pancreas cyst": ("pancreas",),
    "kidney cyst": ("kidney_left", "kidney_right"),
    "esophageal cancer": ("esophagus",),
    "gallbladder cancer": ("gallbladder",),
    "lung cancer": ("lung_left", "lung_right"),
    "liver cancer": ("liver",),
    "pancreas cancer": ("pancreas",),
    "kidney cancer": ("kidney_left", "kidney_right"),
    "stomach cancer": ("stomach",),
    "colon cancer": ("colon",),
    "bladder cancer": ("urinary_bladder",),
}
"""Lesion type -> organs that it is drawn in, each as often as the others."""
JITTER_MM = 22.0
"""Largest shift of the window against the lesion along each axis."""
NOISE_HU = (8.0, 25.0)
"""Standard deviation of the noise."""


@final
class CtPhantom(PhantomFamily):
    """CT of the trunk with one lesion of fourteen types."""

    name: ClassVar[str] = "ct"
    revision: ClassVar[int] = 2
    channel_names: ClassVar[tuple[str, ...]] = ("CT",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    sizes: ClassVar[tuple[int, int]] = (48, 160)

    def make(self, seed: int, id: str, size: int) -> Case:
        """A cube of size voxels per edge over 128 mm, its labels and its report; the type is drawn from the seed.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        self.require_size(size)
        return rendered(self, seed, id, size, with_lesion=True)


@final
class HealthyCtPhantom(PhantomFamily):
    """The same bodies and windows without their lesions: templates to put lesions into."""

    name: ClassVar[str] = "ct-healthy"
    revision: ClassVar[int] = CtPhantom.revision
    channel_names: ClassVar[tuple[str, ...]] = ("CT",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    sizes: ClassVar[tuple[int, int]] = CtPhantom.sizes

    def make(self, seed: int, id: str, size: int) -> Case:
        """The case that `CtPhantom` makes of this seed, without its lesion.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        self.require_size(size)
        return rendered(self, seed, id, size, with_lesion=False)


def healthy_case(seed: int, id: str, size: int) -> Case:
    """One template; see `HealthyCtPhantom.make`."""
    return HealthyCtPhantom().make(seed, id, size)


def drawn(seed: int) -> tuple[Anatomy, Lesion]:
    """Body and lesion of one case."""
    rng = stream(seed, "type")
    lesion_type = list(TYPES)[int(rng.integers(len(TYPES)))]
    organ = str(rng.choice(TYPES[lesion_type]))
    report = draw_report(lesion_type, organ, seed)
    anatomy = draw_torso(seed, 1 if report.enhancement == "enhanced CT" else 0)
    return anatomy, draw_lesion(anatomy, report, seed)


def window(lesion: Lesion, seed: int) -> Point:
    """Lower corner in patient mm of the cube that is rendered: the lesion lies in it, seldom in the middle."""
    rng = stream(seed, "window")
    room = np.clip(WINDOW_MM / 2 - lesion.form.reach - 6, 0, JITTER_MM)
    corner: Point = np.round(lesion.form.centre + rng.uniform(-1, 1, 3) * room - WINDOW_MM / 2, 2)
    return corner


def rendered(family: PhantomFamily, seed: int, id: str, size: int, *, with_lesion: bool) -> Case:
    """One case of a family, with its lesion or without."""
    anatomy, lesion = drawn(seed)
    low = window(lesion, seed)
    spacing = WINDOW_MM / size
    grid = Grid.over(anatomy.warp, low, (size, size, size), spacing)
    canvas = anatomy.painted(grid, draw_textures(stream(seed, "textures"), grid, low))
    if with_lesion:
        lesion.paint(canvas, grid)
    rng = stream(seed, "noise")
    sd = float(rng.uniform(*NOISE_HU))
    image = np.rint(np.clip(canvas.image + scanner_noise(rng, grid, low, sd), -1024, 3071)).astype(np.float32)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low + spacing / 2
    phantom = {"family": family.name, "revision": family.revision, "window_mm": low.tolist(), "noise_hu": round(sd, 2)}
    report: Json = {"lesions": [lesion.report.model_dump(mode="json")] if with_lesion else [], "phantom": phantom}
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
