"""Density of a lesion relative to its surroundings: level, noise, heterogeneity, rim and margin.

Voxels near the mask's border are partial volumes of two tissues, the more the wider the margin is. Every value is
therefore taken from voxels at least ``border_mm`` from the border.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy import ndimage

from medsmith.measurement.margin import margin_width
from medsmith.measurement.noise import noise_of
from medsmith.measurement.surface import Spacing

SHELL_MM = 5.0
"""Thickness of the shell in which the surroundings are measured."""
RIM_MM = 2.0
"""Thickness of the rim, inside the border."""
REACH_MM = 12.0
"""Margin around the lesion's box that is analyzed."""
BLUR_MM = 1.0
"""Standard deviation of the Gaussian smoothing before the percentiles, which suppresses single noisy voxels."""
FEWEST = 8
"""Fewest voxels that a mean is taken from."""
CLEAR_VOXELS = 1.75
"""Distance from the border, in voxels, beyond which a voxel holds one tissue."""
FEWEST_CLEAR = 20
"""Fewest voxels that a standard deviation is estimated from."""
GAS_HU = -200.0
"""Voxels below it hold gas, whole or in part; no fat is that thin."""
_FEWEST_SHELL = 30
_DECILES_APART = 2 * 1.2815515655446004


@final
@dataclass(frozen=True)
class DensityMeasures:
    """Density measures of one lesion in HU; None if the lesion is too small or has no surroundings.

    Attributes:
        mean_hu: mean inside.
        low_hu: 5th percentile inside, of the image smoothed by 1 mm.
        high_hu: 95th percentile inside, likewise.
        surroundings_hu: median of a shell of 5 mm, within the organ if one is given.
        contrast_hu: mean_hu - surroundings_hu.
        noise_hu: standard deviation of the noise.
        heterogeneity_hu: standard deviation inside, with the variance of the noise subtracted. It is estimated from the
            10th and 90th percentiles. None if fewer than 20 voxels are clear of the border.
        rim_minus_core_hu: mean of the outermost 2 mm minus the mean of the inner half.
        margin_width_mm: distance over which the edge rises from 10 % to 90 % of the contrast.
    """

    mean_hu: float
    low_hu: float
    high_hu: float
    surroundings_hu: float | None
    contrast_hu: float | None
    noise_hu: float
    heterogeneity_hu: float | None
    rim_minus_core_hu: float | None
    margin_width_mm: float | None


@final
@dataclass(frozen=True, eq=False)
class Zones:
    """Zones of a lesion and of its surroundings, without partial-volume voxels.

    Attributes:
        inside: the lesion without its border; its deepest voxels if too few are left.
        clear: whether enough voxels are left without the border.
        rim: its outermost 2 mm.
        core: its inner half by depth.
        shell: the surroundings; empty if the lesion fills the image.
    """

    inside: Bool[np.ndarray, "x y z"]
    clear: bool
    rim: Bool[np.ndarray, "x y z"]
    core: Bool[np.ndarray, "x y z"]
    shell: Bool[np.ndarray, "x y z"]


def measure_density(
    image: Float[np.ndarray, "x y z"],
    mask: Bool[np.ndarray, "x y z"],
    organ: Bool[np.ndarray, "x y z"] | None,
    spacing: Spacing,
    in_wall: bool = False,
) -> DensityMeasures:
    """Density of one lesion.

    Args:
        image: Hounsfield units.
        mask: one connected lesion.
        organ: the organ with the lesion, without other lesions; the lesion's own voxels do not matter. None: all
            surroundings count.
        spacing: voxel edges in mm.
        in_wall: of a hollow organ, where the margin is measured against tissue: against gas any edge is sharp.

    Raises:
        ValueError: the mask is empty.
    """
    if not mask.any():
        raise ValueError("an empty mask has no density")
    box = region_about(mask, spacing)
    image, mask, organ = image[box].astype(np.float64), mask[box], None if organ is None else organ[box]
    plain = zones_of(mask, organ, spacing, border_mm(spacing))
    noise = noise_of(image, plain.inside, plain.shell, spacing)
    margin = margin_width(image, mask, _beside(image, organ, in_wall), spacing, noise)
    zones = zones_of(mask, organ, spacing, border_mm(spacing, margin))
    surroundings = float(np.median(image[zones.shell])) if zones.shell.any() else None
    mean = float(image[zones.inside].mean())
    low, high = np.percentile(_smooth(image, mask, spacing)[zones.inside], (5, 95))
    return DensityMeasures(
        mean_hu=mean,
        low_hu=float(low),
        high_hu=float(high),
        surroundings_hu=surroundings,
        contrast_hu=None if surroundings is None else mean - surroundings,
        noise_hu=noise,
        heterogeneity_hu=_heterogeneity(image[zones.inside], noise) if zones.clear else None,
        rim_minus_core_hu=_difference(image, zones.rim, zones.core),
        margin_width_mm=margin,
    )


