"""Space of the CT and chest phantoms: patient millimeters, the warp of the anatomy, and grids of sample points.

Two spaces, both RAS+ in mm: *patient* (of the voxels) and *anatomical* (in which organs are defined). A smooth
random warp maps patient to anatomical positions, so that organs differ between seeds.

Axes: x y z voxel axes; k l m knots of a cubic B-spline.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64
from scipy.ndimage import map_coordinates
from scipy.sparse import csr_array

WINDOW_MM = 128.0
"""Edge of the cube that is rendered."""
COARSE_WARP_MM = (48.0, 3.2)
"""Knot distance and standard deviation of the warp that bends organs."""
FINE_WARP_MM = (17.0, 0.8)
"""Likewise, of the warp that roughens their surfaces."""
REGION_MM = ((-230.0, -170.0, -360.0), (230.0, 170.0, 330.0))
"""Bounds of the warp."""

Field = Float32[np.ndarray, "x y z"]
Point = Float64[np.ndarray, "3"]
Points = Float64[np.ndarray, "_ 3"]
Part = tuple[slice, slice, slice]


def stream(seed: int, name: str) -> np.random.Generator:
    """An independent random generator for one structure of one case."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode())])))


def spline_matrix(positions: Float64[np.ndarray, " n"], low: float, knot_mm: float, knots: int) -> csr_array:
    """Uniform cubic B-splines (n x k) with knots at low, low + knot_mm, ...; four of them meet every position."""
    place = np.clip((positions - low) / knot_mm, 1.0, knots - 2.001)
    first = np.floor(place).astype(np.int64) - 1
    t = place - np.floor(place)
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    columns = first[:, None] + np.arange(4)
    rows = np.repeat(np.arange(positions.size), 4)
    return csr_array((weights.astype(np.float32).ravel(), (rows, columns.ravel())), shape=(positions.size, knots))


def spread_knots(
    knots: Float32[np.ndarray, "*knots"], matrices: Sequence[csr_array]
) -> Float32[np.ndarray, "*positions"]:
    """Values of a B-spline surface or volume on a grid, one sparse matrix per axis: no BLAS, for reproducible bytes."""
    values = knots
    for matrix in matrices:
        flat = matrix @ values.reshape(values.shape[0], -1)
        values = np.moveaxis(flat.reshape(-1, *values.shape[1:]), 0, -1)
        values = np.ascontiguousarray(values)
    return values


