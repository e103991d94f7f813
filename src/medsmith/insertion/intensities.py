"""The intensities of a lesion, free of the tissue that it replaces: level, texture and extension beyond its border.

A network paints the edge of a lesion softer than it is asked to, and its voxels are partial volumes of two tissues. A
lesion's intensities are therefore taken from its inside alone and extended outwards; ``edge`` mixes them with the scan.

Axes: u v w voxels of a region of the scan, canonical; Hounsfield units.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.ndimage import distance_transform_edt, gaussian_filter

from medsmith.measurement.density import CLEAR_VOXELS, FEWEST_CLEAR, border_mm, zones_of
from medsmith.reports.schema import LesionReport
from medsmith.reports.typical import typically_homogeneous
from medsmith.reports.vocabulary import Feature

EXTENSION_MM: Final = 2.5
"""Distance by which a lesion is synthesized beyond its mask, so that the edge of the networks lies outside it."""
BAND_MM: Final = 1.5
"""Standard deviation of the Gaussian that separates a lesion's texture from noise."""
HOMOGENEOUS_HU: Final = 4.0
"""Largest standard deviation of the texture of a homogeneous lesion."""
HETEROGENEOUS_HU: Final = 15.0
"""Smallest standard deviation of the texture of a heterogeneous lesion."""
MOST_HETEROGENEOUS_HU: Final = 35.0
"""Largest standard deviation of any texture, that of heterogeneous phantoms: a network that exaggerates the contrast of
a dense lesion does so with its texture."""
AREAS_HU: Final = 48.0
"""Smallest distance of areas of increased or decreased density (95th, 5th percentile) from the mean."""
EVEN_HU: Final = 34.0
"""Largest distance of the 95th and 5th percentile from the mean where no such areas are asked for."""
_LARGEST_GAIN: Final = 3.0
"""Largest factor on a texture; a network that paints almost none gives no more than this."""
_LARGEST_GAIN_OF_AREAS: Final = 5.0
"""The same for the side of a texture on which areas are asked for."""
_ROUNDS: Final = 4
"""Times that both halves of a texture are scaled; each time the mean moves, from which their tails are measured."""
_EDGE_MM: Final = 1.5
"""Depth below the mask's border from which a lesion's intensities are taken, if it is twice as thick."""
_AREAS: Final[tuple[tuple[Feature, float], ...]] = (
    ("presence of decreased density areas", -1.0),
    ("presence of increased density areas", 1.0),
)
Spacing = tuple[float, float, float]
Mask = Bool[np.ndarray, "u v w"]
Image = Float32[np.ndarray, "u v w"]
Share = Float32[np.ndarray, "u v w"]


def mask_to_synthesize(mask: Mask, spacing: Spacing) -> Mask:
    """The region to synthesize: the mask and ``EXTENSION_MM`` around it.

    Args:
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
    """
    return np.asarray(distance_transform_edt(~mask, sampling=spacing) <= EXTENSION_MM)


def lesion_intensities(image: Image, mask: Mask, spacing: Spacing, report: LesionReport) -> Image:
    """The intensities of the lesion in every voxel of the region, without noise.

    Inside they are those of the image, smoothed by ``BAND_MM``. Nearer than 1.5 mm to the border and beyond it they are
    those of the nearest voxel farther inside. The deviations from their mean are scaled to the texture that the report
    asks for: homogeneous, heterogeneous, with areas of increased or decreased density, or without; of mixed density it
    has both. Mean and spread are those of the voxels that are measured (``measurement.density``).
    Before areas are enlarged, their standard deviation is ``MOST_HETEROGENEOUS_HU`` at most.

    Args:
        image: the region as synthesized.
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
        report: of the lesion.
    """
    inside = _inside(mask, spacing)
    smooth = _smooth_within(image, inside, spacing)
    nearest = distance_transform_edt(~inside, sampling=spacing, return_distances=False, return_indices=True)
    extended, measured = smooth[tuple(nearest)], zones_of(mask, None, spacing, border_mm(spacing)).inside
    level = float(extended[measured].mean())
    texture = _textured(extended - level, measured, report)
    return np.asarray(level + texture, np.float32)


def _inside(mask: Mask, spacing: Spacing) -> Mask:
    depth = distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    return np.asarray(mask & (depth >= min(_EDGE_MM, depth.max() / 2)))


def _smooth_within(image: Image, zone: Mask, spacing: Spacing) -> Float64[np.ndarray, "u v w"]:
    """The image smoothed within a zone alone (normalized convolution); 0 where no voxel of it is near."""
    sigma = [BAND_MM / edge for edge in spacing]
    weight = gaussian_filter(zone.astype(np.float64), sigma)
    summed = gaussian_filter(np.where(zone, image, 0.0).astype(np.float64), sigma)
    return np.asarray(summed / np.maximum(weight, 1e-9))


