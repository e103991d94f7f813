"""From what shapes a lesion to its voxels in the scan.

Axes: s s s the cube of LMNet; x y z voxels of the scan, canonical, in the region that the cube covers. A field is
positive inside the lesion.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.ndimage import label as components

from medsmith.insertion.box import Box
from medsmith.insertion.frame import Frame
from medsmith.methods.lesiondiffusion.config import MaskConfig

Field = Float32[np.ndarray, "s s s"]
LEVELS = tuple(np.round(np.linspace(-0.4, 0.8, 7), 1).tolist())
"""Levels that are tried: .3 to .9 on the released code's scale of 0 to 1."""
_STRETCH = (2 / 3, 3 / 2)
"""Limits of the factor by which a field is stretched to its box."""
_SMOOTHNESS, _STRENGTH = 0.18, 0.18
"""Of the elastic deformation: standard deviation of the filter over the cube's edge; of the shift over the radius."""


def ellipsoid(frame: Frame, box: Box, draw: np.random.Generator) -> Field:
    """A hand-made lesion: the ellipsoid of the box under an elastic deformation (Hu et al. 2023, DiffTumor's masks).

    Args:
        frame: the cube.
        box: bounds of the lesion in the scan.
        draw: source of the deformation.
    """
    radii = np.array(box.shape) * frame.scan.spacing / 2 / frame.spacing_mm
    centre = (frame.size - 1) / 2
    places = np.stack(np.meshgrid(*[np.arange(frame.size) - centre] * 3, indexing="ij"))
    scaled = places / radii[:, None, None, None]
    shift = np.stack([_smooth(draw, frame.size) for _ in range(3)])
    inside = np.linalg.norm(scaled, axis=0) <= 1
    shift -= shift[:, inside].mean(axis=1)[:, None, None, None]  # deformed where it is, not moved away
    distance = np.linalg.norm(scaled + _STRENGTH * shift, axis=0)
    return np.asarray(np.clip(1 - distance, -1, 1), np.float32)


def _smooth(draw: np.random.Generator, size: int) -> Float64[np.ndarray, "s s s"]:
    noise = gaussian_filter(draw.standard_normal((size, size, size)), _SMOOTHNESS * size, mode="wrap")
    return np.asarray(noise / noise.std())


def stretched(field: Field, frame: Frame, box: Box) -> Field:
    """The field moved and stretched along each axis so that its zero level just fills the box.

    A size that is asked for is kept to the voxel; factors are limited to 2/3 and 3/2.
    """
    largest = _largest(field > 0)
    if not largest.any():
        return field
    inside = np.where(largest, field, np.minimum(field, -0.1))
    matrix, offset = [], []
    for axis in range(3):
        low, high = _extent(inside.max(axis=tuple(other for other in range(3) if other != axis)))
        wanted = box.shape[axis] * frame.scan.spacing[axis] / frame.spacing_mm
        factor = float(np.clip((high - low) / wanted, 1 / _STRETCH[1], 1 / _STRETCH[0]))
        matrix.append(factor)
        offset.append((low + high) / 2 - factor * (frame.size - 1) / 2)
    moved: Field = affine_transform(inside, np.array(matrix), np.array(offset), order=1, mode="constant", cval=-1.0)
    return moved.astype(np.float32)


def _extent(profile: Float32[np.ndarray, "s"]) -> tuple[float, float]:
    """Where a profile crosses zero first and last, between voxel centres."""
    (hits,) = np.nonzero(profile > 0)
    first, last = int(hits[0]), int(hits[-1])
    low, high = float(first) - 0.5, float(last) + 0.5
    if first > 0:
        low = first - profile[first] / (profile[first] - profile[first - 1])
    if last < len(profile) - 1:
        high = last + profile[last] / (profile[last] - profile[last + 1])
    return float(low), float(high)


def levels_of(config: MaskConfig) -> tuple[float, ...]:
    """Thresholds of LMNet's field that are tried."""
    return LEVELS if config.threshold == "box" else (0.0,)


def voxels_of(
    field: Field,
    frame: Frame,
    box: Box,
    allowed: Bool[np.ndarray, "x y z"],
    levels: Sequence[float],
) -> Bool[np.ndarray, "x y z"]:
    """The lesion's voxels: the largest part above a level, within the allowed region.

    Of several levels the one whose volume is nearest to that of the ellipsoid in the box is taken (the released code
    compares with the volume of the box itself, which no ellipsoid has).

    Args:
        field: of the lesion.
        frame: the cube.
        box: bounds of the lesion in the scan.
        allowed: where lesion voxels may lie, in the cube's region of the scan.
        levels: thresholds to try.
    """
    given = frame.give(field)
    wanted = np.pi / 6 * np.prod(box.shape)
    masks = [_largest((given > level) & allowed) for level in levels]
    return min(masks, key=lambda mask: abs(float(mask.sum()) - wanted))


def _largest(mask: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    parts, count = components(mask)
    if count <= 1:
        return mask
    return np.asarray(parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1)
