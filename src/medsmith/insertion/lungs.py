"""Lung segmentation in CT by density, and separation into left and right.

Axes: x y z voxel axes along right, anterior, superior.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.ndimage import binary_closing, binary_dilation, binary_fill_holes, binary_opening, generate_binary_structure
from scipy.ndimage import label as components

Mask = Bool[np.ndarray, "x y z"]
Spacing = tuple[float, float, float]
LUNG_HU = -400.0
"""Voxels of the body below it are lung or gas."""
AERATED_HU = (-900.0, -500.0)
LUNG_SHARE = 0.55
"""A component is lung if at least this share of it lies within ``AERATED_HU``: .79 in the lungs of RIDER, at most .45
in air beside the body with streaks, clothes and couch (sarcoma-ct), .18 in a bowel."""
AIRWAY_HU = -950.0
_AIRWAY_WALL = 2
"""Voxels by which wide airways are dilated to include their walls."""
LEAST_LUNG_ML = 20.0
_CLOSING_MM = 6.0
"""Vessels and nodules up to about twice this width belong to the lung."""
_BOTH = 0.8
"""A component with at least this share of all lung voxels is both lungs."""
_WAIST = 0.5
_LEAST_WIDTH = 4


def voxels_in(milliliters: float, spacing: Spacing) -> float:
    """Number of voxels in a volume."""
    return milliliters * 1000 / float(np.prod(spacing))


def aerated(hu: Float32[np.ndarray, "n"]) -> bool:
    """Whether the densities of a component are those of lung rather than air."""
    return bool(((hu > AERATED_HU[0]) & (hu < AERATED_HU[1])).mean() >= LUNG_SHARE)


def find_lungs(hu: Float32[np.ndarray, "x y z"], body: Mask, spacing: Spacing) -> Mask:
    """Components of the body with the density of lung, including vessels and nodules, without wide airways.

    Args:
        hu: Hounsfield units.
        body: voxels of the body and everything it encloses.
        spacing: edges of a voxel, mm.
    """
    parts, count = components(body & (hu < LUNG_HU))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    lungs = np.zeros_like(body)
    for part in range(1, count + 1):
        if sizes[part] >= voxels_in(LEAST_LUNG_ML, spacing) and aerated(hu[parts == part]):
            lungs |= parts == part
    if not lungs.any():
        return lungs
    wide = binary_opening(lungs & (hu < AIRWAY_HU), generate_binary_structure(3, 1))
    airways = binary_dilation(wide, iterations=_AIRWAY_WALL)
    filled: Mask = binary_fill_holes(_closed(lungs, spacing)) & body & ~airways
    return filled


def _closed(mask: Mask, spacing: Spacing) -> Mask:
    reach = [max(1, round(_CLOSING_MM / edge)) for edge in spacing]
    ball = np.meshgrid(*[np.arange(-n, n + 1) * edge for n, edge in zip(reach, spacing, strict=True)], indexing="ij")
    structure = sum(place**2 for place in ball) <= (_CLOSING_MM * 1.01) ** 2
    # Lungs are cut off by the faces of the scan.
    padded = np.pad(mask, [(n, n) for n in reach], mode="edge")
    closed: Mask = binary_closing(padded, structure)[tuple(slice(n, -n) for n in reach)]
    return closed


def split_lungs(lungs: Mask) -> tuple[Mask, Mask]:
    """The left and the right lung; both masks are empty if the scan does not show both.

    The scan shows both if the lung area per sagittal plane has a minimum between two peaks, the mediastinum. Components
    are assigned by the side of their centroid; touching lungs are cut at the minimum.

    Returns:
        Masks of the left and of the right lung.
    """
    nothing = np.zeros_like(lungs)
    waist = _waist(lungs.sum(axis=(1, 2)).astype(np.float64))
    if waist is None:
        return nothing, nothing
    parts, count = components(lungs)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    right_half = np.arange(lungs.shape[0])[:, None, None] > waist
    right = nothing.copy()
    for part in range(1, count + 1):
        mask = parts == part
        if sizes[part] > _BOTH * lungs.sum():
            right |= mask & right_half
        elif np.average(np.arange(len(mask)), weights=mask.sum(axis=(1, 2))) > waist:
            right |= mask
    return lungs & ~right, right


def _waist(profile: Float64[np.ndarray, "x"]) -> float | None:
    """The position of the minimum between the two peaks, if it is at most half of the smaller peak."""
    there = np.flatnonzero(profile)
    if len(there) < _LEAST_WIDTH:
        return None
    middle = int(there.mean())
    peaks = int(profile[:middle].argmax()), middle + int(profile[middle:].argmax())
    between = profile[peaks[0] : peaks[1] + 1]
    if between.min() > _WAIST * min(profile[peaks[0]], profile[peaks[1]]):
        return None
    return peaks[0] + float(np.flatnonzero(between == between.min()).mean())
