"""Writing an edited region back into its scan: blended within a margin; voxels outside it do not change.

Axes: x y z voxel axes along right, anterior, superior (canonical); u v w those of the region.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Shaped
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter

from medsmith.formats.volume import Region
from medsmith.measurement.density import CLEAR_VOXELS, FEWEST_CLEAR
from medsmith.reports.vocabulary import SHARP_SURFACES, Surface

BLEND_MM = 2.0
"""Width of the blend outside the synthetic region; voxels beyond it do not change."""
SHARP_EXTENSION_MM = 2.5
"""Distance by which a sharp lesion is synthesized beyond its mask, which covers the edge blur of the networks."""
EDGE_VOXELS = 0.42
"""Standard deviation, in voxels, of the Gaussian that softens the mask of a sharp lesion to a realistic edge."""
Spacing = tuple[float, float, float]


def feather(mask: Bool[np.ndarray, "u v w"], spacing: Spacing, margin_mm: float) -> Float32[np.ndarray, "u v w"]:
    """The share of the edited image in each voxel of a region.

    1 in the lesion, 0 at distances of ``margin_mm`` or more, and 3t^2 - 2t^3 in between, where t falls linearly from
    1 to 0 with the distance.

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


def mask_to_synthesize(
    mask: Bool[np.ndarray, "u v w"], spacing: Spacing, surface: Surface | None
) -> Bool[np.ndarray, "u v w"]:
    """The region to synthesize: the mask, or its dilation for a sharp lesion (``lesion_weight`` cuts it back).

    Args:
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
        surface: of the report.
    """
    if surface in SHARP_SURFACES:
        return np.asarray(distance_transform_edt(~mask, sampling=spacing) <= SHARP_EXTENSION_MM)
    return mask


def lesion_weight(
    mask: Bool[np.ndarray, "u v w"], spacing: Spacing, surface: Surface | None, reach_mm: float
) -> Float32[np.ndarray, "u v w"]:
    """The share of the synthetic image in each voxel; 0 outside a sharp surface except for the voxel at its edge.

    Args:
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
        surface: of the report.
        reach_mm: how far outside the mask the image is synthetic.
    """
    if surface in SHARP_SURFACES:
        return gaussian_filter(
            mask.astype(np.float32), EDGE_VOXELS, truncate=2.0
        )  # non-zero up to one voxel outside the mask
    return feather(mask | (feather(mask, spacing, reach_mm) > 0), spacing, BLEND_MM)


def shift_to_ct_values(
    image: Float32[np.ndarray, "u v w"],
    mask: Bool[np.ndarray, "u v w"],
    spacing: Spacing,
    wanted: tuple[float, float] | None,
    reach_mm: float,
) -> Float32[np.ndarray, "u v w"] | float:
    """The offset to add so that the lesion's mean lies in a range of CT values; it fades over the margin.

    The mean excludes the border, as the measurement does, unless the lesion is too small for that.

    Args:
        image: with the synthetic lesion, HU.
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
        wanted: smallest and largest mean, HU, equal where a value is requested; None leaves the image as it is.
        reach_mm: how far outside the mask the image is synthetic.
    """
    if wanted is None:
        return 0.0
    core = distance_transform_edt(mask, sampling=spacing) > CLEAR_VOXELS * min(spacing)
    inside = core if core.sum() >= FEWEST_CLEAR else mask
    mean = float(image[inside].mean())
    return feather(mask, spacing, reach_mm) * np.float32(np.clip(mean, *wanted) - mean)


def blend(
    view: Shaped[np.ndarray, "x y z"],
    region: Region,
    values: Float32[np.ndarray, "u v w"],
    weight: Float32[np.ndarray, "u v w"],
    stored: np.dtype[Any] | None = None,
) -> None:
    """Writes an edited region into a scan, in place.

    Voxels of weight 0 are not written. The others are clipped to the range of ``stored`` and rounded if that is an
    integer type, so that writing the scan to disk is lossless.

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
