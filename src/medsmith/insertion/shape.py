"""The shape of a lesion: a field on its cube, fitted to its box, and the share of each voxel that it covers.

Axes: s s s the cube; x y z voxels of the scan, canonical, in the region that the cube covers. A field is
positive inside the lesion.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.ndimage import (
    affine_transform,
    binary_dilation,
    distance_transform_edt,
    gaussian_filter,
    generate_binary_structure,
    label,
)

from medsmith.insertion.box import Box
from medsmith.insertion.frame import Frame

Field = Float32[np.ndarray, "s s s"]
Beyond = Float64[np.ndarray, "axes sides"]
HALF = 0.5
"""Smallest share of a voxel that makes it a voxel of the lesion's mask."""
BEYOND_VOXELS = 0.4
"""Most of a voxel by which a lesion goes beyond each face of its box: no lesion of a patient ends at faces of voxels.
What is covered there by less than one half is not of the mask, which keeps the size of the box."""
_STRETCH = (2 / 3, 3 / 2)
"""Limits of the factor by which a field is stretched to its box."""
_SMOOTHNESS, _STRENGTH = 0.18, 0.18
"""Elastic deformation: standard deviation of the filter over the cube's edge; size of the shift over the radius."""


def deformed_ellipsoid(frame: Frame, box: Box, rng: np.random.Generator) -> Field:
    """The ellipsoid of the box under an elastic deformation (Hu et al. 2023, whose masks DiffTumor uses).

    Args:
        frame: the cube.
        box: bounds of the lesion in the scan.
        rng: source of the deformation.
    """
    radii = np.array(box.shape) * frame.scan.spacing / 2 / frame.spacing_mm
    center = (frame.size - 1) / 2
    places = np.stack(np.meshgrid(*[np.arange(frame.size) - center] * 3, indexing="ij"))
    scaled = places / radii[:, None, None, None]
    shift = np.stack([_smooth_noise(rng, frame.size) for _ in range(3)])
    inside = np.linalg.norm(scaled, axis=0) <= 1
    shift -= shift[:, inside].mean(axis=1)[:, None, None, None]  # removes the mean translation
    distance = np.linalg.norm(scaled + _STRENGTH * shift, axis=0)
    return np.asarray(np.clip(1 - distance, -1, 1), np.float32)


def _smooth_noise(rng: np.random.Generator, size: int) -> Float64[np.ndarray, "s s s"]:
    noise = gaussian_filter(rng.standard_normal((size, size, size)), _SMOOTHNESS * size, mode="wrap")
    return np.asarray(noise / noise.std())


def beyond_box(rng: np.random.Generator) -> Beyond:
    """How far a lesion goes beyond the faces of its box: 0 to ``BEYOND_VOXELS`` below and above along each axis."""
    return np.asarray(rng.uniform(0.0, BEYOND_VOXELS, (3, 2)))


def stretch_to_box(field: Field, frame: Frame, box: Box, beyond: Beyond | None = None) -> Field:
    """The field translated and scaled along each axis so that its zero level fills the box.

    The requested size is met to the voxel; factors are limited to 2/3 and 3/2.

    Args:
        field: of the lesion, at any scale.
        frame: the cube.
        box: bounds of the lesion in the scan.
        beyond: how far it goes beyond the faces of the box (``beyond_box``); None ends it there.
    """
    below, above = np.zeros((2, 3)) if beyond is None else beyond.T
    largest = largest_component(field > 0)
    if not largest.any():
        return field
    inside = np.where(largest, field, np.minimum(field, -0.1))
    scale, offset = [], []
    for axis in range(3):
        low, high = _extent(inside.max(axis=tuple(other for other in range(3) if other != axis)))
        step = frame.scan.spacing[axis] / frame.spacing_mm
        wanted = (box.shape[axis] + below[axis] + above[axis]) * step
        factor = float(np.clip((high - low) / wanted, 1 / _STRETCH[1], 1 / _STRETCH[0]))
        scale.append(factor)
        middle = (frame.size - 1) / 2 + (above[axis] - below[axis]) / 2 * step
        offset.append((low + high) / 2 - factor * middle)
    moved: Field = affine_transform(inside, np.array(scale), np.array(offset), order=1, mode="constant", cval=-1.0)
    return moved.astype(np.float32)


