"""An edited region back into its scan: blended inside a margin, and outside it nothing changes.

Axes: x y z voxel axes along right, anterior, superior (canonical); u v w those of the region.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Shaped
from scipy.ndimage import distance_transform_edt, find_objects

from medsmith.formats.volume import Region

Spacing = tuple[float, float, float]


def feather(mask: Bool[np.ndarray, "u v w"], spacing: Spacing, margin_mm: float) -> Float32[np.ndarray, "u v w"]:
    """The share of the edited image in each voxel of a region.

    1 in the lesion, 0 from ``margin_mm`` on, and between the two the cubic 3t^2 - 2t^3 of the distance to the nearest
    voxel of the lesion, so that the blend has no visible edge.

    Args:
        mask: voxels of the lesion.
        spacing: edges of a voxel, mm.
        margin_mm: width of the blend; 0 blends nothing.
    """
    weight = np.zeros(mask.shape, dtype=np.float32)
    bounds = find_objects(mask.astype(np.uint8))
    if not bounds:
        return weight
    near = tuple(
        slice(max(part.start - int(margin_mm / edge) - 1, 0), part.stop + int(margin_mm / edge) + 1)
        for part, edge in zip(bounds[0], spacing, strict=True)
    )
    inside = mask[near]
    distance = distance_transform_edt(~inside, sampling=spacing)
    nearness = 1.0 - np.minimum(distance, margin_mm) / margin_mm if margin_mm > 0 else inside.astype(np.float64)
    weight[near] = nearness**2 * (3.0 - 2.0 * nearness)
    return weight


def blend(
    view: Shaped[np.ndarray, "x y z"],
    region: Region,
    values: Float32[np.ndarray, "u v w"],
    weight: Float32[np.ndarray, "u v w"],
    stored: np.dtype[Any] | None = None,
) -> None:
    """Writes an edited region into a scan, in place.

    Voxels of weight 0 are not written. The others are clipped to the range of ``stored`` and, where that holds whole
    numbers, rounded, so that writing the scan to disk changes nothing more.

    Args:
        view: the scan, canonical; a view of the array that is edited.
        region: voxels of the scan that ``values`` are for.
        values: the edited image, in the units of the scan.
        weight: share of ``values`` in each voxel, 0 to 1.
        stored: dtype of the scan on disk; None takes that of ``view``.
    """
    dtype = stored or view.dtype
    part = view[region]
    touched = weight > 0
    share = weight[touched].astype(np.float64)
    mixed = (1.0 - share) * part[touched] + share * values[touched]
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    clipped = np.clip(mixed, float(limits.min), float(limits.max))
    part[touched] = (np.rint(clipped) if dtype.kind in "iu" else clipped).astype(view.dtype)
