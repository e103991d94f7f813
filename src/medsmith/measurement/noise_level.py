"""Noise of an image, estimated from the image alone: the measure of the noise check."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

_SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0]) / np.sqrt(6.0)
"""Leaves white noise as strong as it is."""
_EDGE = 3
_ENOUGH = 0.02
"""Smallest share of neighborhoods that the estimate is taken from."""
_PART = 2**24
"""Voxels that are looked at together."""


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
    ends = float(channel.min()), float(channel.max())
    parts = [_magnitudes(part, axes, ends) for part in _parts(channel, axes)]
    sums, counts = np.sum([each[0] for each in parts], axis=0), np.sum([each[1] for each in parts], axis=0)
    chosen = 0 if counts[0] >= _ENOUGH * counts[1] else 1
    return float(np.sqrt(np.pi / 2) * sums[chosen] / counts[chosen])


def _parts(channel: Float32[np.ndarray, "*space"], axes: list[int]) -> Iterator[Float32[np.ndarray, "*part"]]:
    """The channel in parts along its last axis, so that a long scan does not take its memory many times.

    Parts share two slices: each neighborhood is in one of them.
    """
    last = channel.ndim - 1
    if last not in axes:
        yield channel
        return
    step = max(1, _PART // max(1, channel[..., 0].size))
    for start in range(0, channel.shape[last] - 2, step):
        yield channel[..., start : start + step + 2]


def _magnitudes(
    part: Float32[np.ndarray, "*part"], axes: list[int], ends: tuple[float, float]
) -> tuple[tuple[float, float], tuple[int, int]]:
    """Sums, and numbers, of the magnitudes of the second differences: where they count, and of all."""
    inner = tuple(slice(1, -1) if axis in axes else slice(None) for axis in range(part.ndim))
    differences = part
    for axis in axes:
        differences = ndimage.correlate1d(differences, _SECOND_DIFFERENCE, axis)
    magnitudes, counted = np.abs(differences[inner]), _varying(part, axes, ends)[inner]
    chosen = magnitudes[counted]
    sums = float(chosen.sum(dtype=np.float64)), float(magnitudes.sum(dtype=np.float64))
    return sums, (chosen.size, magnitudes.size)


def _varying(
    part: Float32[np.ndarray, "*part"], axes: list[int], ends: tuple[float, float]
) -> Bool[np.ndarray, "*part"]:
    """Where the neighborhood varies, and within the range of the channel."""
    size = [_EDGE if axis in axes else 1 for axis in range(part.ndim)]
    low, high = ndimage.minimum_filter(part, size), ndimage.maximum_filter(part, size)
    varying: Bool[np.ndarray, "*part"] = (low < high) & (low > ends[0]) & (high < ends[1])
    return varying
