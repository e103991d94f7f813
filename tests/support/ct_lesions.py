"""Lesions of the CT phantoms as they are painted, finely and without noise, for tests that measure them anew."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage

from medsmith.phantoms.canvas import Canvas
from medsmith.phantoms.ct.anatomy import LABELS
from medsmith.phantoms.ct.lesion import PhantomLesion, sample_lesion, window
from medsmith.phantoms.ct.phantom import HEAD, TORSO
from medsmith.phantoms.space import Grid, stream
from medsmith.phantoms.tissue import PHASES, sample_textures
from medsmith.reports.sampling import sample_report

AROUND_MM = 14.0
PARTS = {name: part for part in (TORSO, HEAD) for name in part.types}
"""PhantomLesion type -> body that has it; fifteen of them."""
LESION = LABELS["lesion"]


@dataclass(frozen=True, eq=False)
class PaintedLesion:
    """One lesion in its surroundings: a cube of voxels, free of noise.

    Attributes:
        lesion: with its report.
        spacing: edge of a voxel in mm.
        axes: patient positions of the voxel centers in mm.
        before: HU and labels without the lesion.
        image: HU with it.
        labels: with it.
        wall: signed distance to the outer surface of its organ, mm.
    """

    lesion: PhantomLesion
    spacing: float
    axes: tuple[np.ndarray, np.ndarray, np.ndarray]
    before: Canvas
    image: np.ndarray
    labels: np.ndarray
    wall: np.ndarray

    @property
    def report(self):
        return self.lesion.report

    @property
    def numbers(self):
        """The numbers of the report."""
        return self.lesion.report.measured

    @property
    def mask(self):
        return self.labels == LESION

    @property
    def organ(self):
        """The organ without the lesion."""
        return self.before.labels == LABELS[self.report.organ]

    @property
    def depth(self):
        """Distance to the lesion's surface in mm, positive inside, by the voxels alone."""
        inside = ndimage.distance_transform_edt(self.mask, sampling=self.spacing)
        outside = ndimage.distance_transform_edt(~self.mask, sampling=self.spacing)
        return np.where(self.mask, inside - self.spacing / 2, self.spacing / 2 - outside)


@cache
def anatomy_of(lesion_type, seed, phase):
    return PARTS[lesion_type].sample_anatomy(seed, phase)


def show(lesion_type, seed, **fixed):
    """The lesion that a seed and fixed words give; a phantom of the family where nothing is fixed but the organ."""
    organs = PARTS[lesion_type].types[lesion_type]
    wanted = {"organ": organs[seed % len(organs)], **fixed}
    report = sample_report(lesion_type, stream(seed, "report"), wanted)
    phase = PHASES.index("portal venous" if report.enhancement == "enhanced CT" else "plain")
    anatomy = anatomy_of(lesion_type, seed, phase)
    lesion = sample_lesion(anatomy, report, seed)
    assert lesion.report.size_mm is not None
    spacing = max(max(lesion.report.size_mm) / 40, 0.3)
    reach = lesion.body.reach + max(AROUND_MM, 2 * spacing)
    spacing = max(spacing, float(reach.max()) / 45)
    grid = Grid.around(anatomy.warp, lesion.body.center - reach, lesion.body.center + reach, spacing)
    textures = sample_textures(stream(seed, "textures"), grid, window(lesion.body, seed))
    before = anatomy.painted(grid, textures)
    after = Canvas(before.image.copy(), before.labels.copy(), before.yields.copy())
    lesion.paint(after, grid)
    return PaintedLesion(
        lesion, spacing, grid.axes, before, after.image, after.labels, lesion.organ.solid.distance(grid)
    )
