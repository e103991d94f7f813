"""The rim of a lesion whose rim differs in density from its core, against both the core and the organ around it.

Axes: u v w voxels of a region of the scan, canonical; Hounsfield units.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from jaxtyping import Bool, Float32
from scipy.ndimage import distance_transform_edt

from medsmith.measurement.density import RIM_MM, border_mm, zones_of
from medsmith.reports.vocabulary import Density

_SLOPE_MM: Final = 0.8
"""Distance over which a rim passes into the core."""
Spacing = tuple[float, float, float]
Range = tuple[float, float]
Mask = Bool[np.ndarray, "u v w"]
Image = Float32[np.ndarray, "u v w"]


@final
@dataclass(frozen=True)
class Rim:
    """How a rim differs.

    Attributes:
        least: smallest distance of the rim from the core; negative where the rim is less dense.
        beside_organ: distance of the rim from the organ, above it.
        core: density that the core has where the mean of the lesion may be chosen.
        limit: density that the core does not pass.
    """

    least: float
    beside_organ: float
    core: float
    limit: float


RIMS: Final[Mapping[Density, Rim]] = {
    "ring enhancement": Rim(least=45.0, beside_organ=35.0, core=25.0, limit=0.0),
    "isodense soft tissue mass with peripheral low-density ground-glass opacity": Rim(
        least=-350.0, beside_organ=250.0, core=30.0, limit=60.0
    ),
}
"""Densities that differ between rim and core."""


def with_rim(
    image: Image,
    mask: Mask,
    spacing: Spacing,
    density: Density,
    level: float | None,
    wanted: Range | None,
) -> Image:
    """The intensities with a rim that stands out from the core and from the organ.

    The rim is brought to its distance from the organ, the mean to a value in the wanted range that leaves the core
    plausible; of the network's own difference between rim and core nothing is left. Rim, core and mean are those that
    are measured (``measurement.density``). A lesion too small for both rim and core stays as it is, as does one whose
    density has no rim.

    Args:
        image: intensities of the lesion, HU, their mean in the wanted range.
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
        density: of the lesion.
        level: of the organ around it, HU; None if unknown.
        wanted: smallest and largest mean, HU, equal where a value is requested; None if nothing is said.
    """
    zones, rim = zones_of(mask, None, spacing, border_mm(spacing)), RIMS.get(density)
    if rim is None or not zones.rim.any() or not zones.core.any():
        return image
    depth = distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    width = min(border_mm(spacing) + RIM_MM, float(depth.max()) / 2)
    share = np.clip((width - depth) / _SLOPE_MM + 0.5, 0.0, 1.0)
    covered, mean = float(share[zones.inside].mean()), float(image[zones.inside].mean())
    new, apart = _levels(rim, covered, mean, level, wanted)
    found = float(image[zones.rim].mean() - image[zones.core].mean())
    return np.asarray(image + (new - mean) + (apart - found) * (share - covered), np.float32)


def _levels(rim: Rim, covered: float, mean: float, level: float | None, wanted: Range | None) -> tuple[float, float]:
    """The mean, and the distance of the rim from the core.

    Args:
        rim: how it differs.
        covered: the share of the lesion that the rim covers.
        mean: of the lesion now.
        level: of the organ.
        wanted: range of the mean.
    """
    if level is None:
        return mean, rim.least
    target = level + rim.beside_organ
    low, high = wanted or (-math.inf, math.inf)
    new = min(max(covered * target + (1 - covered) * rim.core, low), high)
    side = math.copysign(1.0, rim.least)
    by_organ = side * (target - new) / (1 - covered)
    by_core = side * (new - rim.limit) / covered
    return new, side * max(abs(rim.least), min(by_organ, by_core))
