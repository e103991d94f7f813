"""Noise matching: a synthetic lesion gets the noise level and texture of its scan.

Axes: u v w voxels of the region of the lesion's cube, canonical; Hounsfield units.
"""

import numpy as np
from jaxtyping import Bool, Float32
from scipy.fft import irfftn, rfftn
from scipy.ndimage import gaussian_filter
from scipy.stats import median_abs_deviation

from medsmith.insertion.write_back import Spacing, feather
from medsmith.measurement.density import border_mm, region_about, zones_of

_SIGMAS = 3.0
"""Residuals are clipped at this many standard deviations; larger ones are vessels and edges."""
_BAND_MM = 1.5
"""Standard deviation of the Gaussian high-pass that separates noise from anatomy and lesion texture."""
_LARGEST_TILE = 64
"""Largest edge of the noise tile in voxels; the tile is periodic, so repetition leaves no seam."""
_FEWEST = 50
"""Fewest voxels that a standard deviation is estimated from."""


def residual_noise(residual: Float32[np.ndarray, "u v w"]) -> Float32[np.ndarray, "u v w"]:
    """Noise of the scan that is lost by resampling to the cube.

    Args:
        residual: the scan minus the scan resampled to the cube and back.
    """
    limit = _SIGMAS * float(median_abs_deviation(residual, axis=None, scale="normal"))
    return np.asarray(np.clip(residual, -limit, limit), np.float32)


def missing_noise(
    image: Float32[np.ndarray, "u v w"],
    before: Float32[np.ndarray, "u v w"],
    mask: Bool[np.ndarray, "u v w"],
    spacing: Spacing,
    reach_mm: float,
    seed: int,
) -> Float32[np.ndarray, "u v w"] | float:
    """Noise to add so that the lesion has the noise level of the scan; it fades over the margin.

    Variances add, so the amplitude is the square root of the difference between the scan's and the synthetic variance.
    The scan's variance is the smaller of two estimates, around the lesion and in the tissue that it replaces, since
    structure inflates both. The noise has the power spectrum of the scan's noise, within and across slices.

    Args:
        image: with the synthetic lesion, HU.
        before: the scan, HU.
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
        reach_mm: how far outside the mask the image is synthetic.
        seed: of the noise.

    Returns:
        The noise to add; 0 if the lesion is as noisy as the scan or too small to estimate.
    """
    near = region_about(mask, spacing)
    zones = zones_of(mask[near], None, spacing, border_mm(spacing))
    fine = _high_pass(before[near], spacing)
    scan = [_spread(fine, zone) for zone in (zones.shell, zones.inside)]
    synthetic = _spread(_high_pass(image[near], spacing), zones.inside)
    noise = min((spread for spread in scan if spread is not None), default=0.0)
    if synthetic is None or noise <= synthetic:
        return 0.0
    added = feather(mask, spacing, reach_mm)
    added[near] *= np.float32(np.sqrt(noise**2 - synthetic**2)) * noise_like(fine, _SIGMAS * noise, seed)
    return added


def noise_like(residual: Float32[np.ndarray, "u v w"], limit: float, seed: int) -> Float32[np.ndarray, "u v w"]:
    """Gaussian noise of unit variance with the power spectrum of a scan's noise.

    Args:
        residual: the high-pass filtered scan.
        limit: the residual is clipped to it before the spectrum is computed.
        seed: of the noise.

    Returns:
        The noise; 0 everywhere if the central tile has none.
    """
    shape = [min(count, _LARGEST_TILE) for count in residual.shape]
    first = [(count - kept) // 2 for count, kept in zip(residual.shape, shape, strict=True)]
    tile = residual[tuple(slice(start, start + kept) for start, kept in zip(first, shape, strict=True))]
    amplitude = np.abs(rfftn(np.clip(tile, -limit, limit).astype(np.float64)))
    amplitude[0, 0, 0] = 0.0
    white = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)
    field = irfftn(rfftn(white) * amplitude, s=shape)
    padding = [(0, count - kept) for count, kept in zip(residual.shape, shape, strict=True)]
    return np.pad(field / (field.std() or 1.0), padding, mode="wrap").astype(np.float32)


def _high_pass(image: Float32[np.ndarray, "u v w"], spacing: Spacing) -> Float32[np.ndarray, "u v w"]:
    return np.asarray(image - gaussian_filter(image, [_BAND_MM / edge for edge in spacing]))


def _spread(fine: Float32[np.ndarray, "u v w"], zone: Bool[np.ndarray, "u v w"]) -> float | None:
    return float(median_abs_deviation(fine[zone], scale="normal")) if zone.sum() >= _FEWEST else None
