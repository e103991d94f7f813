"""A coarse organ map from the densities of a CT alone: lungs, bone, soft tissue, fat and air.

It is used where no segmentation of organs exists. It is computed on a grid of about ``GRID_MM``, which matches the
accuracy of its edges and keeps large scans cheap. Limits: enhanced vessels as dense as bone count as bone, a collapsed
or filled lung counts as soft tissue, and an airway in the lung counts as air only where it is wide.

Axes: x y z voxel axes along right, anterior, superior (canonical); u v w those of the coarse grid.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy.ndimage import binary_fill_holes, binary_opening, generate_binary_structure
from scipy.ndimage import label as components

from medsmith.errors import ContentError
from medsmith.geometry import Geometry
from medsmith.insertion.lungs import LUNG_HU, aerated, find_lungs, split_lungs, voxels_in
from medsmith.insertion.organ_map import OrganMap

NAMES: Final = ("air", "fat", "soft_tissue", "bone", "lung", "lung_left", "lung_right")
_VALUES: Final = {name: value for value, name in enumerate(NAMES, start=1)}
GRID_MM: Final = 2.0
BODY_HU: Final = -300.0
"""Threshold between air and tissue; lungs are found as air-dense regions enclosed by the body."""
FAT_HU: Final = -30.0
"""Voxels of the body below it are fat, or partial volume with air."""
BONE_HU, CORTEX_HU = 220.0, 400.0
"""Bone: components above the first threshold that contain a voxel above the second."""
LEAST_BONE_ML: Final = 1.0
_LIMB: Final = 0.1
"""Smallest volume, relative to the largest component, of another component of the body, such as a second leg."""
SOURCE: Final = "coarse map by density"
Mask = Bool[np.ndarray, "u v w"]
Densities = Float32[np.ndarray, "u v w"]


def coarse_map(image: Float32[np.ndarray, "x y z"], geometry: Geometry) -> OrganMap:
    """Lungs, bone, soft tissue, fat and air by density.

    Args:
        image: Hounsfield units, canonical.
        geometry: grid of ``image``, canonical.

    Raises:
        ContentError: no voxel is as dense as tissue.
    """
    first, second, third = (max(1, round(GRID_MM / edge)) for edge in geometry.spacing)
    blocks = first, second, third
    edges = geometry.spacing[0] * first, geometry.spacing[1] * second, geometry.spacing[2] * third
    labels = _labels(block_means(image, blocks), edges)
    names = {name: value for name, value in _VALUES.items() if (labels == value).any()}
    return OrganMap(_spread(labels, blocks, geometry.shape), names, geometry, SOURCE, tuple(names))


def block_means(image: Float32[np.ndarray, "x y z"], blocks: tuple[int, int, int]) -> Densities:
    """Means over blocks of voxels, slice by slice; blocks at the far faces may be smaller."""
    starts = [np.arange(0, count, block) for count, block in zip(image.shape, blocks, strict=True)]
    sizes = [np.diff([*start, count]) for start, count in zip(starts, image.shape, strict=True)]
    means = np.empty([len(start) for start in starts], dtype=np.float32)
    for index, (first, count) in enumerate(zip(starts[2], sizes[2], strict=True)):
        slab = image[:, :, first : first + count].mean(axis=2, dtype=np.float64)
        sums = np.add.reduceat(np.add.reduceat(slab, starts[0], axis=0), starts[1], axis=1)
        means[:, :, index] = sums / (sizes[0][:, None] * sizes[1])
    return means


def _spread(
    labels: UInt8[np.ndarray, "u v w"], blocks: tuple[int, int, int], shape: tuple[int, int, int]
) -> UInt8[np.ndarray, "x y z"]:
    """Each voxel of the scan gets the label of its block."""
    across, along, up = (np.arange(count) // block for count, block in zip(shape, blocks, strict=True))
    spread: UInt8[np.ndarray, "x y z"] = labels[np.ix_(across, along, up)]
    return spread


def _labels(hu: Densities, spacing: tuple[float, float, float]) -> UInt8[np.ndarray, "u v w"]:
    body = _body(hu)
    lungs = find_lungs(hu, body, spacing)
    left, right = split_lungs(lungs)
    labels = np.full(hu.shape, _VALUES["air"], dtype=np.uint8)
    labels[body & (hu >= LUNG_HU)] = _VALUES["fat"]
    labels[body & (hu >= FAT_HU)] = _VALUES["soft_tissue"]
    labels[_bone(hu, body, spacing)] = _VALUES["bone"]
    for name, mask in (("lung", lungs), ("lung_left", left), ("lung_right", right)):
        labels[mask] = _VALUES[name]
    return labels


def _body(hu: Densities) -> Mask:
    """Large dense components and everything they enclose; of the regions that reach a side of the scan, only lungs."""
    dense = hu > BODY_HU
    trunk = _large(binary_opening(dense, generate_binary_structure(3, 1)))
    if not trunk.any():
        found = f"densities up to {hu.max():.0f}"
        raise ContentError("organ map", found, f"tissue is denser than {BODY_HU:.0f} HU", "is this a CT in HU?")
    parts, _ = components(~trunk)
    sides = np.concatenate([parts[[0, -1]].ravel(), parts[:, [0, -1]].ravel()])
    outside = np.zeros_like(trunk)
    for part in np.unique(sides[sides > 0]):
        inside = parts == part
        if not aerated(hu[inside]):
            outside |= inside
    return ~outside


def _large(mask: Mask) -> Mask:
    """Components of at least ``_LIMB`` times the largest component."""
    parts, count = components(mask)
    if not count:
        return mask
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    large: Mask = (sizes >= _LIMB * sizes.max())[parts] & mask
    return large


def _bone(hu: Densities, body: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Dense components with a cortex, filled in every axial slice to include the marrow."""
    parts, count = components(body & (hu > BONE_HU))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    cortex = np.bincount(parts[hu > CORTEX_HU], minlength=count + 1)
    chosen = (sizes >= voxels_in(LEAST_BONE_ML, spacing)) & (cortex > 0)
    chosen[0] = False
    bone: Mask = chosen[parts]
    for index in range(bone.shape[2]):
        bone[:, :, index] = binary_fill_holes(bone[:, :, index])
    return bone
