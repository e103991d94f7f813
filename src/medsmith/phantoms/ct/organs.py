"""Organs of the CT phantoms, and trees of vessels and airways inside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import final

import numpy as np
from jaxtyping import Float64

from medsmith.phantoms.ct.solids import Solid, Tubes, chain, smooth_curve
from medsmith.phantoms.ct.space import Field, Grid, Points, Warp


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


def tube(
    warp: Warp,
    points: Sequence[Sequence[float]],
    radii: Sequence[float],
    step_mm: float = 6.0,
    folds: tuple[float, float] = (0.0, 30.0),
) -> tuple[Solid, Points]:
    """A curved tube through anatomical points, and its axis in patient mm.

    Args:
        warp: to patient space.
        points: control points in anatomical mm.
        radii: one per control point.
        step_mm: length of its straight pieces.
        folds: relative depth and distance in mm of ring-shaped folds (haustra).
    """
    curve, wide = smooth_curve(points, radii, step_mm)
    depth, period = folds
    along = np.arange(len(curve))[:, None] * step_mm
    wide = wide * (1 + depth * np.cos(2 * np.pi * along / period))
    patient = warp.back(curve)
    return chain(patient, wide).solid(), patient


def grown_tree(
    rng: np.random.Generator, root: Sequence[float], targets: Points, leaf_mm: float, exponent: float = 2.7
) -> tuple[Points, Points, Float64[np.ndarray, "n 2"]]:
    """A tree that reaches every target: targets are joined to the nearest branch, in order of distance from the root.

    Radii follow Murray's law: the sum of radius ** exponent is conserved at bifurcations.

    Returns:
        Starts, ends and radii (n x 2) of its branches, in the space of the targets.
    """
    count = 2 * len(targets) + 1
    nodes, parents = np.empty((count, 3)), np.zeros(count, np.int64)
    nodes[0] = root
    bends = rng.normal(size=targets.shape) * 0.10
    order = np.argsort(np.sum((targets - nodes[0]) ** 2, axis=1))
    for index, (target, bend) in enumerate(zip(targets[order], bends, strict=True)):
        bent, last = 2 * index + 1, 2 * index + 2
        gaps = np.sum((nodes[:bent] - target) ** 2, axis=1)
        nearest = int(np.argmin(gaps))
        nodes[bent] = (nodes[nearest] + target) / 2 + bend * np.sqrt(gaps[nearest])
        nodes[last] = target
        parents[bent], parents[last] = nearest, bent
    flow = np.full(count, leaf_mm**exponent)
    for index in range(count - 1, 0, -1):
        flow[parents[index]] += flow[index]
    radius, above = flow ** (1 / exponent), parents[1:]
    first = np.minimum(radius[above], radius[1:] * 1.25)
    return nodes[above], nodes[1:], np.stack([first, radius[1:]], axis=1)


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
