"""A cohort in memory on the segmentation network's grid."""

import hashlib
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from medsmith.cases.canonical import canonical_case
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.resizing import resize, resize_labels
from medsmith.data.similarity import thumbnails
from medsmith.progress import Advance


@final
@dataclass(frozen=True, eq=False)
class Pool:
    """Cases ready for a segmentation network.

    Attributes:
        ids: of the cases.
        images: mean 0 and standard deviation 1 per case and channel.
        labels: class of each voxel on the same grid: 0 is background, then the labels by ascending value.
        truth: classes on each case's own grid (x y, or x y z); what is scored against.
        hashes: of each case's grey values as stored.
        thumbnails: of each case, for near-duplicates.
    """

    ids: tuple[str, ...]
    images: Float32[Tensor, "n c *space"]
    labels: Int64[Tensor, "n *space"]
    truth: tuple[UInt8[np.ndarray, "..."], ...]
    hashes: tuple[str, ...]
    thumbnails: Float32[np.ndarray, "n ex ey ez"]

    def __len__(self) -> int:
        return len(self.ids)


def load_pool(cohort: Cohort, edge: int, advance: Advance) -> Pool:
    """Reads a whole cohort, whose cases have an image and labels each.

    Args:
        cohort: what to read.
        edge: of the square or cube that every case is stretched to.
        advance: told of every case read.
    """
    values = np.array(sorted(cohort.label_names.values()))
    images, labels, truth, hashes, small = [], [], [], [], []
    for case in cohort:
        image, truth_of_case = case.require_image(), case.require_labels()
        shape = (edge, edge, 1 if case.geometry.dimensions == 2 else edge)
        images.append(_standardised(resize(image, shape)))
        classes = np.searchsorted(values, truth_of_case).astype(np.uint8)
        labels.append(_space(resize_labels(classes, shape)))
        truth.append(_space(classes))
        hashes.append(hash_of(case))
        small.append(thumbnails([image])[0])
        advance(1, "")
    return Pool(
        cohort.ids,
        torch.from_numpy(np.stack(images)),
        torch.from_numpy(np.stack(labels).astype(np.int64)),
        tuple(truth),
        tuple(hashes),
        np.stack(small),
    )


def hash_of(case: Case) -> str:
    """SHA-256 of a case's grid and grey values: equal for one image saved in two files, in whatever order of axes."""
    image = canonical_case(case).require_image()
    digest = hashlib.sha256(str(image.shape).encode())
    digest.update(np.ascontiguousarray(image, dtype="<f4").tobytes())
    return digest.hexdigest()


def _standardised(image: Float32[np.ndarray, "c x y z"]) -> Float32[np.ndarray, "c *space"]:
    mean = image.mean(axis=(1, 2, 3), keepdims=True)
    spread = image.std(axis=(1, 2, 3), keepdims=True)
    return _space((image - mean) / np.maximum(spread, 1e-6))


def _space(array: np.ndarray) -> np.ndarray:
    """Drops the one-voxel z axis of a picture."""
    return np.ascontiguousarray(array[..., 0] if array.shape[-1] == 1 else array)
