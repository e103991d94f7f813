"""Lungs in a CT by their density, and which of them is the left one.

Axes: x y z voxel axes along right, anterior, superior.
"""

import numpy as np
from jaxtyping import Bool, Float32
from scipy.ndimage import binary_closing, binary_fill_holes, binary_opening, generate_binary_structure
from scipy.ndimage import label as components

Mask = Bool[np.ndarray, "x y z"]
Spacing = tuple[float, float, float]
LUNG_HU = -400.0
"""Below it and within the body: lung or gas."""
GAS_HU = -950.0
"""Median density below which a part is gas in a bowel or a wide airway, not lung."""
LEAST_LUNG_ML = 20.0
_CLOSING_MM = 6.0
"""Vessels and nodules up to about twice this width belong to the lung."""
_WHOLE_SIDE = 0.8
"""Share of all lung from which on a connected part is no single lung of a chest that has both."""
_CHEST = 0.5
"""Width of lung over width of body from which on both lungs must be there."""


def voxels_in(millilitres: float, spacing: Spacing) -> float:
    """Voxels that make up a volume."""
    return millilitres * 1000 / float(np.prod(spacing))


def find_lungs(hu: Float32[np.ndarray, "x y z"], body: Mask, spacing: Spacing) -> Mask:
    """Parts of the body that are less dense than tissue and denser than gas, with the vessels and nodules in them.

    Args:
        hu: Hounsfield units.
        body: voxels of the body and of all that it encloses.
        spacing: edges of a voxel, mm.
    """
    parts, count = components(body & (hu < LUNG_HU))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    lungs = np.zeros_like(body)
    for part in range(1, count + 1):
        if sizes[part] >= voxels_in(LEAST_LUNG_ML, spacing) and np.median(hu[parts == part]) > GAS_HU:
            lungs |= parts == part
    if not lungs.any():
        return lungs
    airways = binary_opening(lungs & (hu < GAS_HU), generate_binary_structure(3, 1))
    filled: Mask = binary_fill_holes(_closed(lungs, spacing)) & body & ~airways
    return filled


def _closed(mask: Mask, spacing: Spacing) -> Mask:
    reach = [max(1, round(_CLOSING_MM / edge)) for edge in spacing]
    ball = np.meshgrid(*[np.arange(-n, n + 1) * edge for n, edge in zip(reach, spacing, strict=True)], indexing="ij")
    structure = sum(place**2 for place in ball) <= (_CLOSING_MM * 1.01) ** 2
    # A lung that the scan cuts goes on beyond its faces.
    padded = np.pad(mask, [(n, n) for n in reach], mode="edge")
    closed: Mask = binary_closing(padded, structure)[tuple(slice(n, -n) for n in reach)]
    return closed


def split_lungs(lungs: Mask, body: Mask) -> tuple[Mask, Mask]:
    """The left and the right lung; a lung of which nobody can tell the side is in neither.

    Parts lie where their middle lies against the middle of the body; lungs that touch are cut there. Where the scan
    shows too little of the chest for two lungs, neither side is said.

    Returns:
        Masks of the left and of the right lung.
    """
    nothing = np.zeros_like(lungs)
    across = np.flatnonzero(lungs.any(axis=(1, 2)))
    width = np.flatnonzero(body.any(axis=(1, 2)))
    if not len(across) or np.ptp(across) < _CHEST * np.ptp(width):
        return nothing, nothing
    middle = float(width.mean())
    parts, count = components(lungs)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    right_half = np.arange(lungs.shape[0])[:, None, None] > middle
    right = nothing.copy()
    for part in range(1, count + 1):
        mask = parts == part
        if sizes[part] > _WHOLE_SIDE * lungs.sum():
            right |= mask & right_half
        elif np.flatnonzero(mask.any(axis=(1, 2))).mean() > middle:
            right |= mask
    return lungs & ~right, right