def _beside(
    image: Float64[np.ndarray, "x y z"], organ: Bool[np.ndarray, "x y z"] | None, in_wall: bool
) -> list[Bool[np.ndarray, "x y z"]]:
    """Regions against which a margin is measured, the better ones first."""
    organs = [] if organ is None else [organ]
    tissue = image >= GAS_HU
    return [*(region & tissue for region in organs), tissue] if in_wall else organs


def region_about(mask: Bool[np.ndarray, "x y z"], spacing: Spacing) -> tuple[slice, ...]:
    """The lesion's box with a margin of 12 mm. The mask must not be empty."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    reach = [int(np.ceil(REACH_MM / edge)) for edge in spacing]
    return tuple(slice(max(0, part.start - more), part.stop + more) for part, more in zip(box, reach, strict=True))


def zones_of(
    mask: Bool[np.ndarray, "x y z"], organ: Bool[np.ndarray, "x y z"] | None, spacing: Spacing, border: float
) -> Zones:
    """The zones that density is measured in; ``inside`` is never empty.

    Args:
        mask: one connected lesion.
        organ: region of the surroundings; None for no restriction.
        spacing: voxel edges in mm.
        border: distance from the border in mm within which voxels may be partial volumes.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing)
    clear = int((mask & (depth >= border)).sum()) >= FEWEST_CLEAR
    deep = np.sort(depth[mask])[-min(FEWEST_CLEAR, max(FEWEST, mask.sum() // 8), mask.sum())]
    inside = mask & (depth >= (border if clear else deep))
    rim = inside & (depth <= border + RIM_MM) & (depth < depth.max() / 2)
    core = inside & (depth >= depth.max() / 2)
    return Zones(inside, clear, rim, core, _shell(distance, mask, organ, (border, border_mm(spacing))))


def border_mm(spacing: Spacing, margin_mm: float | None = None) -> float:
    """Distance from the border, in mm, within which voxels may be partial volumes.

    A logistic margin has reached 93 % of its contrast .6 times its 10-90 % width inside the border.
    """
    return max(CLEAR_VOXELS * min(spacing), 0.6 * (margin_mm or 0.0))


def _shell(
    distance: Float64[np.ndarray, "x y z"],
    mask: Bool[np.ndarray, "x y z"],
    organ: Bool[np.ndarray, "x y z"] | None,
    borders: tuple[float, float],
) -> Bool[np.ndarray, "x y z"]:
    """The shell within the organ; if too small, all of the organ nearby; if still too small, the bare shell.

    Args:
        distance: of each voxel to the lesion, mm.
        mask: of the lesion.
        organ: to stay in.
        borders: distances within which voxels may be partial volumes: by the margin, and of a sharp one. A margin that
            seems wider than the organ beside the lesion is none.
    """
    outside = ~mask & (distance >= borders[0])
    shell = outside & (distance <= borders[0] + SHELL_MM)
    if organ is None:
        return shell
    choices = (shell & organ, outside & organ, ~mask & (distance >= borders[1]) & organ, shell)
    return next((part for part in choices if part.sum() >= _FEWEST_SHELL), shell)


def _smooth(
    image: Float64[np.ndarray, "x y z"], mask: Bool[np.ndarray, "x y z"], spacing: Spacing
) -> Float64[np.ndarray, "x y z"]:
    """The image smoothed within the mask alone (normalized convolution)."""
    sigma = [BLUR_MM / edge for edge in spacing]
    weight = ndimage.gaussian_filter(mask.astype(np.float64), sigma)
    summed = ndimage.gaussian_filter(np.where(mask, image, 0.0), sigma)
    return np.asarray(summed / np.maximum(weight, 1e-9))


def _heterogeneity(values: Float64[np.ndarray, " n"], noise: float) -> float:
    """Robust estimate by percentiles, insensitive to remaining margin voxels."""
    low, high = np.percentile(values, (10, 90))
    return float(np.sqrt(max(0.0, ((high - low) / _DECILES_APART) ** 2 - noise**2)))


def _difference(
    image: Float64[np.ndarray, "x y z"], first: Bool[np.ndarray, "x y z"], second: Bool[np.ndarray, "x y z"]
) -> float | None:
    if min(first.sum(), second.sum()) < FEWEST:
        return None
    return float(image[first].mean() - image[second].mean())
