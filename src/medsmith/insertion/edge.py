"""The edge of a lesion: the share of the lesion in each voxel, 1/2 on the border of its mask.

The mask holds the voxels with a share of at least one half, and no share lies outside the voxels where the lesion may
lie. Mask and image can therefore not disagree, whatever the width of the edge.

Axes: u v w voxels of a region of the scan, canonical.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.ndimage import convolve1d, distance_transform_edt
from scipy.special import ive

from medsmith.insertion.shape import HALF
from medsmith.measurement.density import GAS_HU
from medsmith.reports.vocabulary import SHARP_SURFACES, Density, Surface

SOFT_EDGE_MM = 6.0
"""Width of an ill-defined edge from share 0 to share 1; from 10 % to 90 % it is 3.6 mm."""
LEAST_SOFT_EDGE_MM = 5.0
"""Width of an ill-defined edge in a lesion that is thinner; a narrower one measures as sharp on voxels of 1 to 2 mm."""
SCANNER_MM = 0.45
"""Standard deviation of the blur of a scanner; 50 % of the modulation is left at 4.2 line pairs per cm, as with kernels
for soft tissue. No edge of a scan is sharper."""
_LEAST_SHARE = 0.005
"""A blurred edge ends here; what lies beyond is far below the noise of any scan."""
_LEAST_MM = 0.01
"""An edge narrower than this is sharp."""
_GROUND_GLASS: Density = "low-density ground-glass opacity"
Spacing = tuple[float, float, float]
Share = Float32[np.ndarray, "u v w"]
Mask = Bool[np.ndarray, "u v w"]


def edge_width_mm(surface: Surface | None, density: Density | None) -> float:
    """Width of the edge that a report describes, mm; 0 for a sharp one.

    Where the report names no margin, ground glass is ill-defined and every other lesion sharp.
    """
    soft = surface not in SHARP_SURFACES if surface is not None else density == _GROUND_GLASS
    return SOFT_EDGE_MM if soft else 0.0


def margin_mm(width_mm: float) -> float:
    """Width from 10 % to 90 %, as margins are measured, of an edge 3t^2 - 2t^3: from t = .196 to t = .804."""
    return 0.608 * width_mm


def with_edge(covered: Share, allowed: Mask, spacing: Spacing, width_mm: float) -> Share:
    """The share of the lesion in each voxel, with an edge of a given width about the border of the mask.

    A sharp edge keeps the share of the voxel that the lesion covers. A wider one is 3t^2 - 2t^3, where t falls linearly
    with the signed distance to the border, from 1 inside to 0 outside. It is no wider than the lesion is thick, so that
    the share reaches 1, but in lesions thinner than ``LEAST_SOFT_EDGE_MM``: their middle is a mixture. Where the mask
    ends at the border of the allowed voxels the lesion does not fade.

    Args:
        covered: share of each voxel that the lesion covers (``shape.covered_share``).
        allowed: voxels where the lesion may lie.
        spacing: edges of a voxel, mm.
        width_mm: width of the edge; 0, or less than .01 mm, for a sharp one.
    """
    mask = covered >= HALF
    outside = allowed & ~mask
    if width_mm < _LEAST_MM or not mask.any() or not outside.any():
        return covered
    depth = np.where(mask, distance_to_border(outside, spacing), 0.0)
    width = min(width_mm, max(2 * float(depth.max()), LEAST_SOFT_EDGE_MM))
    signed = np.where(mask, depth, -distance_to_border(mask, spacing))
    t = np.clip(HALF + signed / width, 0.0, 1.0)
    return np.where(allowed, t**2 * (3.0 - 2.0 * t), 0.0).astype(np.float32)


def blurred_by_scanner(covered: Share, allowed: Mask, spacing: Spacing) -> Share:
    """The share of a lesion with a sharp edge, as a scanner shows it: blurred by ``SCANNER_MM``.

    The kernel is the discrete analogue of the Gaussian (Lindeberg 1990), whose variance is exact on coarse voxels as
    well. Where the mask ends at the border of the allowed voxels the lesion does not fade.

    Args:
        covered: share of each voxel that the lesion covers (``shape.covered_share``).
        allowed: voxels where the lesion may lie.
        spacing: edges of a voxel, mm.
    """
    blurred, weight = np.where(allowed, covered, 0.0).astype(np.float64), allowed.astype(np.float64)
    for axis, edge in enumerate(spacing):
        kernel = _discrete_gaussian((SCANNER_MM / edge) ** 2)
        blurred, weight = (convolve1d(each, kernel, axis, mode="nearest") for each in (blurred, weight))
    share = blurred / np.maximum(weight, np.finfo(np.float64).tiny)
    mask = covered >= HALF
    kept = np.where(mask, np.maximum(share, HALF), np.minimum(share, np.nextafter(np.float32(HALF), np.float32(0))))
    return np.where(allowed & (kept >= _LEAST_SHARE), kept, 0.0).astype(np.float32)


def _discrete_gaussian(variance: float) -> Float64[np.ndarray, " taps"]:
    """Its taps e^-v I_n(v) (Lindeberg 1990, equation 35); their sum is 1."""
    reach = int(np.ceil(4.0 * np.sqrt(variance))) + 2
    taps = ive(np.abs(np.arange(-reach, reach + 1)), variance)
    return np.asarray(taps / taps.sum(), np.float64)


def sharp_beside_gas(share: Share, sharp: Share, before: Float32[np.ndarray, "u v w"]) -> Share:
    """The share of a lesion in a hollow organ, which fades into tissue but not into the gas of the lumen.

    A soft edge of tissue against gas would be hundreds of HU deep: a lesion with holes.

    Args:
        share: with its edge (``with_edge``).
        sharp: with a sharp edge (``blurred_by_scanner``).
        before: the scan without the lesion, HU.
    """
    return np.where(before < GAS_HU, sharp, share)


def distance_to_border(others: Mask, spacing: Spacing) -> Float64[np.ndarray, "u v w"]:
    """Distance in mm of each voxel's center to the surface of other voxels; 0 inside them.

    It is the distance to the nearest of their centers, less the half of that voxel that the line to it crosses; exact
    for planes along the voxels' faces, on anisotropic grids as well.

    Args:
        others: at least one voxel.
        spacing: edges of a voxel, mm.
    """
    distance, nearest = distance_transform_edt(~others, sampling=spacing, return_indices=True)
    steps = np.abs(nearest - np.indices(others.shape)).max(axis=0)
    crossed = np.where(steps > 0, 1.0 - 0.5 / np.maximum(steps, 1), 0.0)
    return np.asarray(distance * crossed, np.float64)
