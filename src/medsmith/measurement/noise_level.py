"""Noise of an image, estimated from the image alone: the measure of the noise check."""

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

_SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0]) / np.sqrt(6.0)
"""Leaves white noise as strong as it is."""
_EDGE = 3
_ENOUGH = 0.02
"""Smallest share of neighborhoods that the estimate is taken from."""


def noise_levels(image: Float32[np.ndarray, "c *space"]) -> Float32[np.ndarray, " c"]:
    """Standard deviation of the noise of each channel, in the units of the image.

    Immerkær 1996, Fast noise variance estimation (Computer Vision and Image Understanding 64): second differences along
    every axis remove what varies slowly, and their mean magnitude, times sqrt(pi/2), is the deviation of white noise.
    Edges and texture add to it, in real and in synthetic images alike. A neighborhood that is constant, or holds the
    smallest or largest value of its channel, says nothing of noise that was cut off there, such as that of air: it
    counts only where nearly all are so.

    Args:
        image: pictures with or without an axis of one voxel, or volumes. An axis shorter than three voxels is left out.
    """
    return np.array([_level(channel) for channel in image], np.float32)


def _level(channel: Float32[np.ndarray, "*space"]) -> float:
    axes = [axis for axis, edge in enumerate(channel.shape) if edge >= _EDGE]
    inner = tuple(slice(1, -1) if axis in axes else slice(None) for axis in range(channel.ndim))
    differences = channel
    for axis in axes:
        differences = ndimage.correlate1d(differences, _SECOND_DIFFERENCE, axis)
    counted = _varying(channel, axes)[inner]
    magnitudes = np.abs(differences[inner])
    chosen = magnitudes[counted] if counted.mean() >= _ENOUGH else magnitudes
    return float(np.sqrt(np.pi / 2) * chosen.mean(dtype=np.float64))


def _varying(channel: Float32[np.ndarray, "*space"], axes: list[int]) -> Bool[np.ndarray, "*space"]:
    """Where the neighborhood varies, and within the range of the channel."""
    size = [_EDGE if axis in axes else 1 for axis in range(channel.ndim)]
    low, high = ndimage.minimum_filter(channel, size), ndimage.maximum_filter(channel, size)
    varying: Bool[np.ndarray, "*space"] = (low < high) & (low > channel.min()) & (high < channel.max())
    return varying
