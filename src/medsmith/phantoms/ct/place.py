"""Placement of a lesion: candidates in and on its organ, tested against the anatomy around them."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Bool, Float32
from scipy.ndimage import distance_transform_edt, map_coordinates

from medsmith.phantoms.ct.anatomy import Anatomy
from medsmith.phantoms.ct.lesion_bodies import Star
from medsmith.phantoms.ct.organs import Organ
from medsmith.phantoms.space import Field, Grid, Point, Points
from medsmith.phantoms.tissue import Textures

STEP_MM = (2.2, 4.0)
"""Finest and coarsest voxel of the grid on which candidates are tested."""
AROUND_MM = 24.0
"""Margin of that grid around the organ."""
STRETCH_MM = 46.0
"""Half the length of the stretch of a long organ that is searched."""
TRIES = 48
SHRINK = 0.88
SMALLEST_MM = 3.0
CLOSE_MM = 2.0
"""Gap below which another organ is adjacent."""
OUTSIDE_WITHIN = 0.03
"""Largest share of the surface outside the organ for a lesion within it."""
OUTSIDE_PROTRUDING = (0.32, 0.68)
"""Range of that share for a protruding lesion."""


@final
@dataclass(frozen=True, eq=False)
class OrganSurroundings:
    """An organ and what lies around it, on a coarse grid.

    Attributes:
        organ: the organ.
        grid: coarse points around it, or around a stretch of it.
        distance: to the organ's outer surface.
        free: voxels that a lesion may occupy: the organ, fat, bowel.
        others: other labeled organs.
        axis: direction of the organ's course at the stretch; feet-head where it has none.
    """

    organ: Organ
    grid: Grid
    distance: Field
    free: Bool[np.ndarray, "x y z"]
    others: Bool[np.ndarray, "x y z"]
    axis: Point

    @cached_property
    def gap(self) -> Field:
        """Distance to the nearest other labeled organ."""
        if not self.others.any():
            return np.full(self.grid.shape, 99.0, np.float32)
        far = distance_transform_edt(~self.others, sampling=self.grid.spacing) - 0.5 * self.grid.spacing
        return np.asarray(far, np.float32)

    @property
    def deepest(self) -> Point:
        """The point farthest below the organ's surface."""
        place = np.unravel_index(int(np.argmin(self.distance)), self.distance.shape)
        return np.array([axis[i] for axis, i in zip(self.grid.axes, place, strict=True)])

    def sampled(self, field: Field, points: Points) -> Float32[np.ndarray, " _"]:
        """Linear interpolation at patient positions."""
        first = np.array([axis[0] for axis in self.grid.axes])
        places = ((points - first) / self.grid.spacing).T
        return np.asarray(map_coordinates(field, places, order=1, mode="nearest"))

    def candidates(self, chosen: Bool[np.ndarray, "x y z"], rng: np.random.Generator) -> Points:
        """Some of these voxels in random order, as patient positions moved within their voxel."""
        found = np.argwhere(chosen)
        some = found[rng.permutation(len(found))[:TRIES]]
        first = np.array([axis[0] for axis in self.grid.axes])
        places: Points = first + (some + rng.uniform(-0.4, 0.4, some.shape)) * self.grid.spacing
        return places


