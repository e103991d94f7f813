"""Where the organs of a scan are, and who said so.

Axes: x y z voxel axes along right, anterior, superior (canonical).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast, final

import numpy as np
from jaxtyping import Bool, UInt8
from scipy.ndimage import find_objects

from medsmith.case import Case, Geometry
from medsmith.conditioning.organs import is_lesion
from medsmith.errors import GeometryError
from medsmith.insertion.canonical import canonical_geometry, canonical_view

LABEL_VALUES = 256
Region = tuple[slice, slice, slice]
Chosen = Bool[np.ndarray, "256"]


@final
@dataclass(frozen=True, eq=False)
class OrganMap:
    """One label per voxel of a scan, canonical.

    Attributes:
        labels: label of each voxel; 0 where nobody said anything.
        names: name -> value; background is not among them.
        geometry: grid, canonical.
        source: who said so, for people and for the provenance.
        coarse: names that a threshold of the density put there, and no segmentation.
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
    def _extents(self) -> list[Region | None]:
        return cast(list[Region | None], find_objects(self.labels))

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the labels that at least one voxel has."""
        there = {value for value, extent in enumerate(self._extents, start=1) if extent is not None}
        return tuple(name for name, value in self.names.items() if value in there)

    def extent(self, chosen: Chosen) -> Region | None:
        """The smallest region that holds every voxel of the chosen labels; None if there is none."""
        found = [each for value, each in enumerate(self._extents, start=1) if chosen[value] and each is not None]
        if not found:
            return None
        first, second, third = (
            slice(min(each[axis].start for each in found), max(each[axis].stop for each in found)) for axis in range(3)
        )
        return first, second, third

    @property
    def lesions(self) -> tuple[int, ...]:
        """Values of the labels that are drawn around lesions."""
        return tuple(value for name, value in self.names.items() if is_lesion(name))


def chosen_values(values: tuple[int, ...]) -> Chosen:
    """A table that is true at the given label values."""
    table = np.zeros(LABEL_VALUES, dtype=bool)
    table[list(values)] = True
    return table


def selected(labels: UInt8[np.ndarray, "x y z"], chosen: Chosen) -> Bool[np.ndarray, "x y z"]:
    """Voxels that carry a chosen label."""
    mask: Bool[np.ndarray, "x y z"] = chosen[labels]
    return mask


def seen_canonical(
    labels: UInt8[np.ndarray, "_ _ _"], geometry: Geometry, names: Mapping[str, int], source: str
) -> OrganMap:
    """An organ map from a label map in file order, as a view.

    Args:
        labels: one label per voxel, axes in file order.
        geometry: the grid of ``labels``.
        names: name -> value; values of 0 are left out.
        source: who said so.
    """
    there = {name: value for name, value in names.items() if value > 0}
    return OrganMap(canonical_view(labels, geometry), there, canonical_geometry(geometry), source)


def labels_of_case(case: Case) -> OrganMap:
    """The organ map that a template brings along: its own labels, as a view."""
    return seen_canonical(case.labels, case.geometry, case.label_names, "labels of the template")
