"""Organs of the CT phantoms, and trees of vessels and airways inside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import final

import numpy as np

from medsmith.phantoms.solids import Solid, Tubes
from medsmith.phantoms.space import Field, Grid, Points, Warp
from medsmith.phantoms.trees import grown_tree


@final
@dataclass(frozen=True, eq=False)
class Organ:
    """A labeled structure that can have a lesion.

    Attributes:
        name: TotalSegmentator's.
        solid: its outer surface.
        wall_mm: thickness of the wall of a hollow organ; 0 for a parenchymal organ.
        course: points of its axis in patient mm if it is a tube, else None.
    """

    name: str
    solid: Solid
    wall_mm: float = 0.0
    course: Points | None = None


def tree(
    warp: Warp,
    rng: np.random.Generator,
    root: Sequence[float],
    box: tuple[Sequence[float], Sequence[float]],
    leaves: int,
    leaf_mm: float,
) -> Callable[[], Tubes]:
    """A tree through a box in anatomical mm, generated at first use."""

    @cache
    def grow() -> Tubes:
        low, high = np.asarray(box[0], np.float64), np.asarray(box[1], np.float64)
        targets = low + rng.uniform(size=(leaves, 3)) * (high - low)
        starts, ends, radii = grown_tree(rng, root, targets, leaf_mm)
        both = warp.back(np.concatenate([starts, ends]))
        return Tubes(both[: len(starts)], both[len(starts) :], radii)

    return grow


def branches(organ: Solid, grow: Callable[[], Tubes], depth_mm: float = 2.0, extra_mm: float = 0.0) -> Solid:
    """A tree, clipped to some depth below the surface of its organ; extra_mm is added to its radii."""

    def distance(grid: Grid) -> Field:
        tubes = grow().nearest(grid)[0] - np.float32(extra_mm)
        return np.maximum(tubes, organ.distance(grid) + np.float32(depth_mm))

    return Solid(organ.low, organ.high, distance)
