"""The organ map of a scan and its source.

Axes: x y z voxel axes along right, anterior, superior (canonical).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Bool, UInt8

from medsmith.cases.canonical import canonical_geometry, canonical_view
from medsmith.cases.case import Case
from medsmith.errors import GeometryError
from medsmith.formats.volume import Region
from medsmith.geometry import Geometry
from medsmith.reports.organs import is_lesion

AIR = "air"
FAT = "fat"
"""Name of the label that no lesion lies in."""
LABEL_VALUES = 256
_FEW = 12
Chosen = Bool[np.ndarray, "256"]


@final
@dataclass(frozen=True, eq=False)
class OrganMap:
    """One label per voxel of a scan, canonical.

    Attributes:
        labels: label of each voxel; 0 if unlabeled.
        names: name -> value; background is not among them.
        geometry: grid, canonical.
        source: origin of the labels, for error lines and the provenance.
        coarse: names of labels that come from density thresholds, not from a segmentation.
    """

    labels: UInt8[np.ndarray, "x y z"]
    names: Mapping[str, int]
    geometry: Geometry
    source: str
    coarse: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.shape != self.geometry.shape:
            raise GeometryError(self.source, f"labels {self.labels.shape} on a grid of {self.geometry.shape}")

    @cached_property
    def present(self) -> tuple[str, ...]:
        """Names of the labels that at least one voxel has."""
        counts = np.zeros(LABEL_VALUES, dtype=np.int64)
        for part in self._slabs():
            counts += np.bincount(part.ravel(), minlength=LABEL_VALUES)
        return tuple(name for name, value in self.names.items() if counts[value])

    def extent(self, chosen: Chosen) -> Region | None:
        """The bounding region of the chosen labels; None if no voxel has one."""
        key = chosen.tobytes()
        if key not in self._extents:
            self._extents[key] = self._extent(chosen)
        return self._extents[key]

    @cached_property
    def _extents(self) -> dict[bytes, Region | None]:
        return {}

    def _extent(self, chosen: Chosen) -> Region | None:
        across = self._slowest
        masks = (selected(part, chosen) for part in self._slabs())
        seen = [(mask.any(axis=1), mask.any(axis=0)) for mask in masks]
        hits = [np.array([first.any() for first, _ in seen])]
        hits += [np.logical_or.reduce([each[side] for each in seen]) for side in (0, 1)]
        if not hits[0].any():
            return None
        bounds = [slice(int(each.argmax()), len(each) - int(each[::-1].argmax())) for each in hits]
        bounds.insert(across, bounds.pop(0))
        return bounds[0], bounds[1], bounds[2]

    @property
    def _slowest(self) -> int:
        """The axis with the largest stride in memory."""
        return int(np.argmax(np.abs(self.labels.strides)))

    def _slabs(self) -> Iterator[UInt8[np.ndarray, "u v"]]:
        """The labels slice by slice, so that no mask of the whole scan is made."""
        return iter(np.moveaxis(self.labels, self._slowest, 0))

    @property
    def lesions(self) -> tuple[int, ...]:
        """Label values of lesions."""
        return tuple(value for name, value in self.names.items() if is_lesion(name))


def to_name(places: Iterable[str]) -> str:
    """Places that a report can name, for an error line: no words stand for air and fat."""
    return ", ".join(place for place in places if place not in (AIR, FAT)) or "no labels"


def absent(organ: str, source: str) -> str:
    """Why no lesion can lie in an organ, for an error line.

    Args:
        organ: its name.
        source: of the organ map, which has no such organ.
    """
    return "no lesion lies in air" if organ == AIR else f"no {organ} in the organ map ({source})"


def chosen_values(values: tuple[int, ...]) -> Chosen:
    """A table that is true at the given label values."""
    table = np.zeros(LABEL_VALUES, dtype=bool)
    table[list(values)] = True
    return table


def selected(labels: UInt8[np.ndarray, "*space"], chosen: Chosen) -> Bool[np.ndarray, "*space"]:
    """Voxels that carry a chosen label."""
    values = np.flatnonzero(chosen)
    if len(values) > _FEW:
        mask: Bool[np.ndarray, "*space"] = chosen[labels]
        return mask
    # For few values several times faster than a table look-up of every voxel.
    mask = np.zeros(labels.shape, dtype=bool)
    for value in values:
        mask |= labels == value
    return mask


def organ_map_from_labels(
    labels: UInt8[np.ndarray, "_ _ _"], geometry: Geometry, names: Mapping[str, int], source: str
) -> OrganMap:
    """An organ map from a label map in file order, as a canonical view.

    Args:
        labels: one label per voxel, axes in file order.
        geometry: the grid of ``labels``.
        names: name -> value; values of 0 are left out.
        source: origin of the labels.
    """
    labeled = {name: value for name, value in names.items() if value > 0}
    return OrganMap(canonical_view(labels, geometry), labeled, canonical_geometry(geometry), source)


def organ_map_from_case(case: Case) -> OrganMap:
    """The organ map of a template's own labels, as a view."""
    return organ_map_from_labels(case.require_labels(), case.geometry, case.label_names, "labels of the template")
