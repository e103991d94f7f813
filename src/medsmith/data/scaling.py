"""Between physical units and model space [-1, 1], and between a case's grid and the network's.

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


def _ends(case: Case, fingerprint: Fingerprint) -> Float32[Array, "c 2"]:
    """Grey values that become -1 and 1."""
    if fingerprint.absolute:
        return np.array(_output_ends(fingerprint), np.float32)
    return np.array([np.percentile(channel, (LOW, HIGH)) for channel in case.require_image()], np.float32)


def _output_ends(fingerprint: Fingerprint) -> tuple[tuple[float, float], ...]:
    """8-bit pictures use their whole scale; every other stored form its robust range."""
    return fingerprint.full_range if fingerprint.stored == "uint8" else fingerprint.robust_range


def to_grid(volume: Float32[Tensor, "c *space"], size: tuple[int, ...]) -> Float32[Tensor, "c *grid"]:
    """Resample to another grid over the same field of view, low-pass filtered along the axes that shrink.

    The rule is that of ``resizing``, a triangle filter. Pictures take torch's own filter, which follows it to rounding
    and is faster; for volumes torch has none that averages.

    Args:
        volume: c *space.
        size: voxels along each axis of space.
    """
    if volume.shape[1:] == torch.Size(size):
        return volume
    if len(size) == 2 and size[1] > 1:  # a grid one voxel wide is filled wrongly by torch 2.13
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
    ends = _ends(case, fingerprint)
    low, high = ends[:, 0, None, None, None], ends[:, 1, None, None, None]
    scaled = np.clip((case.require_image() - low) / np.maximum(high - low, 1e-6), 0, 1) * 2 - 1
    return to_grid(_to_space(torch.from_numpy(scaled), size), size).clamp(-1, 1)


def labels_to_model(
    labels: UInt8[Array, "x y z"], fingerprint: Fingerprint, size: tuple[int, ...]
) -> Float32[Tensor, "k *space"]:
    """One mask channel per label, 1 inside and -1 outside, on the network's grid.

    Each network voxel takes the label with the largest share under the filter: no label arises that was not there.
    """
    values = (0, *fingerprint.foreground_labels)
    inside = (torch.from_numpy((labels == value).astype(np.float32))[None] for value in values)
    winner = torch.cat([to_grid(_to_space(mask, size), size) for mask in inside]).argmax(0)
    return torch.stack([(winner == index).float() * 2 - 1 for index in range(1, len(values))])


def model_to_labels(masks: Float32[Tensor, "k *space"], fingerprint: Fingerprint) -> UInt8[Array, "x y z"]:
    """Labels of a clean mask estimate: the strongest channel where it is above 0, else background."""
    strength, winner = masks.max(0)
    values = torch.tensor(fingerprint.foreground_labels, dtype=torch.uint8)
    labels = torch.where(strength > 0, values[winner], torch.zeros((), dtype=torch.uint8)).numpy()
    return np.asarray(labels.reshape((*labels.shape, 1) if labels.ndim == 2 else labels.shape), np.uint8)


def model_to_image(image: Float32[Tensor, "c *space"], fingerprint: Fingerprint) -> Float32[Array, "c x y z"]:
    """A clean image estimate in stored units, rounded where the cohort stores integers."""
    ends = np.array(_output_ends(fingerprint), np.float32)[:, :, None, None, None]
    array = image.clamp(-1, 1).numpy()
    array = array[..., None] if fingerprint.dimensions == 2 else array
    physical = (array + 1) / 2 * (ends[:, 1] - ends[:, 0]) + ends[:, 0]
    return np.asarray(np.rint(physical) if "int" in fingerprint.stored else physical, np.float32)


def _to_space(volume: Tensor, size: tuple[int, ...]) -> Tensor:
    """Drop the one-voxel z axis of a 2-D case."""
    return volume[..., 0] if len(size) == 2 else volume
