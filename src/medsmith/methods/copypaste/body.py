"""The body in an image, where no label says where structures may lie.

Axes: c channels, x y z voxel axes along right, anterior, superior (canonical).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from medsmith.cases.hounsfield import is_ct
from medsmith.insertion.coarse_map import BODY_HU
from medsmith.insertion.shape import largest_component

_DARKEST = 0.06
"""Gray values of the body in other images, as a share of the range from the lowest value to the 99th percentile."""
_SMOOTHING = 1.5
"""Standard deviation of the Gaussian before the threshold, voxels in the plane; single dark voxels are of the body."""


def body_of(image: Float32[np.ndarray, "c x y z"], channel_names: Sequence[str]) -> Bool[np.ndarray, "x y z"]:
    """The largest region brighter than air, with what it encloses in each slice.

    In CT, air is below -300 HU; else it is the darkest 6 % of the range of gray values. The first channel decides.

    Args:
        image: in stored units.
        channel_names: of the image.
    """
    gray = image[0]
    smooth = ndimage.gaussian_filter(gray, (_SMOOTHING, _SMOOTHING, 0))
    if is_ct(channel_names[0]):
        threshold = BODY_HU
    else:
        low = float(gray.min())
        threshold = low + _DARKEST * (float(np.percentile(gray, 99)) - low)
    largest = largest_component(smooth > threshold)
    filled = np.stack([ndimage.binary_fill_holes(largest[..., z]) for z in range(largest.shape[2])], axis=-1)
    return np.asarray(filled, bool)
