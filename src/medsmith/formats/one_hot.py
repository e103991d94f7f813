"""Label maps with a volume for each label (one-hot)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt8

from medsmith.errors import ContentError

_ON = (1, 255)
_MOST = 255


def joined_volumes(
    volumes: Sequence[Num[np.ndarray, "_ _ _"]], path: Path
) -> tuple[UInt8[np.ndarray, "x y z"], tuple[str, ...]]:
    """One map of several volumes of 0 and 1 (or 0 and 255) that do not overlap, and a note.

    Volume k, from 0, becomes label k if every voxel is in a volume, so that the first is the background; else k + 1.

    Args:
        volumes: two or more.
        path: of the file, for the message.

    Raises:
        ContentError: the volumes hold other values, overlap, or are too many.
    """
    count, shape = len(volumes), volumes[0].shape
    limit, cure = "a label map has one value per voxel", "write one map with a value for each label"
    what = f"{count} volumes ({' x '.join(map(str, (*shape, count)))})"
    if count > _MOST + 1:
        raise ContentError(path, what, limit, cure)
    taken = np.zeros(shape, bool)
    labels = np.zeros(shape, np.uint8)
    for number, volume in enumerate(volumes):
        inside = volume != 0
        if inside.any() and not any((volume[inside] == on).all() for on in _ON):
            also = "; --volume K takes one where the image has several"
            raise ContentError(path, f"{what} that are no masks of one label each", limit, cure + also)
        if clash := int((taken & inside).sum()):
            raise ContentError(
                path, f"{what} of which volume {number} overlaps earlier ones in {clash} voxels", limit, cure
            )
        taken |= inside
        labels[inside] = min(number + 1, _MOST)
    if taken.all():
        labels -= 1
    elif count > _MOST:
        raise ContentError(path, what, limit, cure)
    return labels, (f"{count} volumes of one label each were read as one map, labels 1 to {count - int(taken.all())}",)
