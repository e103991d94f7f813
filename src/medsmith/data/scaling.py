"""Conversion of physical units to model space [-1, 1] and of a case's grid to the network's, and back.

Axes: c channels, k mask channels (one per label above background), ``*space`` = x y or x y z.
"""

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from medsmith.cases.case import Case
from medsmith.data.fingerprint import HIGH, LOW, Fingerprint
from medsmith.data.resizing import resize

Array = np.ndarray


def _input_range(case: Case, fingerprint: Fingerprint) -> Float32[Array, "c 2"]:
    """Gray values that map to -1 and 1, per channel."""
    if fingerprint.absolute:
        return np.array(_output_range(fingerprint), np.float32)
    return np.array([np.percentile(channel, (LOW, HIGH)) for channel in case.require_image()], np.float32)


def _output_range(fingerprint: Fingerprint) -> tuple[tuple[float, float], ...]:
    """Gray values of -1 and 1 in a synthetic image: the full range of 8-bit pictures, else the robust range."""
    return fingerprint.full_range if fingerprint.stored == "uint8" else fingerprint.robust_range


def to_grid(volume: Float32[Tensor, "c *space"], size: tuple[int, ...]) -> Float32[Tensor, "c *grid"]:
    """Resample to another grid over the same field of view, low-pass filtered along downsampled axes.

    The triangle filter of ``resizing``. Pictures use torch's implementation, which equals it up to rounding and is
    faster; torch has no antialiased one for volumes.

    Args:
        volume: c *space.
        size: voxels along each axis of space.
    """
    if volume.shape[1:] == torch.Size(size):
        return volume
    if len(size) == 2 and size[1] > 1:  # torch 2.13 is wrong on a grid one voxel wide
        return interpolate(volume[None], size=size, mode="bilinear", antialias=True)[0]
    missing = [1] * (3 - len(size))
    voxels = volume.reshape(*volume.shape, *missing).numpy()
    x, y, z = (*size, *missing)
    return torch.from_numpy(resize(voxels, (x, y, z))).reshape(-1, *size)


def image_to_model(case: Case, fingerprint: Fingerprint, size: tuple[int, ...]) -> Float32[Tensor, "c *space"]:
    """A case's image on the network's grid, in [-1, 1]; values outside the cohort's range are clipped.

    Raises:
        ContentError: the case has no image.
    """
    limits = _input_range(case, fingerprint)
    low, high = limits[:, 0, None, None, None], limits[:, 1, None, None, None]
    scaled = np.clip((case.require_image() - low) / np.maximum(high - low, 1e-6), 0, 1) * 2 - 1
    return to_grid(_to_space(torch.from_numpy(scaled), size), size).clamp(-1, 1)


def gray_to_model(image: Float32[Array, "c *space"], fingerprint: Fingerprint) -> Float32[Tensor, "c *space"]:
    """Gray values on the scale of a whole cohort, already on the network's grid, in [-1, 1]: as synthetic images have.

    Args:
        image: in stored units; values outside the cohort's range are clipped.
        fingerprint: of the cohort.
    """
    limits = np.array(_output_range(fingerprint), np.float32).reshape(-1, 2, *(1,) * (image.ndim - 1))
    low, high = limits[:, 0], limits[:, 1]
    return torch.from_numpy(np.clip((image - low) / np.maximum(high - low, 1e-6), 0, 1) * 2 - 1).float()


def labels_to_model(
    labels: UInt8[Array, "x y z"], fingerprint: Fingerprint, size: tuple[int, ...]
) -> Float32[Tensor, "k *space"]:
    """One mask channel per label, 1 inside and -1 outside, on the network's grid.

    Each network voxel takes the label with the largest share under the filter, so that no new label arises.
    """
    values = (0, *fingerprint.foreground_labels)
    inside = (torch.from_numpy((labels == value).astype(np.float32))[None] for value in values)
    winner = torch.cat([to_grid(_to_space(mask, size), size) for mask in inside]).argmax(0)
    return torch.stack([(winner == index).float() * 2 - 1 for index in range(1, len(values))])


def model_to_labels(masks: Float32[Tensor, "k *space"], fingerprint: Fingerprint) -> UInt8[Array, "x y z"]:
    """Labels of a clean mask estimate: the channel with the largest value where that is above 0, else background."""
    largest, winner = masks.max(0)
    values = torch.tensor(fingerprint.foreground_labels, dtype=torch.uint8)
    labels = torch.where(largest > 0, values[winner], torch.zeros((), dtype=torch.uint8)).numpy()
    return np.asarray(labels.reshape((*labels.shape, 1) if labels.ndim == 2 else labels.shape), np.uint8)


def model_to_image(image: Float32[Tensor, "c *space"], fingerprint: Fingerprint) -> Float32[Array, "c x y z"]:
    """A clean image estimate in stored units, rounded where the cohort stores integers."""
    limits = np.array(_output_range(fingerprint), np.float32)[:, :, None, None, None]
    array = image.clamp(-1, 1).numpy()
    array = array[..., None] if fingerprint.dimensions == 2 else array
    physical = (array + 1) / 2 * (limits[:, 1] - limits[:, 0]) + limits[:, 0]
    return np.asarray(np.rint(physical) if "int" in fingerprint.stored else physical, np.float32)


def _to_space(volume: Tensor, size: tuple[int, ...]) -> Tensor:
    """Drop the one-voxel z axis of a 2-D case."""
    return volume[..., 0] if len(size) == 2 else volume
