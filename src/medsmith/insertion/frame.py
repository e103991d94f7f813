"""The cube in which a lesion is synthesized: an isotropic grid around a box, independent of the scan's spacing.

Axes: x y z voxel axes of the scan along right, anterior, superior; s s s those of the cube, which run along them.
Resampling is separable, one matrix per axis. On the way in it is a triangle filter as wide as a voxel of the cube
where that is wider than the scan's, which avoids aliasing, and linear interpolation otherwise (as in
``data.resizing``). On the way back it is linear interpolation at the centers of the scan's voxels, which is exact for
linear intensity profiles.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Integer, Shaped
from pydantic import BaseModel, ConfigDict, Field, model_validator

from medsmith.formats.volume import Region
from medsmith.geometry import Geometry
from medsmith.insertion.box import Box

AIR_HU = -1000.0
"""Padding value outside a CT."""
_EDGE = 1e-9
"""Share of a voxel by which a center may miss a face and still count as inside."""
SUBVOXELS = 4
"""Places along each axis of a voxel where its share in a lesion is sampled; even, so that none is at its center."""
Triple = tuple[float, float, float]


@final
@dataclass(frozen=True, eq=False)
class Frame:
    """An isotropic cube of voxels in a scan.

    Attributes:
        scan: grid of the scan, canonical.
        center: middle of the cube in the scan's voxel coordinates.
        size: voxels along each edge of the cube.
        spacing_mm: edge of a voxel of the cube.
    """

    scan: Geometry
    center: Triple
    size: int
    spacing_mm: float

    @classmethod
    def about(
        cls,
        box: Box,
        scan: Geometry,
        size: int,
        fill: float = 0.625,
        finest_mm: float = 0.5,
        coarsest_mm: float | None = None,
    ) -> "Frame":
        """The cube around the middle of a box, as fine as the box allows.

        Args:
            box: bounds of the lesion in the scan.
            scan: grid of the scan, canonical.
            size: voxels along each edge of the cube.
            fill: share of the cube's edge that the longest edge of the box takes.
            finest_mm: smallest voxel edge of the cube; a small lesion then fills less of it.
            coarsest_mm: largest voxel edge; a large lesion then fills more of the cube; None for no limit.
        """
        longest = max(count * edge for count, edge in zip(box.shape, scan.spacing, strict=True))
        spacing = max(longest / (fill * size), finest_mm)
        return cls(scan, box.center, size, spacing if coarsest_mm is None else min(spacing, coarsest_mm))

    @property
    def geometry(self) -> Geometry:
        """The cube's grid in the patient."""
        scale = self._step
        affine = self.scan.affine.copy()
        affine[:3, :3] = self.scan.affine[:3, :3] * scale
        first = np.array(self.center) - (self.size - 1) / 2 * scale
        affine[:3, 3] = self.scan.affine[:3, :3] @ first + self.scan.affine[:3, 3]
        return Geometry((self.size, self.size, self.size), affine, self.scan.codes, self.scan.spacing_known)

    @property
    def region(self) -> Region:
        """The scan's voxels whose centers lie in the cube."""
        bounds = [self._bounds(axis) for axis in range(3)]
        return slice(*bounds[0]), slice(*bounds[1]), slice(*bounds[2])

    def on(self, region: Region) -> "Frame":
        """The same cube relative to a region of the scan instead of the whole scan."""
        x, y, z = (place - part.start for place, part in zip(self.center, region, strict=True))
        return Frame(crop_geometry(self.scan, region), (x, y, z), self.size, self.spacing_mm)

    def resample_in(self, volume: Shaped[np.ndarray, "x y z"], outside: float) -> Float32[np.ndarray, "s s s"]:
        """A volume resampled to the cube; only the voxels that are needed are read.

        Args:
            volume: values on the scan's grid; may be memory-mapped.
            outside: the value of voxels of the cube whose centers lie outside the scan.
        """
        pairs = [self._resampling_matrix(axis) for axis in range(3)]
        first, last = pairs[2][1].start, pairs[2][1].stop
        slices = (volume[pairs[0][1], pairs[1][1], z].astype(np.float64) for z in range(first, last))
        flat = [pairs[0][0] @ each @ pairs[1][0].T for each in slices]
        cube = np.stack(flat, axis=-1) @ pairs[2][0].T
        return np.where(self._inside_scan(), cube, outside).astype(np.float32)

    def resample_labels_in(
        self, labels: Integer[np.ndarray, "x y z"], outside: int = 0
    ) -> Integer[np.ndarray, "s s s"]:
        """A label map resampled to the cube by nearest neighbor.

        Args:
            labels: one label per voxel of the scan.
            outside: the label of voxels of the cube whose centers lie outside the scan.
        """
        nearest = [
            np.clip(np.rint(self._centers(axis)).astype(np.intp), 0, count - 1)
            for axis, count in enumerate(self.scan.shape)
        ]
        sampled: Integer[np.ndarray, "s s s"] = labels[np.ix_(*nearest)]
        sampled[~self._inside_scan()] = outside
        return sampled

    def resample_out(self, values: Shaped[np.ndarray, "s s s"]) -> Float32[np.ndarray, "x y z"]:
        """The cube resampled to the scan's voxels in ``region``, by linear interpolation.

        Centers beyond the outermost centers of the cube, by half a voxel at most, get the nearest value.
        """
        across, along, up = (self._interpolation_matrix(axis) for axis in range(3))
        flat = values.astype(np.float64) @ up.T
        resampled = np.empty((len(across), len(along), len(up)), dtype=np.float32)
        for z in range(len(up)):
            resampled[..., z] = across @ flat[..., z] @ along.T
        return resampled

    def share_above(self, field: Float32[np.ndarray, "s s s"], level: float) -> Float32[np.ndarray, "x y z"]:
        """The share of each of the scan's voxels in ``region`` where a field on the cube exceeds a level.

        The field is interpolated linearly at ``SUBVOXELS`` places along each axis of a voxel, so that shares are
        multiples of 1/64. A plane through the center of a voxel along its faces gives exactly one half.

        Args:
            field: values on the cube.
            level: the share of larger values is returned.
        """
        across, along, up = (self._interpolation_matrix(axis, SUBVOXELS).astype(np.float32) for axis in range(3))
        flat = field @ up.T
        width, depth, height = (len(rows) // SUBVOXELS for rows in (across, along, up))
        counts = np.zeros((width, depth, height), dtype=np.float32)
        for place in range(len(up)):
            above = (across @ flat[..., place] @ along.T) > level
            counts[..., place // SUBVOXELS] += above.reshape(width, SUBVOXELS, depth, SUBVOXELS).sum(axis=(1, 3))
        return counts / np.float32(SUBVOXELS**3)

    def inside(self, box: Box) -> Bool[np.ndarray, "s s s"]:
        """Voxels of the cube whose centers lie in a box of the scan."""
        axes = [
            (self._centers(axis) >= box.low[axis] - 0.5 - _EDGE) & (self._centers(axis) < box.high[axis] - 0.5 - _EDGE)
            for axis in range(3)
        ]
        return _all_axes(*axes)

    @property
    def _step(self) -> Float64[np.ndarray, "3"]:
        """Edge of a voxel of the cube in voxels of the scan."""
        step: Float64[np.ndarray, "3"] = self.spacing_mm / np.array(self.scan.spacing)
        return step

    def _centers(self, axis: int) -> Float64[np.ndarray, "s"]:
        """Centers of the cube's voxels in voxel coordinates of the scan."""
        offsets: Float64[np.ndarray, "s"] = (np.arange(self.size) - (self.size - 1) / 2) * self._step[axis]
        return self.center[axis] + offsets

    def _bounds(self, axis: int) -> tuple[int, int]:
        half = self.size * self._step[axis] / 2
        low = int(np.ceil(self.center[axis] - half - _EDGE))
        high = int(np.floor(self.center[axis] + half + _EDGE)) + 1
        count = self.scan.shape[axis]
        return min(max(low, 0), count), min(max(high, 0), count)

    def _inside_scan(self) -> Bool[np.ndarray, "s s s"]:
        axes = [
            (self._centers(axis) >= -0.5 - _EDGE) & (self._centers(axis) <= count - 0.5 + _EDGE)
            for axis, count in enumerate(self.scan.shape)
        ]
        return _all_axes(*axes)

    def _resampling_matrix(self, axis: int) -> tuple[Float64[np.ndarray, "s n"], slice]:
        """Resampling matrix from the scan to the cube along an axis, and the scan's voxels that it needs."""
        count, centers = self.scan.shape[axis], np.clip(self._centers(axis), -0.5, self.scan.shape[axis] - 0.5)
        radius = max(float(self._step[axis]), 1.0)
        first = max(int(np.ceil(centers[0] - radius)), 0)
        last = min(int(np.floor(centers[-1] + radius)), count - 1)
        distance = np.abs(np.arange(first, last + 1) - centers[:, None]) / radius
        weights = np.clip(1.0 - distance, 0.0, None)
        rows: Float64[np.ndarray, "s n"] = weights / weights.sum(axis=1, keepdims=True)
        return rows, slice(first, last + 1)

    def _interpolation_matrix(self, axis: int, parts: int = 1) -> Float64[np.ndarray, "n s"]:
        """Interpolation matrix from the cube to the region's voxels, or to their parts, along an axis."""
        low, high = self._bounds(axis)
        voxels = low - 0.5 + (np.arange((high - low) * parts) + 0.5) / parts
        places = (voxels - self.center[axis]) / self._step[axis] + (self.size - 1) / 2
        places = np.clip(places, 0, self.size - 1)
        rows: Float64[np.ndarray, "n s"] = np.clip(1.0 - np.abs(np.arange(self.size) - places[:, None]), 0.0, None)
        return rows


@final
class FrameConfig(BaseModel):
    """Settings of the cube that a network works in, about the lesion's box.

    Attributes:
        size: voxels along each edge.
        fill: share of the edge that the box's longest edge takes, where the limits below allow it.
        finest_mm: smallest voxel edge.
        coarsest_mm: largest voxel edge; None for no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: int = Field(default=32, ge=8, le=512)
    fill: float = Field(default=0.625, gt=0, le=1)
    finest_mm: float = Field(default=0.5, gt=0)
    coarsest_mm: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _limits_in_order(self) -> "FrameConfig":
        if self.coarsest_mm is not None and self.coarsest_mm < self.finest_mm:
            raise ValueError(f"coarsest_mm {self.coarsest_mm} is below finest_mm {self.finest_mm}")
        return self

    def about(self, box: Box, scan: Geometry) -> Frame:
        """The cube about a box of a scan."""
        return Frame.about(box, scan, self.size, self.fill, self.finest_mm, self.coarsest_mm)


def crop_geometry(scan: Geometry, region: Region) -> Geometry:
    """The grid of a region of a scan."""
    shape = tuple(part.stop - part.start for part in region)
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array([part.start for part in region], dtype=np.float64)
    return Geometry((shape[0], shape[1], shape[2]), affine, scan.codes, scan.spacing_known)


def _all_axes(
    first: Bool[np.ndarray, "x"], second: Bool[np.ndarray, "y"], third: Bool[np.ndarray, "z"]
) -> Bool[np.ndarray, "x y z"]:
    whole: Bool[np.ndarray, "x y z"] = first[:, None, None] & second[:, None] & third
    return whole
