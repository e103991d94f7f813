"""Noise matching: a synthetic lesion gets the noise of the scan it is put into, or its smoothness gives it away.

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
"""Noise reaches up to here; what stands out further is vessels and edges, which the lesion hides."""
_BAND_MM = 1.5
"""Standard deviation of the Gaussian that noise is finer than: what is coarser is anatomy, or a lesion's texture."""
_LARGEST_TILE = 64
"""Voxels of the tile along an axis; it is periodic, so that tiles meet without a seam."""
_FEWEST = 50
"""Voxels that a spread is taken from at least."""


def residual_noise(residual: Float32[np.ndarray, "u v w"]) -> Float32[np.ndarray, "u v w"]:
    """What a scan has that its cube cannot show, as far as it is noise.

    Args:
        residual: the scan less what its cube gives back.
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
    """Noise to be added so that the lesion is as noisy as the scan about it; it fades over the margin.

    Variances add, so the amplitude is the root of what the synthetic variance lacks of the scan's: the smaller of that
    about the lesion and that of the tissue which it takes the place of, since structure adds to each. The noise has the
    power spectrum of the scan's own, so it looks as the reconstruction made it, along the slices and across them.

    Args:
        image: with the synthetic lesion, HU.
        before: the scan, HU.
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
        reach_mm: how far outside the mask the image is synthetic.
        seed: of the noise.

    Returns:
        What is to be added; 0 where the lesion is as noisy as the scan, or too small to tell.
    """
    near = region_about(mask, spacing)
    zones = zones_of(mask[near], None, spacing, border_mm(spacing))
    fine = _fine(before[near], spacing)
    scan = [_spread(fine, zone) for zone in (zones.around, zones.inside)]
    synthetic = _spread(_fine(image[near], spacing), zones.inside)
    noise = min((spread for spread in scan if spread is not None), default=0.0)
    if synthetic is None or noise <= synthetic:
        return 0.0
    added = feather(mask, spacing, reach_mm)
    added[near] *= np.float32(np.sqrt(noise**2 - synthetic**2)) * noise_like(fine, _SIGMAS * noise, seed)
    return added


def noise_like(residual: Float32[np.ndarray, "u v w"], limit: float, seed: int) -> Float32[np.ndarray, "u v w"]:
    """Gaussian noise of unit variance with the power spectrum of a scan's noise.

    Args:
        residual: the scan less what is coarser than noise.
        limit: what stands out further is cut before the spectrum is taken.
        seed: of the noise.

    Returns:
        The noise; 0 everywhere if the middle of the scan has none.
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


def _fine(image: Float32[np.ndarray, "u v w"], spacing: Spacing) -> Float32[np.ndarray, "u v w"]:
    return np.asarray(image - gaussian_filter(image, [_BAND_MM / edge for edge in spacing]))


def _spread(fine: Float32[np.ndarray, "u v w"], zone: Bool[np.ndarray, "u v w"]) -> float | None:
    return float(median_abs_deviation(fine[zone], scale="normal")) if zone.sum() >= _FEWEST else None
