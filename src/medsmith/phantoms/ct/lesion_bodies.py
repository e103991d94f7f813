"""Bodies of lesions in patient mm: star-shaped bodies, thickened walls, and polyps.

A body is a signed distance in mm, negative inside. Its bounding box has the requested edges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64
from scipy.ndimage import map_coordinates

from medsmith.phantoms.ct.organs import Organ
from medsmith.phantoms.space import Field, Grid, Point, Points

POLAR, AROUND = 65, 128
"""Directions in which the radius of a star is known: from pole to pole, and around."""


@final
@dataclass(frozen=True, eq=False)
class LesionBody:
    """A lesion's body.

    Attributes:
        center: patient mm.
        reach: half edges in mm of a box about the center that holds it.
        distance: signed distance in mm on a grid.
    """

    center: Point
    reach: Point
    distance: Callable[[Grid], Field]


@final
@dataclass(frozen=True)
class Bumps:
    """Bumps and dents on a sphere.

    Attributes:
        count: how many.
        height: smallest and largest, as a share of the radius; of either sign where `dents` is true.
        width: smallest and largest standard deviation in radians.
        dents: whether every second one points inwards.
    """

    count: tuple[int, int]
    height: tuple[float, float]
    width: tuple[float, float]
    dents: bool = True


SMOOTH = Bumps((4, 7), (0.02, 0.05), (0.35, 0.7))
LOBULATED = Bumps((12, 18), (0.4, 0.8), (0.2, 0.36))
SPICULES = Bumps((12, 20), (0.35, 0.75), (0.09, 0.14), dents=False)


@final
@dataclass(frozen=True, eq=False)
class Star:
    """A star-shaped surface about the origin, before it is scaled.

    Attributes:
        radius: at the directions of the table (polar angle x azimuth).
    """

    radius: Float64[np.ndarray, "p a"]

    @property
    def points(self) -> Points:
        """Points of the surface."""
        surface: Points = (self.radius[..., None] * DIRECTIONS).reshape(-1, 3)
        return surface

    def placed(self, center: Point, edges: Point) -> LesionBody:
        """Scaled so that its bounding box has these edges in mm about this center."""
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        scale, middle = edges / (high - low), (low + high) / 2
        return LesionBody(center, edges / 2, lambda grid: self._distance(grid, center, scale, middle))

    def _distance(self, grid: Grid, center: Point, scale: Point, middle: Point) -> Field:
        axes = [
            ((axis - c) / s + m).astype(np.float32)
            for axis, c, s, m in zip(grid.axes, center, scale, middle, strict=True)
        ]
        x, y, z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
        flat = x * x + y * y
        level = np.sqrt(flat + z * z)
        polar = np.arctan2(np.sqrt(flat) + 0 * z, z + 0 * flat) * np.float32((POLAR - 1) / np.pi)
        turn = np.broadcast_to(np.arctan2(y, x) * np.float32(AROUND / (2 * np.pi)) % AROUND, polar.shape)
        closed = np.concatenate([self.radius, self.radius[:, :1]], axis=1).astype(np.float32)
        limit = map_coordinates(closed, [polar, turn], order=1, mode="nearest")
        field = level - limit
        return _normalized(field, grid, float(1 / scale.max()))


def _normalized(field: Field, grid: Grid, least: float) -> Field:
    """A field over the length of its gradient, which is at least `least` per mm."""
    if min(field.shape) < 2:
        return field / np.float32(least)
    steep = sum((part * part for part in np.gradient(field, *grid.steps)), np.float32(0))
    distance: Field = (field / np.sqrt(np.maximum(steep, np.float32(least * least)))).astype(np.float32)
    return distance


_POLAR = np.linspace(0, np.pi, POLAR)[:, None]
_TURN = np.arange(AROUND)[None, :] * (2 * np.pi / AROUND)
DIRECTIONS = np.stack(
    [np.sin(_POLAR) * np.cos(_TURN), np.sin(_POLAR) * np.sin(_TURN), np.cos(_POLAR) + 0 * _TURN], axis=-1
)
"""Unit vectors of the table (polar angle x azimuth x 3)."""


def sample_star(rng: np.random.Generator, kinds: Sequence[Bumps]) -> Star:
    """A sphere with all these bumps."""
    radius = np.ones((POLAR, AROUND))
    for bumps in kinds:
        radius += _bump_heights(rng, bumps)
    return Star(np.maximum(radius, 0.45))


def _bump_heights(rng: np.random.Generator, bumps: Bumps) -> Float64[np.ndarray, "p a"]:
    deviation = np.zeros((POLAR, AROUND))
    for index in range(int(rng.integers(*bumps.count, endpoint=True))):
        towards = rng.normal(size=3)
        towards /= np.sqrt(np.sum(towards**2))
        angle = np.arccos(np.clip(np.einsum("pai,i->pa", DIRECTIONS, towards), -1, 1))
        height = rng.uniform(*bumps.height) * (-0.8 if bumps.dents and index % 2 else 1)
        bump = height * np.exp(-0.5 * (angle / rng.uniform(*bumps.width)) ** 2)
        deviation = deviation + bump if bumps.dents else np.maximum(deviation, bump)
    return deviation


@final
@dataclass(frozen=True)
class Swelling:
    """How a wall is thickened.

    Attributes:
        length: of the thickened piece in mm.
        inwards: greatest growth into the lumen in mm.
        outwards: greatest growth outwards in mm.
        rough: depth of its unevenness, as a share.
        ring: whether it goes all around.
        radius: of the organ there in mm; a ring reaches no farther than twice that from its axis.
    """

    length: float
    inwards: float
    outwards: float
    rough: float
    ring: bool
    radius: float


def thickened(organ: Organ, center: Point, axis: Point, swelling: Swelling, star: Star) -> LesionBody:
    """The wall of a hollow organ with a swelling, made uneven by the bumps of a star."""
    half = swelling.length / 2
    aside = 1.6 * swelling.radius + 6
    wide = float(np.hypot(1.3 * half, aside)) if swelling.ring else 1.3 * half + 4

    def distance(grid: Grid) -> Field:
        outer = organ.solid.distance(grid)
        offset = [
            np.broadcast_to((axis - c).astype(np.float32).reshape(shape), grid.shape)
            for axis, c, shape in zip(grid.axes, center, ((-1, 1, 1), (1, -1, 1), (1, 1, -1)), strict=True)
        ]
        along = sum((part * np.float32(w) for part, w in zip(offset, axis, strict=True)), np.float32(0))
        straight = np.sqrt(sum((p * p for p in offset), np.float32(0)))
        far = np.abs(along) if swelling.ring else straight
        uneven = 1 + np.float32(swelling.rough) * _unevenness_at(star, offset, half)
        bell = np.clip(1 - (far / np.float32(half)) ** 2 / uneven, 0, 1)
        inner = -(outer + np.float32(organ.wall_mm) + bell * np.float32(swelling.inwards) * uneven)
        shell = np.maximum(outer - bell * np.float32(swelling.outwards) * uneven, inner)
        ends = far - np.float32(half) * np.sqrt(uneven)
        if swelling.ring:
            ends = np.maximum(ends, np.sqrt(np.maximum(straight**2 - along**2, 0)) - np.float32(aside))
        return np.asarray(np.maximum(shell, ends), np.float32)

    return LesionBody(center, np.full(3, wide), distance)


def _unevenness_at(star: Star, offset: Sequence[Field], half: float) -> Field:
    """Normalized radius deviation of the star in the direction of each point, about -1 to 1; damped near the center."""
    flat = np.sqrt(offset[0] ** 2 + offset[1] ** 2)
    polar = np.arctan2(flat, offset[2]) * np.float32((POLAR - 1) / np.pi)
    turn = np.arctan2(offset[1], offset[0]) * np.float32(AROUND / (2 * np.pi)) % AROUND
    deviation = (star.radius - star.radius.mean()) / max(float(np.abs(star.radius - star.radius.mean()).max()), 1e-6)
    closed = np.concatenate([deviation, deviation[:, :1]], axis=1).astype(np.float32)
    calm = np.clip(np.sqrt(flat**2 + offset[2] ** 2) / np.float32(0.5 * half), 0, 1)
    found: Field = map_coordinates(closed, [polar, turn], order=1, mode="nearest") * calm
    return np.asarray(np.maximum(found, np.float32(-0.6)))


def clipped(body: LesionBody, organ: Organ) -> LesionBody:
    """The part of a body within an organ's outer surface."""
    return LesionBody(body.center, body.reach, lambda grid: np.maximum(body.distance(grid), organ.solid.distance(grid)))
