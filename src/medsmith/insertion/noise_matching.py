"""Noise matching: a synthetic lesion gets the noise level and texture of its scan.

Axes: u v w voxels of the region of the lesion's cube, canonical; Hounsfield units.
"""

import numpy as np
from jaxtyping import Bool, Float32
from scipy.fft import irfftn, rfftn
from scipy.ndimage import gaussian_filter
from scipy.stats import median_abs_deviation

from medsmith.insertion.intensities import BAND_MM, Spacing
from medsmith.measurement.density import border_mm, region_about, zones_of

_SIGMAS = 3.0
"""Residuals are clipped at this many standard deviations; larger ones are vessels and edges."""
_AROUND_VOXELS, _TOGETHER = 2.0, 0.03
"""Structure: more than this share of the voxels around, weighted by a Gaussian of this width, is beyond the limit."""
_MOST_STRUCTURE = 0.8
"""Largest share of structure in a tile that noise can be estimated from."""
_LARGEST_TILE = 64
"""Largest edge of the noise tile in voxels; the tile is periodic, so repetition leaves no seam."""
_FEWEST = 50
"""Fewest voxels that a standard deviation is estimated from."""
_LEAST_SHARE = 1e-3
"""Of smaller shares the gain is that of this one: it has no bound, and nothing of them can be seen."""


def missing_noise(
    image: Float32[np.ndarray, "u v w"],
    before: Float32[np.ndarray, "u v w"],
    mask: Bool[np.ndarray, "u v w"],
    spacing: Spacing,
    seed: int,
) -> Float32[np.ndarray, "u v w"] | float:
    """Noise to add so that the lesion has the noise level of the scan.

    Variances add, so the amplitude is the square root of the difference between the scan's and the synthetic variance.
    The scan's variance is the smaller of two estimates, around the lesion and in the tissue that it replaces, since
    structure inflates both. The noise has the power spectrum of the scan's noise, within and across slices. Nothing of
    the tissue that is replaced is in it. The intensities of a lesion too small to estimate count as free of noise.

    Args:
        image: intensities of the lesion, HU.
        before: the scan, HU.
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
        seed: of the noise.

    Returns:
        The noise to add; 0 if the lesion is as noisy as the scan.
    """
    near = region_about(mask, spacing)
    zones = zones_of(mask[near], None, spacing, border_mm(spacing))
    fine = _high_pass(before[near], spacing)
    synthetic = _spread(_high_pass(image[near], spacing), zones.inside) or 0.0
    noise = _smallest_spread(fine, (zones.shell, zones.inside), 0.0)
    calm = ~_structure(fine, _SIGMAS * noise)
    noise = _smallest_spread(fine, (zones.shell & calm, zones.inside & calm), noise)
    if noise <= synthetic:
        return 0.0
    added = np.zeros(mask.shape, np.float32)
    added[near] = np.float32(np.sqrt(noise**2 - synthetic**2)) * noise_like(fine, _SIGMAS * noise, seed)
    return added


def noise_gain(share: Float32[np.ndarray, "u v w"]) -> Float32[np.ndarray, "u v w"]:
    """Factor on the noise of a lesion, so that its border is as noisy as the scan.

    Where the noise of the lesion, with share s and gain k, and that of the scan are mixed, their variances add to
    (k s)^2 + (1 - s)^2, which is 1 with k^2 = (2 - s) / s; with k = 1 it falls to 1/2.

    Args:
        share: share of the lesion in each voxel.
    """
    return np.asarray(np.sqrt((2.0 - share) / np.maximum(share, _LEAST_SHARE)), np.float32)


def noise_like(residual: Float32[np.ndarray, "u v w"], limit: float, seed: int) -> Float32[np.ndarray, "u v w"]:
    """Gaussian noise of unit variance with the power spectrum of a scan's noise.

    Args:
        residual: the high-pass filtered scan.
        limit: where it is exceeded there is structure, which is left out of the spectrum.
        seed: of the noise.

    Returns:
        The noise; 0 everywhere if the central tile has none.
    """
    shape = [min(count, _LARGEST_TILE) for count in residual.shape]
    first = [(count - kept) // 2 for count, kept in zip(residual.shape, shape, strict=True)]
    tile = residual[tuple(slice(start, start + kept) for start, kept in zip(first, shape, strict=True))]
    amplitude = np.abs(rfftn(_without_structure(tile, limit).astype(np.float64)))
    amplitude[0, 0, 0] = 0.0
    white = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)
    field = irfftn(rfftn(white) * amplitude, s=shape)
    padding = [(0, count - kept) for count, kept in zip(residual.shape, shape, strict=True)]
    return np.pad(field / (field.std() or 1.0), padding, mode="wrap").astype(np.float32)


def _structure(fine: Float32[np.ndarray, "a b c"], limit: float) -> Bool[np.ndarray, "a b c"]:
    """Around voxels that exceed the limit together; single voxels of noise exceed it as well."""
    return np.asarray(gaussian_filter((np.abs(fine) > limit).astype(np.float32), _AROUND_VOXELS) > _TOGETHER)


def _without_structure(tile: Float32[np.ndarray, "a b c"], limit: float) -> Float32[np.ndarray, "a b c"]:
    """The noise, 0 where there is structure: edges would stripe the noise that is made of them.

    Elsewhere it is clipped, as it is everywhere where nearly all is structure.
    """
    beyond = _structure(tile, limit)
    clipped = np.clip(tile, -limit, limit)
    return clipped if beyond.mean() > _MOST_STRUCTURE else np.where(beyond, np.float32(0), clipped)


def _high_pass(image: Float32[np.ndarray, "u v w"], spacing: Spacing) -> Float32[np.ndarray, "u v w"]:
    return np.asarray(image - gaussian_filter(image, [BAND_MM / edge for edge in spacing]))


def _spread(fine: Float32[np.ndarray, "u v w"], zone: Bool[np.ndarray, "u v w"]) -> float | None:
    return float(median_abs_deviation(fine[zone], scale="normal")) if zone.sum() >= _FEWEST else None


def _smallest_spread(
    fine: Float32[np.ndarray, "u v w"], zones: tuple[Bool[np.ndarray, "u v w"], ...], otherwise: float
) -> float:
    found = [_spread(fine, zone) for zone in zones]
    return min((spread for spread in found if spread is not None), default=otherwise)