def _textured(
    texture: Float64[np.ndarray, "u v w"], inside: Mask, report: LesionReport
) -> Float64[np.ndarray, "u v w"]:
    spread = max(float(texture[inside].std()), 1e-6)
    if typically_homogeneous(report):
        return texture * min(1.0, HOMOGENEOUS_HU / spread)
    texture = texture * min(1.0, MOST_HETEROGENEOUS_HU / spread)
    if report.density_variation == "heterogeneous":
        texture = texture * _gain(HETEROGENEOUS_HU, min(spread, MOST_HETEROGENEOUS_HU), _LARGEST_GAIN)
    return _with_areas(texture, inside, report)


def _with_areas(
    texture: Float64[np.ndarray, "u v w"], inside: Mask, report: LesionReport
) -> Float64[np.ndarray, "u v w"]:
    """The texture with its upper and lower half scaled to the tails that the report asks for; its mean is 0.

    To scale one half shifts the mean, from which both tails are measured: hence several rounds.
    """
    factors = {sign: 1.0 for _, sign in _AREAS}
    scaled = _halves_scaled(texture, inside, factors)
    for _ in range(_ROUNDS):
        for feature, sign in _AREAS:
            tail = max(float(np.percentile(sign * scaled[inside], 95)), 1e-6)
            asked = feature in report.features or report.density == "mixed-density"
            least, most, wanted = (1.0, _LARGEST_GAIN_OF_AREAS, AREAS_HU) if asked else (0.0, 1.0, EVEN_HU)
            factors[sign] = float(np.clip(factors[sign] * wanted / tail, least, most))
        scaled = _halves_scaled(texture, inside, factors)
    return scaled


def _halves_scaled(
    texture: Float64[np.ndarray, "u v w"], inside: Mask, factors: Mapping[float, float]
) -> Float64[np.ndarray, "u v w"]:
    """The texture with its positive and negative values scaled by the factors of 1 and -1; its mean is 0."""
    scaled = texture * np.where(texture > 0, factors[1.0], factors[-1.0])
    return np.asarray(scaled - scaled[inside].mean())


def _gain(wanted: float, found: float, most: float) -> float:
    return float(np.clip(wanted / max(found, 1e-6), 1.0, most))


def limited_beside(image: Image, before: Image, beside: Mask, contrast: float) -> Image:
    """The intensities, which change no voxel of the organ beside the lesion by more than the lesion's contrast.

    Along an ill-defined margin vessels then fade no more than the organ does: with a share below one half, no such
    voxel changes by half the contrast.

    Args:
        image: intensities of the lesion without noise, HU.
        before: the scan without it, HU.
        beside: voxels of the organ outside the mask.
        contrast: of the lesion with its organ, HU.
    """
    most = np.float32(abs(contrast))
    return np.where(beside, before + np.clip(image - before, -most, most), image)


def shift_to_ct_values(image: Image, mask: Mask, spacing: Spacing, wanted: tuple[float, float] | None) -> float:
    """The offset to add so that the lesion's mean lies in a range of CT values.

    The mean excludes the border, as the measurement does, unless the lesion is too small for that.

    Args:
        image: intensities of the lesion, HU.
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
        wanted: smallest and largest mean, HU, equal where a value is requested; None leaves the image as it is.
    """
    if wanted is None:
        return 0.0
    core = distance_transform_edt(mask, sampling=spacing) > CLEAR_VOXELS * min(spacing)
    inside = core if core.sum() >= FEWEST_CLEAR else mask
    mean = float(image[inside].mean())
    return float(np.clip(mean, *wanted)) - mean


def shift_for_partial_volumes(
    image: Image,
    before: Image,
    share: Share,
    mask: Mask,
    spacing: Spacing,
    wanted: tuple[float, float] | None,
    margin_mm: float = 0.0,
) -> float:
    """The offset to add to a small lesion of partial volumes alone, so that its blended mean is as wanted.

    A report's mean is measured on the image, where a stone of few voxels is mixed with the tissue around it: what it
    is made of has to be denser than that. A lesion with enough voxels clear of its border needs no such offset, and
    its inner voxels would be off by it.

    Args:
        image: intensities of the lesion, HU.
        before: the scan without it, HU.
        share: share of the lesion in each voxel (``edge.with_edge``).
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
        wanted: smallest and largest mean, HU, equal where a value is requested; None leaves the image as it is.
        margin_mm: width of its edge from 10 % to 90 %; voxels nearer to the border are partial volumes.
    """
    zones = zones_of(mask, None, spacing, border_mm(spacing, margin_mm))
    if wanted is None or zones.clear:
        return 0.0
    inside = share[zones.inside].astype(np.float64)
    mean = float((before[zones.inside] + inside * (image - before)[zones.inside]).mean())
    return (float(np.clip(mean, *wanted)) - mean) / float(inside.mean())
