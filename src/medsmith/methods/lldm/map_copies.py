"""Whether a label map from noise is a copy of one that the networks learned from.

A new map is a copy if it agrees (``data.label_agreement``) with a map of training more than those do with each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import UInt8

from medsmith.data.label_agreement import Coarse, agreements
from medsmith.methods.base import evenly_chosen
from medsmith.methods.label_maps import DrawnMap, Map

_EDGE = 24
"""Largest edge of the grid on which maps are compared."""
_COMPARED = 1000
"""Maps, evenly chosen, that are compared with each other for the threshold."""
_QUANTILE = 0.99
_IDENTICAL = 0.995
"""Maps of training that agree so much are one map saved twice, and say nothing about two patients."""


@final
@dataclass(frozen=True, eq=False)
class MapGallery:
    """Label maps of training to compare with.

    Attributes:
        maps: on a coarse grid, values 0 to classes - 1.
        threshold: agreement above which a map counts as a copy; 1 where there are no two maps that differ.
    """

    maps: Coarse
    threshold: float

    @classmethod
    def of(cls, maps: Iterable[Map]) -> "MapGallery":
        """From maps on one grid; the threshold is the 99th percentile of each map's agreement with its nearest one."""
        coarse = np.stack([_coarse(labels) for labels in maps])
        some = np.stack(evenly_chosen([*coarse], _COMPARED))
        found = agreements(some, some)
        found[found >= _IDENTICAL] = np.nan
        nearest = [float(np.nanmax(row)) for row in found if not np.isnan(row).all()]
        return cls(coarse, float(np.quantile(nearest, _QUANTILE)) if nearest else 1.0)

    def nearest(self, labels: Map) -> tuple[int, float]:
        """Which map is nearest to a new one, and their agreement."""
        found = agreements(_coarse(labels)[None], self.maps)[0]
        return int(found.argmax()), float(found.max())

    def compared(self, drawn: DrawnMap) -> DrawnMap:
        """A map with the nearest one of training in its origin, and a problem if it is a copy of it."""
        nearest, agreement = self.nearest(drawn.labels)
        origin = {**drawn.origin, "nearest_map": nearest, "agreement": round(agreement, 4)}
        copied = (f"a copy of a training map (number {nearest})",) if agreement > self.threshold else ()
        return replace(drawn, origin=origin, problems=(*drawn.problems, *copied))


def _coarse(labels: Map) -> UInt8[np.ndarray, " voxels"]:
    steps = tuple(slice(None, None, -(-edge // _EDGE)) for edge in labels.shape)
    return np.ascontiguousarray(labels[steps]).ravel()