@runtime_checkable
class Placement(Protocol):
    """Where the anatomy lies in the patient."""

    @property
    def scale(self) -> tuple[float, float, float]:
        """Patient over anatomical size along x, y, z."""
        ...

    def on(self, axes: tuple[Float64[np.ndarray, " _"], ...]) -> Float32[np.ndarray, "3 x y z"]:
        """Anatomical positions of the points of a patient grid."""
        ...

    def back(self, points: Points) -> Points:
        """Patient positions of anatomical ones."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Displacement:
    """A smooth random vector field over `REGION_MM`.

    Attributes:
        knot_mm: distance of its knots.
        knots: B-spline coefficients in mm.
    """

    knot_mm: float
    knots: Float32[np.ndarray, "3 k l m"]

    def at(self, points: Points) -> Points:
        """Displacement in mm at patient positions."""
        places = np.clip((points.T - np.array(REGION_MM[0])[:, None]) / self.knot_mm + 1, 1, None)
        moved = [map_coordinates(part, places, order=3, prefilter=False, mode="nearest") for part in self.knots]
        return np.stack(moved, axis=1).astype(np.float64)

    def on(self, axes: tuple[Float64[np.ndarray, " _"], ...]) -> Float32[np.ndarray, "3 x y z"]:
        """Displacement in mm on a grid."""
        matrices = tuple(
            spline_matrix(axis, low - self.knot_mm, self.knot_mm, count)
            for axis, low, count in zip(axes, REGION_MM[0], self.knots.shape[1:], strict=True)
        )
        first, second, third = matrices
        return np.stack([spread_knots(part, (first, second, third)) for part in self.knots])


def sample_displacement(rng: np.random.Generator, knot_mm: float, sd_mm: float) -> Displacement:
    """A displacement whose coefficients are normal with this standard deviation, cut at two standard deviations."""
    low, high = np.array(REGION_MM[0]), np.array(REGION_MM[1])
    shape = (3, *(np.ceil((high - low) / knot_mm).astype(int) + 3))
    # The spline's own variance is about 0.11 of its coefficients' (0.479 per axis).
    knots = np.clip(rng.standard_normal(shape, dtype=np.float32), -2, 2) * np.float32(sd_mm / 0.331)
    return Displacement(knot_mm, knots)


@final
@dataclass(frozen=True, eq=False)
class Warp:
    """Patient to anatomical positions: a scale per axis, then two displacements.

    Attributes:
        scale: patient over anatomical size along x, y, z.
        bends: displacements, added to the scaled position.
    """

    scale: tuple[float, float, float]
    bends: tuple[Displacement, ...]

    def on(self, axes: tuple[Float64[np.ndarray, " _"], ...]) -> Float32[np.ndarray, "3 x y z"]:
        """Anatomical positions of the points of a patient grid."""
        moved: Float32[np.ndarray, "3 x y z"] = sum((bend.on(axes) for bend in self.bends[1:]), self.bends[0].on(axes))
        for index, (axis, scale) in enumerate(zip(axes, self.scale, strict=True)):
            shape = [1, 1, 1]
            shape[index] = axis.size
            moved[index] += (axis / scale).astype(np.float32).reshape(shape)
        return moved

    def back(self, points: Points) -> Points:
        """Patient positions of anatomical ones, by fixed-point iteration (to some 0.1 mm)."""
        scale = np.array(self.scale)
        patient = points * scale
        for _ in range(4):
            patient = (points - sum((bend.at(patient) for bend in self.bends), np.zeros_like(points))) * scale
        return np.asarray(patient)


def sample_warp(seed: int) -> Warp:
    """The warp of one case."""
    rng = stream(seed, "warp")
    overall = rng.uniform(0.92, 1.08)
    x, y, z = (float(overall * rng.uniform(0.96, 1.04)) for _ in range(3))
    return Warp((x, y, z), (sample_displacement(rng, *COARSE_WARP_MM), sample_displacement(rng, *FINE_WARP_MM)))


@final
@dataclass(frozen=True, eq=False)
class Grid:
    """Sample points on a regular grid of cubes, or of boxes whose height differs from their width.

    Attributes:
        axes: patient positions of the voxel centers along x, y, z in mm.
        spacing: edge of a voxel along x and y in mm.
        anatomical: anatomical positions of the voxel centers.
        whole: the grid that this one is a crop of, and its position in it; None for a whole grid.
        kept: cached fields that several structures share, on the whole grid.
        stretch: edge of a voxel along z over that along x and y.
    """

    axes: tuple[Float64[np.ndarray, " _"], Float64[np.ndarray, " _"], Float64[np.ndarray, " _"]]
    spacing: float
    anatomical: Float32[np.ndarray, "3 x y z"]
    whole: "tuple[Grid, Part] | None" = None
    kept: dict[str, Field] = field(default_factory=dict)
    stretch: float = 1.0

    @classmethod
    def over(
        cls, placement: Placement, low: Point, shape: tuple[int, int, int], spacing: float, stretch: float = 1.0
    ) -> "Grid":
        """The grid whose first voxel has its outer corner at low (patient mm)."""
        steps = (spacing, spacing, spacing * stretch)
        x, y, z = (low[i] + (np.arange(shape[i]) + 0.5) * steps[i] for i in range(3))
        return cls((x, y, z), spacing, placement.on((x, y, z)), stretch=stretch)

    @classmethod
    def around(cls, placement: Placement, low: Point, high: Point, spacing: float) -> "Grid":
        """The smallest grid of this spacing that covers a box in patient mm."""
        x, y, z = (max(2, int(np.ceil(edge / spacing))) for edge in high - low)
        return cls.over(placement, low, (x, y, z), spacing)

    @property
    def steps(self) -> tuple[float, float, float]:
        """Edges of a voxel along x, y, z in mm."""
        return self.spacing, self.spacing, self.spacing * self.stretch

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        x, y, z = self.axes
        return x.size, y.size, z.size

    def part(self, low: Point, high: Point) -> Part | None:
        """The voxels whose centers lie in a box in patient mm; None where there are none."""
        slices = []
        for axis, step, start, stop in zip(self.axes, self.steps, low, high, strict=True):
            first = max(0, int(np.ceil((start - axis[0]) / step)))
            last = min(axis.size, int(np.floor((stop - axis[0]) / step)) + 1)
            if last <= first:
                return None
            slices.append(slice(first, last))
        return slices[0], slices[1], slices[2]

    def parts(self, lows: Points, highs: Points) -> Iterator[tuple[int, Part]]:
        """Index and part of every box that holds centers of voxels; as `part`, for many boxes."""
        origin = np.array([axis[0] for axis in self.axes])
        firsts = np.maximum(np.ceil((lows - origin) / self.steps), 0).astype(np.int64)
        lasts = np.minimum(np.floor((highs - origin) / self.steps) + 1, self.shape).astype(np.int64)
        found = np.flatnonzero((lasts > firsts).all(axis=1))
        for index, (i, j, k), (u, v, w) in zip(
            found.tolist(), firsts[found].tolist(), lasts[found].tolist(), strict=True
        ):
            yield index, (slice(i, u), slice(j, v), slice(k, w))

    def crop(self, part: Part) -> "Grid":
        """The grid of these voxels alone."""
        x, y, z = (axis[cut] for axis, cut in zip(self.axes, part, strict=True))
        anatomical = self.anatomical[(slice(None), *part)]
        return Grid((x, y, z), self.spacing, anatomical, self._inside(part), stretch=self.stretch)

    def _inside(self, part: Part) -> "tuple[Grid, Part]":
        """The whole grid, and the position of a part of this one in it."""
        if self.whole is None:
            return self, part
        root, own = self.whole
        x, y, z = (slice(o.start + p.start, o.start + p.stop) for o, p in zip(own, part, strict=True))
        return root, (x, y, z)

    def once(self, name: str, compute: "Callable[[Grid], Field]") -> Field:
        """A shared field, computed once on the whole grid and cached."""
        if self.whole is None:
            if name not in self.kept:
                self.kept[name] = compute(self)
            return self.kept[name]
        root, part = self.whole
        return root.once(name, compute)[part]


def cover(distance: Field, width_mm: float) -> Field:
    """Share of a voxel inside a surface that lies at this signed distance; 1 inside, 0 outside, 1/2 on it.

    Args:
        distance: in mm, negative inside.
        width_mm: of the whole ramp (voxel edge and blur of the scanner together).
    """
    ramp = np.clip(0.5 - distance / np.float32(width_mm), 0, 1)
    share: Field = ramp * ramp * (3 - 2 * ramp)
    return share