def survey(anatomy: Anatomy, organ: Organ, label: int, rng: np.random.Generator) -> OrganSurroundings:
    """The surroundings of an organ, or of a random stretch of a long one."""
    low, high, axis = organ.solid.low - AROUND_MM, organ.solid.high + AROUND_MM, np.array([0.0, 0.0, 1.0])
    if organ.course is not None:
        count = len(organ.course)
        place = int(rng.integers(max(1, count // 8), count - max(1, count // 8)))
        axis = organ.course[min(place + 1, count - 1)] - organ.course[max(place - 1, 0)]
        axis = axis / np.sqrt(np.sum(axis**2))
        low = np.maximum(low, organ.course[place] - STRETCH_MM)
        high = np.minimum(high, organ.course[place] + STRETCH_MM)
    spacing = float(np.clip(np.max(high - low) / 44, *STEP_MM))
    grid = Grid.around(anatomy.warp, low, high, spacing)
    canvas = anatomy.painted(grid, Textures.none(grid.shape))
    distance = organ.solid.distance(grid)
    free = ((canvas.labels == label) & (distance <= 0)) | (canvas.yields & (distance > 0))
    others = (canvas.labels != 0) & (canvas.labels != label)
    return OrganSurroundings(organ, grid, distance, free, others, axis)


def place_star(
    surroundings: OrganSurroundings, star: Star, edges: Point, protruding: bool, close: bool, rng: np.random.Generator
) -> tuple[Point, Point]:
    """A center for a star-shaped lesion; where it does not fit, smaller edges.

    Args:
        surroundings: of the organ.
        star: the lesion's surface.
        edges: of its bounding box in mm.
        protruding: whether it extends beyond the organ.
        close: whether it lies close to another organ, if there is such a place.
        rng: generator.

    Returns:
        Center and edges in mm.
    """
    surface = star.points[:: max(1, len(star.points) // 300)]
    surface = (surface - (surface.min(axis=0) + surface.max(axis=0)) / 2) / np.ptp(surface, axis=0)
    cloud = np.concatenate([surface, surface * 0.6])
    for attempt in range(30):
        shrunk = np.maximum(edges * SHRINK**attempt, min(SMALLEST_MM, float(edges.max())))
        found = _find_center(surroundings, cloud * shrunk, len(surface), protruding, close, rng)
        if found is not None:
            return found, shrunk
    return surroundings.deepest, np.minimum(edges, SMALLEST_MM)


def _find_center(
    surroundings: OrganSurroundings,
    cloud: Points,
    surface: int,
    protruding: bool,
    close: bool,
    rng: np.random.Generator,
) -> Point | None:
    """The first candidate that satisfies the rule of its location and, if possible, the requested relationship."""
    half = float(np.ptp(cloud, axis=0).min()) / 2
    depth = np.abs(surroundings.distance) < 0.7 * half + surroundings.grid.spacing / 2
    chosen = depth if protruding else surroundings.distance < min(-0.5 * half, -0.5)
    free = surroundings.free.astype(np.float32)
    second: Point | None = None
    center: Point
    for center in surroundings.candidates(chosen, rng):
        points = center + cloud
        outside = float((surroundings.sampled(surroundings.distance, points[:surface]) > 0).mean())
        clear = float((surroundings.sampled(free, points) > 0.5).mean())
        fits = outside <= OUTSIDE_WITHIN
        if protruding:
            fits = OUTSIDE_PROTRUDING[0] <= outside <= OUTSIDE_PROTRUDING[1]
        if fits and clear >= 0.96:
            near = float(surroundings.sampled(surroundings.gap, points[:surface]).min()) < CLOSE_MM
            if near == close:
                return center
            second = center if second is None else second
    return second


def place_in_lumen(
    surroundings: OrganSurroundings, edges: Point, rng: np.random.Generator, touching: bool
) -> tuple[Point, Point]:
    """A center in the lumen: on its lowest wall (the patient lies on the back), or on any wall; edges shrunk to fit."""
    lumen = surroundings.distance + np.float32(surroundings.organ.wall_mm)
    room = -float(lumen.min())
    shrunk = edges * min(1.0, 1.7 * room / float(np.median(edges)))
    radius = float(np.median(shrunk)) / 2
    depth = min(radius * (0.45 if touching else 1.0), 0.92 * room)
    band = max(surroundings.grid.spacing, 0.08 * room)
    places = surroundings.candidates((lumen < -depth + 0.3 * band) & (lumen > -depth - band) & surroundings.free, rng)
    inside = [place for place in places if float(surroundings.sampled(lumen, place[None])[0]) <= -depth]
    if not inside:
        return surroundings.deepest, shrunk
    return (inside[0] if touching else min(inside, key=lambda place: float(place[1]))), shrunk


def place_on_wall(surroundings: OrganSurroundings, rng: np.random.Generator) -> Point:
    """A center in the middle of the wall, near the middle of the stretch."""
    offset = np.abs(surroundings.distance + np.float32(surroundings.organ.wall_mm / 2))
    chosen = (offset < surroundings.grid.spacing * 0.6) & surroundings.free
    if surroundings.organ.course is not None:
        middle = [axis.mean() for axis in surroundings.grid.axes]
        shape = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
        along = sum(
            (axis - m).reshape(s) * w
            for axis, m, s, w in zip(surroundings.grid.axes, middle, shape, surroundings.axis, strict=True)
        )
        chosen &= np.abs(along) < 0.3 * STRETCH_MM
    places = surroundings.candidates(chosen, rng)
    return np.asarray(places[0] if len(places) else surroundings.deepest)
