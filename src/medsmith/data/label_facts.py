"""What label maps of a cohort have in common: which classes go together, their volumes, components and contacts.

A generated label map is legal if it stays within these ranges. Maps are on one grid, with values 0 to k - 1 in the
order of the label values; class 0 is the background. Axes: ``*space`` = x y or x y z.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float64, UInt8
from scipy import ndimage
from torch import Tensor

VOLUME, CONTACT, FRAGMENT = 0.25, 0.1, 0.5
"""Tolerances: of volumes and numbers of parts as a share of them, of contacts absolute; a part is a fragment below this
share of the smallest component of its class in training."""
_KEY = "label_facts."
Map = UInt8[np.ndarray, "*space"]


@final
@dataclass(frozen=True, eq=False)
class LabelFacts:
    """Ranges over the label maps of a cohort.

    Attributes:
        patterns: sets of classes that occur together, one row per set.
        volumes: smallest and largest number of voxels of each class, over the maps that have it.
        parts: smallest and largest number of connected components of each class, over the same maps.
        smallest: voxels of the smallest component of each class.
        contacts: [a, b] smallest and largest share of the faces of a, towards other classes, that touch b.
    """

    patterns: Bool[np.ndarray, "patterns k"]
    volumes: Float64[np.ndarray, "k 2"]
    parts: Float64[np.ndarray, "k 2"]
    smallest: Float64[np.ndarray, "k"]
    contacts: Float64[np.ndarray, "k k 2"]

    @classmethod
    def of(cls, maps: Iterable[Map], classes: int) -> "LabelFacts":
        """From label maps on one grid.

        Args:
            maps: values 0 to classes - 1.
            classes: with the background.

        Raises:
            ValueError: there are no maps.
        """
        measured = [_measure(labels, classes) for labels in maps]
        if not measured:
            raise ValueError("no label maps to learn from")
        volumes, parts, smallest, contacts = (np.stack(each) for each in zip(*measured, strict=True))
        there = volumes > 0
        both = there[:, :, None] & there[:, None, :]
        return cls(
            patterns=np.unique(there, axis=0),
            volumes=_range(volumes, there),
            parts=_range(parts, there),
            smallest=np.where(there.any(0), np.where(there, smallest, np.inf).min(0), 0.0),
            contacts=_range(contacts, both),
        )

    def problems(self, labels: Map) -> tuple[str, ...]:
        """What lies outside the ranges, in words with the classes' numbers; empty for a legal map."""
        classes = len(self.volumes)
        volumes, parts, _, contacts = _measure(labels, classes)
        there = volumes > 0
        found = [] if (self.patterns == there).all(1).any() else ["classes that never occur together"]
        for value in np.flatnonzero(there):
            found += self._of_class(int(value), float(volumes[value]), float(parts[value]))
        low, high = self.contacts[..., 0] - CONTACT, self.contacts[..., 1] + CONTACT
        wrong = (there[:, None] & there[None, :]) & ((contacts < low) | (contacts > high))
        found += [f"contact of {one} with {other}" for one, other in np.argwhere(wrong)]
        return tuple(found)

    def _of_class(self, value: int, volume: float, parts: float) -> list[str]:
        (least, most), (fewest, _) = self.volumes[value], self.parts[value]
        fits = least * (1 - VOLUME) <= volume <= most * (1 + VOLUME)
        whole = np.ceil(fewest * (1 - VOLUME)) <= parts <= self._most_parts(value)
        return ([] if fits else [f"volume of {value}"]) + ([] if whole else [f"parts of {value}"])

    def without_fragments(self, labels: Map) -> Map:
        """The map without what breaks thin structures apart.

        Where a class has more parts than in any training map, gaps of a voxel between them are closed. Parts that are
        still too many, smallest first, and parts below half of the smallest one in training become what surrounds them.
        """
        labels = self._with_gaps_closed(labels)
        fragment = np.zeros(labels.shape, bool)
        for value in range(len(self.smallest)):
            parts, count = ndimage.label(labels == value, _neighbors(labels.ndim))
            sizes = np.bincount(parts.ravel(), minlength=count + 1)
            small = sizes < FRAGMENT * self.smallest[value]
            small[1 + np.argsort(-sizes[1:], kind="stable")[self._most_parts(value) :]] = True
            small[0] = False
            fragment |= small[parts]
        if not fragment.any() or fragment.all():
            return labels
        nearest = ndimage.distance_transform_edt(fragment, return_distances=False, return_indices=True)
        return np.asarray(labels[tuple(nearest)])

    def _with_gaps_closed(self, labels: Map) -> Map:
        """Where a class is in too many parts, gaps of a voxel in a larger class become of it."""
        labels = labels.copy()
        volumes = np.bincount(labels.ravel(), minlength=len(self.smallest))
        for value in range(1, len(self.smallest)):
            mask = labels == value
            if ndimage.label(mask, _neighbors(labels.ndim))[1] <= self._most_parts(value):
                continue
            # A margin, since closing takes what is outside for background.
            closed = ndimage.binary_closing(np.pad(mask, 1), _neighbors(labels.ndim))[(slice(1, -1),) * mask.ndim]
            labels[closed & (volumes[labels] > volumes[value])] = value
        return labels

    def _most_parts(self, value: int) -> int:
        """Whole parts: where every training map has one, two are too many; where some have eight, eleven are."""
        return int(self.parts[value, 1] * (1 + VOLUME))

    def tensors(self) -> dict[str, Tensor]:
        """For the memory of a method."""
        return {
            _KEY + name: torch.from_numpy(np.ascontiguousarray(getattr(self, name))) for name in self.__annotations__
        }

    @classmethod
    def from_memory(cls, memory: Mapping[str, Tensor]) -> "LabelFacts | None":
        """The inverse of ``tensors``; None if the memory has none."""
        if _KEY + "patterns" not in memory:
            return None
        return cls(**{name: memory[_KEY + name].cpu().numpy() for name in cls.__annotations__})


