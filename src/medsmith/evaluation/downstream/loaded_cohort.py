"""A cohort loaded into memory and resampled to the grid of the segmentation network."""

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
from medsmith.cases.hounsfield import check_units
from medsmith.data.resizing import resize, resize_labels
from medsmith.data.similarity import thumbnails, within_reach
from medsmith.evaluation.alike import alike_cases
from medsmith.progress import Advance


@final
@dataclass(frozen=True, eq=False)
class LoadedCohort:
    """A cohort as tensors for a segmentation network.

    Attributes:
        ids: of the cases.
        images: standardized to mean 0 and standard deviation 1 per case and channel.
        labels: class indices on the same grid: 0 is background, then the labels by ascending value.
        truth: class indices on each case's own grid (x y, or x y z); the reference of the Dice.
        hashes: SHA-256 of each case's gray values as stored.
        thumbnails: of each case, to find near-duplicates.
        spacings: voxel edges of ``truth`` along each axis, in mm.
        spacing_known: whether the files of all cases give their spacing; else it is 1.
    """

    ids: tuple[str, ...]
    images: Float32[Tensor, "n c *space"]
    labels: Int64[Tensor, "n *space"]
    truth: tuple[UInt8[np.ndarray, "..."], ...]
    hashes: tuple[str, ...]
    thumbnails: Float32[np.ndarray, "n ex ey ez"]
    spacings: tuple[tuple[float, ...], ...]
    spacing_known: bool

    def __len__(self) -> int:
        return len(self.ids)


def load_cohort(cohort: Cohort, edge: int, advance: Advance) -> LoadedCohort:
    """Load a cohort; every case needs an image and labels.

    Args:
        cohort: the cohort.
        edge: edge length, in voxels, of the square or cube that every case is resampled to.
        advance: called after every case.

    Raises:
        ContentError: a case lacks image or labels, or a CT is not in Hounsfield units.
        CohortError: slices among volumes.
    """
    values = np.array(sorted(cohort.label_names.values()))
    images, labels, truth, hashes, small, geometries = [], [], [], [], [], []
    for case in map(check_units, alike_cases(cohort)):
        image, case_labels = case.require_image(), case.require_labels()
        shape = grid_shape(case, edge)
        images.append(standardized_image(case, edge))
        classes = np.searchsorted(values, case_labels).astype(np.uint8)
        labels.append(drop_flat_axis(resize_labels(classes, shape)))
        truth.append(drop_flat_axis(classes))
        hashes.append(hash_of(case))
        small.append(thumbnails([image])[0])
        geometries.append(case.geometry)
        advance(1, "")
    return LoadedCohort(
        cohort.ids,
        torch.from_numpy(np.stack(images)),
        torch.from_numpy(np.stack(labels).astype(np.int64)),
        tuple(truth),
        tuple(hashes),
        np.stack(small),
        tuple(geometry.spacing[: geometry.dimensions] for geometry in geometries),
        all(geometry.spacing_known for geometry in geometries),
    )


def grid_shape(case: Case, edge: int) -> tuple[int, int, int]:
    """The grid of the network: a square for a slice, a cube for a volume."""
    return (edge, edge, 1 if case.geometry.dimensions == 2 else edge)


def standardized_image(case: Case, edge: int) -> Float32[np.ndarray, "c *space"]:
    """The image of a case on the grid of the network, with mean 0 and standard deviation 1 in each channel."""
    return _standardize(resize(within_reach(case.require_image()), grid_shape(case, edge)))


def hash_of(case: Case) -> str:
    """SHA-256 of a case's shape and gray values; does not depend on the order of axes in the file."""
    image = canonical_case(case).require_image()
    digest = hashlib.sha256(str(image.shape).encode())
    digest.update(np.ascontiguousarray(image, dtype="<f4").tobytes())
    return digest.hexdigest()


def _standardize(image: Float32[np.ndarray, "c x y z"]) -> Float32[np.ndarray, "c *space"]:
    mean = image.mean(axis=(1, 2, 3), keepdims=True)
    spread = image.std(axis=(1, 2, 3), keepdims=True)
    return drop_flat_axis((image - mean) / np.maximum(spread, 1e-6))


def drop_flat_axis(array: np.ndarray) -> np.ndarray:
    """Drops the z axis of a 2-D image."""
    return np.ascontiguousarray(array[..., 0] if array.shape[-1] == 1 else array)
