"""Context classes by thresholds: body, lung and bone, where the labels of a cohort leave them out.

A guidance image must look like a low-pass of a scan, so the regions around the labeled organs need gray values as well.
Hounsfield units have fixed thresholds. For other gray values the threshold between air and tissue lies halfway between
the median gray values of the two classes of Otsu (1979); bone is found in Hounsfield units alone.

Axes: x right, y front, one slice.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float32
from scipy.ndimage import binary_fill_holes, find_objects
from scipy.ndimage import label as components
from skimage.filters import threshold_multiotsu
from skimage.measure import regionprops
from skimage.morphology import isotropic_closing, isotropic_opening

Mask = Bool[np.ndarray, "x y"]
Gray = Float32[np.ndarray, "x y"]

BODY, LUNG, BONE = "body", "lung", "bone"
CONTEXT = (BODY, LUNG, BONE)
"""All context classes, in the order in which they are painted."""
AIR_HU = -400.0
"""Below it is air or lung."""
BONE_HU = 200.0
_HU_BELOW = -200.0
"""Images with lower values are in Hounsfield units."""
_DETACHING = 0.01
"""Of the shorter edge: parts of the table and clothes up to twice this thickness are removed from the body."""
_SMOOTHING = 0.012
"""Of the shorter edge: vessels up to twice this thickness belong to the lung."""
_BODY_SHARE = (0.05, 0.9)
_BORDER_SHARE = 0.5
_LEAST_SOLIDITY = 0.85
_DARKEST_OUTSIDE = 0.1
"""Measured: solidity .97 to .99 and gray outside 0 to .01 in chest CT; .36 to .97 and .03 to .73 in ultrasound."""
_LOWEST_HU = -1000.0
_LEAST_LUNG = 0.02


def is_hounsfield(image: Gray) -> bool:
    """Whether gray values are Hounsfield units, by air: no other common scale is that far below zero."""
    return bool(image.min() < _HU_BELOW)


def air_threshold(image: Gray) -> float | None:
    """The gray value between air and tissue; None if the image is constant."""
    if is_hounsfield(image):
        return AIR_HU
    if image.min() == image.max():
        return None
    middle = threshold_multiotsu(image, classes=2)[0]
    dark, bright = image[image <= middle], image[image > middle]
    if not (dark.size and bright.size):
        return None
    return float(np.median(dark) + np.median(bright)) / 2


def find_context(image: Gray) -> Mapping[str, Mask]:
    """The context classes of a slice that shows a body surrounded by air; without one, none.

    The body is the largest region of tissue without thin attached parts, with everything it encloses. It must cover 5
    to 90 % of the field of view and at most half of its border, fill 85 % of its convex hull, and be surrounded by gray
    values whose median is at most a tenth of its own, from the lowest value. The lung is the air inside it.

    Args:
        image: one channel.

    Returns:
        Name -> mask, of the classes that were found.
    """
    threshold = air_threshold(image)
    if threshold is None:
        return MappingProxyType({})
    body = _find_body(image > threshold)
    if body is None or not _stands_out(np.maximum(image, _LOWEST_HU) if is_hounsfield(image) else image, body):
        return MappingProxyType({})
    found = {BODY: body, LUNG: _find_lung(body & (image <= threshold), body)}
    if is_hounsfield(image):
        found[BONE] = body & isotropic_opening(image > BONE_HU, 1)
    return MappingProxyType({name: mask for name, mask in found.items() if mask.any()})


def _find_body(tissue: Mask) -> Mask | None:
    thin = max(1.0, _DETACHING * min(tissue.shape))
    core = _largest(isotropic_opening(tissue, thin))
    if not core.any():
        return None
    body = np.zeros_like(core)
    box = find_objects(core.astype(np.uint8))[0]
    body[box] = _smoothed(binary_fill_holes(core[box]), 2 * thin)
    rim = np.concatenate([body[0], body[-1], body[:, 0], body[:, -1]])
    low, high = _BODY_SHARE
    return body if low <= body.mean() <= high and rim.mean() <= _BORDER_SHARE else None


def _smoothed(core: Mask, radius: float) -> Mask:
    """The region without notches and thin parts, with what it encloses."""
    width = int(2 * radius) + 1
    closed = binary_fill_holes(isotropic_closing(np.pad(core, width), radius))
    return _largest(isotropic_opening(closed, radius))[width:-width, width:-width]


def _stands_out(image: Gray, body: Mask) -> bool:
    outside, inside = (float(np.median(image[mask]) - image.min()) for mask in (~body, body))
    solidity = regionprops(body.astype(np.uint8))[0].solidity
    return outside <= _DARKEST_OUTSIDE * inside and bool(solidity >= _LEAST_SOLIDITY)


def _find_lung(air: Mask, body: Mask) -> Mask:
    radius = max(1.0, _SMOOTHING * min(air.shape))
    lung = np.zeros_like(air)
    box = find_objects(body.astype(np.uint8))[0]
    lung[box] = isotropic_opening(isotropic_closing(air[box], radius), radius) & body[box]
    enough = lung.sum() >= _LEAST_LUNG * body.sum()
    return lung if enough else np.zeros_like(lung)


def _largest(mask: Mask) -> Mask:
    parts, count = components(mask)
    if not count:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())