def _extent(profile: Float32[np.ndarray, "s"]) -> tuple[float, float]:
    """First and last zero crossing of a profile, interpolated between voxel centers."""
    (hits,) = np.nonzero(profile > 0)
    first, last = int(hits[0]), int(hits[-1])
    low, high = float(first) - 0.5, float(last) + 0.5
    if first > 0:
        low = first - profile[first] / (profile[first] - profile[first - 1])
    if last < len(profile) - 1:
        high = last + profile[last] / (profile[last] - profile[last + 1])
    return float(low), float(high)


def fitted_share(
    field: Field,
    frame: Frame,
    box: Box,
    allowed: Bool[np.ndarray, "x y z"],
    levels: Sequence[float],
    beyond: Beyond | None = None,
) -> Float32[np.ndarray, "x y z"]:
    """The share of each voxel that a field's lesion covers, of the box's size and with about its ellipsoid's volume.

    Args:
        field: of the lesion, at any scale.
        frame: the cube.
        box: bounds of the lesion in the scan.
        allowed: voxels where the lesion may lie, in the cube's region of the scan; the share is 0 elsewhere.
        levels: thresholds to try.
        beyond: how far it goes beyond the faces of the box (``beyond_box``); None ends it there.
    """
    stretched = stretch_to_box(field, frame, box)
    level = level_by_volume(stretched, frame, box, allowed, levels)
    # A level other than 0 moves the border, so that the size would be missed by as much.
    return covered_share(stretch_to_box(stretched - np.float32(level), frame, box, beyond), frame, allowed)


def level_by_volume(
    field: Field, frame: Frame, box: Box, allowed: Bool[np.ndarray, "x y z"], levels: Sequence[float]
) -> float:
    """The level above which the largest allowed part has the volume nearest to that of the ellipsoid in the box.

    The released code compares with the volume of the box itself.
    """
    resampled, wanted = frame.resample_out(field), np.pi / 6 * np.prod(box.shape)
    volumes = {level: float(largest_component((resampled > level) & allowed).sum()) for level in levels}
    return min(levels, key=lambda each: abs(volumes[each] - wanted))


def covered_share(field: Field, frame: Frame, allowed: Bool[np.ndarray, "x y z"]) -> Float32[np.ndarray, "x y z"]:
    """The share of each voxel that the largest part of a field above 0 covers, within the allowed region.

    Voxels with a share of at least one half are one connected part. A lesion that covers no voxel by half takes the
    voxels whose centers it covers.
    """
    share = np.where(allowed, frame.share_above(field, 0.0), np.float32(0))
    if not (share >= HALF).any():
        return largest_component((frame.resample_out(field) > 0) & allowed).astype(np.float32)
    return in_one_piece(share)


def in_one_piece(share: Float32[np.ndarray, "x y z"]) -> Float32[np.ndarray, "x y z"]:
    """The share of each voxel, 0 outside the largest part of at least one half and the lesser shares beside it."""
    mask = largest_component(share >= HALF)
    beside = binary_dilation(mask, generate_binary_structure(3, 3)) & (share < HALF)
    return np.where(mask | beside, share, np.float32(0))


def largest_component(mask: Bool[np.ndarray, "x y z"], neighbors: Literal[6, 26] = 6) -> Bool[np.ndarray, "x y z"]:
    """The connected part of a mask with the most voxels; the mask itself if it has one part or none.

    Args:
        mask: voxels.
        neighbors: voxels that count as connected: those that share a face, or also those that share a corner.
    """
    parts, count = label(mask, generate_binary_structure(3, 1 if neighbors == 6 else 3))
    if count <= 1:
        return mask
    return np.asarray(parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1)


def inpainting_region(
    share: Float32[np.ndarray, "s s s"], spacing_mm: float, reach_mm: float
) -> Bool[np.ndarray, "s s s"]:
    """The lesion and, where margins are synthesized, the voxels within reach of it: one voxel of the cube at least.

    A voxel belongs to the lesion if its share is at least half the largest one. Lesions smaller than a voxel are kept.

    Args:
        share: share of each voxel that lies inside the lesion, 0 to 1.
        spacing_mm: edge of a voxel of the cube.
        reach_mm: how far outside the lesion the region ends; 0 takes the lesion alone.
    """
    mask = (share > 0) & (share >= 0.5 * share.max())
    if not mask.any() or reach_mm == 0:
        return np.asarray(mask)
    return np.asarray(distance_transform_edt(~mask, sampling=spacing_mm) <= max(reach_mm, spacing_mm))
