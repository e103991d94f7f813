"""Writing an edited region back into its scan; voxels that it has no share in do not change.

Axes: x y z voxel axes of the scan along right, anterior, superior (canonical); u v w those of the region.
"""

from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from medsmith.formats.volume import Region


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