def _measure(
    labels: Map, classes: int
) -> tuple[Float64[np.ndarray, "k"], Float64[np.ndarray, "k"], Float64[np.ndarray, "k"], Float64[np.ndarray, "k k"]]:
    """Voxels, components, and voxels of the smallest component of each class; contacts of all pairs."""
    volumes = np.bincount(labels.ravel(), minlength=classes)[:classes].astype(np.float64)
    parts, smallest = np.zeros(classes), np.zeros(classes)
    for value in np.flatnonzero(volumes):
        found, count = ndimage.label(labels == value, _neighbors(labels.ndim))
        parts[value], smallest[value] = count, np.bincount(found.ravel())[1:].min()
    return volumes, parts, smallest, _contacts(labels, classes)


def _contacts(labels: Map, classes: int) -> Float64[np.ndarray, "k k"]:
    """[a, b] share of the faces between a and other classes that lie between a and b."""
    faces = np.zeros((classes, classes))
    for axis in range(labels.ndim):
        one = np.moveaxis(labels, axis, 0)[:-1].ravel().astype(np.intp)
        other = np.moveaxis(labels, axis, 0)[1:].ravel().astype(np.intp)
        counts = np.bincount(one * classes + other, minlength=classes**2)[: classes**2].reshape(classes, classes)
        faces += counts + counts.T
    np.fill_diagonal(faces, 0)
    return np.asarray(faces / np.maximum(faces.sum(1, keepdims=True), 1))


def _range(values: Float64[np.ndarray, "n *k"], there: Bool[np.ndarray, "n *k"]) -> Float64[np.ndarray, "*k 2"]:
    """Smallest and largest value where there is one; 0 and 0 where there is none."""
    seen = there.any(0)
    low, high = np.where(there, values, np.inf).min(0), np.where(there, values, -np.inf).max(0)
    return np.stack([np.where(seen, low, 0.0), np.where(seen, high, 0.0)], axis=-1)


def _neighbors(dimensions: int) -> Bool[np.ndarray, "..."]:
    """Voxels that touch, by a corner too, belong together."""
    return np.ones((3,) * dimensions, dtype=bool)
