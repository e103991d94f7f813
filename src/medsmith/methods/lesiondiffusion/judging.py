"""A drawn lesion, measured by the code that describes real ones.

Axes: u v w voxels of a region of the scan, canonical.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float32
from scipy.ndimage import find_objects

from medsmith.case import Geometry
from medsmith.conditioning.schema import LesionReport
from medsmith.formats.volume import Region
from medsmith.insertion.organ_map import OrganMap
from medsmith.measuring.density import DensityMeasures
from medsmith.measuring.describe import Scan, measure_lesion
from medsmith.measuring.lesions import Lesion
from medsmith.measuring.obedience import Verdict, compare
from medsmith.measuring.words import words_from
from medsmith.methods.lesiondiffusion.templates import LARGEST_LABEL, LESION

SEEN_FROM = 5.0
"""Signal-to-noise ratio of the lesion's largest slice from which on it can be seen (Rose 1948)."""


@final
@dataclass(frozen=True)
class Judgement:
    """What became of a request.

    Attributes:
        got: the measured report.
        visible: whether the lesion can be seen, or was meant not to stand out.
        verdicts: asked against got.
    """

    got: LesionReport
    visible: bool
    verdicts: tuple[Verdict, ...]

    @property
    def misses(self) -> int:
        """Attributes that are not as asked for; a lesion that nobody sees misses more than all of them."""
        return sum(not verdict.passed for verdict in self.verdicts) + (0 if self.visible else 100)


def judged(
    image: Float32[np.ndarray, "u v w"],
    mask: Bool[np.ndarray, "u v w"],
    asked: LesionReport,
    organ_map: OrganMap,
    region: Region,
) -> Judgement:
    """Measure a lesion where it lies and hold it against its request.

    Args:
        image: HU of the region.
        mask: voxels of the lesion; not empty.
        asked: the request.
        organ_map: organs of the scan.
        region: where in the scan.
    """
    labels = organ_map.labels[region].copy()
    labels[mask] = LARGEST_LABEL
    names = {name: value for name, value in organ_map.names.items() if value != LARGEST_LABEL}
    scan = Scan(image, labels, {**names, LESION: LARGEST_LABEL}, geometry_of(organ_map.geometry, region))
    x, y, z = find_objects(mask.astype(np.uint8))[0]
    measures = measure_lesion(scan, Lesion(LESION, (x, y, z), mask[x, y, z]))
    got = words_from(measures)
    assert measures.density is not None
    largest_slice = int(mask.sum(axis=(0, 1)).max())
    visible = asked.density == "isodense" or stands_out(measures.density, largest_slice)
    return Judgement(got, visible, compare(asked, got, organ_map.geometry.spacing))


def stands_out(density: DensityMeasures, voxels: int) -> bool:
    """Whether a lesion's contrast, rim or texture is above the noise of its largest slice.

    Contrast below the noise of one voxel does not hide a lesion of many: Rose's criterion asks for five times the
    noise of the mean over the slice. A texture shows as variance beside that of the noise, and is asked for five times
    the standard error of a variance.

    Args:
        density: measured.
        voxels: of the largest slice.
    """
    signs = (density.contrast_hu, density.rim_minus_core_hu)
    strongest = max((abs(sign) for sign in signs if sign is not None), default=0.0)  # too small to tell
    if strongest * np.sqrt(voxels) >= SEEN_FROM * density.noise_hu:
        return True
    texture = density.heterogeneity_hu or 0.0
    return bool(texture**2 >= SEEN_FROM * density.noise_hu**2 * np.sqrt(2 / voxels) and texture > 0)


def geometry_of(scan: Geometry, region: Region) -> Geometry:
    """The grid of a region of a scan."""
    shape = tuple(part.stop - part.start for part in region)
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array([part.start for part in region], dtype=np.float64)
    return Geometry((shape[0], shape[1], shape[2]), affine, scan.codes, scan.spacing_known)
