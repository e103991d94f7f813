"""Antialiased resampling of images of any size to one grid.

One rule for every size and for two and three dimensions: a separable triangle filter, as wide as a target
voxel where the image is downsampled (so that fine texture is averaged, not sampled), and linear interpolation
where it is upsampled. It is the filter of Pillow's BILINEAR and of torch's ``interpolate(..., antialias=True)``.
The outer voxel faces of the two grids coincide, not the voxel centers.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Float64, Shaped


@lru_cache(maxsize=256)
def _weights(source: int, target: int) -> Float64[np.ndarray, "target source"]:
    """Row i has the weights of the source voxels in target voxel i; rows sum to one."""
    scale = source / target
    radius = max(scale, 1.0)
    centers = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source) + 0.5 - centers[:, None]) / radius
    weights = np.clip(1.0 - distance, 0.0, None)
    rows: Float64[np.ndarray, "target source"] = weights / weights.sum(axis=1, keepdims=True)
    rows.setflags(write=False)
    return rows


def resize(
    image: Float32[np.ndarray, "*channels x y z"], shape: tuple[int, int, int]
) -> Float32[np.ndarray, "*channels u v w"]:
    """Resample the last three axes to ``shape`` with the antialiased triangle filter.

    Args:
        image: gray values; leading axes, if any, are channels.
        shape: target voxels along x, y, z; a 2-D image keeps z == 1.

    Returns:
        float32, computed in float64, so that the value does not depend on the order of the axes.
    """
    resized = image.astype(np.float64)
    for axis, target in zip((-3, -2, -1), shape, strict=True):
        source = resized.shape[axis]
        if source != target:
            moved = np.moveaxis(resized, axis, -1) @ _weights(source, target).T
            resized = np.moveaxis(moved, -1, axis)
    return np.ascontiguousarray(resized, dtype=np.float32)


def resize_labels(labels: Shaped[np.ndarray, "x y z"], shape: tuple[int, int, int]) -> Shaped[np.ndarray, "u v w"]:
    """Resample a label map by nearest neighbor, so that no new value arises.

    Args:
        labels: one integer label per voxel.
        shape: target voxels along x, y, z.
    """
    nearest = [
        np.minimum(((np.arange(target) + 0.5) * (source / target)).astype(np.intp), source - 1)
        for source, target in zip(labels.shape, shape, strict=True)
    ]
    return np.ascontiguousarray(labels[np.ix_(*nearest)])
