"""The smooth surface of a voxel mask, as a mesh in mm.

Voxel staircases bias shape measures by as much as the effects of interest (a digital ball of three voxels' radius fills
.7 of its hull). A mask is therefore smoothed by a fraction of a voxel and resampled to a finer isotropic grid before
marching cubes (Lewiner et al. 2003).
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int
from scipy import ndimage
from skimage.measure import marching_cubes

SMOOTHING = 0.7
"""Standard deviation of the Gaussian in native voxels: it removes staircases and keeps structures two voxels wide."""
RADIUS_VOXELS = 12
"""Fewest voxels that the equivalent radius spans on the finer grid."""
LARGEST_GRID = 150_000
"""Most voxels of the finer grid; larger masks are sampled more coarsely, with a wider Gaussian."""
_MARGIN = 2

Spacing = tuple[float, float, float]


@final
@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed triangle mesh.

    Attributes:
        vertices: positions in mm along the voxel axes; the center of voxel (0, 0, 0) is the origin.
        faces: three vertices each, consistently oriented.
    """

    vertices: Float64[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]

    @property
    def area(self) -> float:
        """Surface in mm^2."""
        return float(np.linalg.norm(self._normals(), axis=1).sum() / 2)

    @property
    def volume(self) -> float:
        """Enclosed volume in mm^3 (divergence theorem)."""
        return float(abs(np.einsum("fi,fi->", self.vertices[self.faces[:, 0]], self._normals())) / 6)

    @property
    def normals(self) -> Float64[np.ndarray, "v 3"]:
        """Unit outward normals at the vertices, weighted by the area of the faces that meet there."""
        summed = np.zeros_like(self.vertices)
        across = self._normals()
        for corner in range(3):
            np.add.at(summed, self.faces[:, corner], across)
        outward = np.sign(np.einsum("fi,fi->", self.vertices[self.faces[:, 0]], across))
        return np.asarray(outward * summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12))

    def _normals(self) -> Float64[np.ndarray, "f 3"]:
        """Normals of the faces, twice their area long."""
        first, second, third = (self.vertices[self.faces[:, corner]] for corner in range(3))
        return np.asarray(np.cross(second - first, third - first))


def surface_of(mask: Bool[np.ndarray, "x y z"], spacing: Spacing) -> Mesh:
    """The isosurface that preserves the mask's volume.

    Args:
        mask: at least one voxel.
        spacing: voxel edges in mm.

    Raises:
        ValueError: the mask is empty.
    """
    if not mask.any():
        raise ValueError("an empty mask has no surface")
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    edges = np.asarray(spacing, np.float64)
    inner = np.pad(mask[box], _MARGIN).astype(np.float32)
    step = _step(inner, edges)
    field, origin = _resampled(inner, edges, step)
    vertices, faces, _, _ = marching_cubes(field, _level(field, float(inner.sum() * edges.prod() / step**3)))
    corner = (np.array([part.start for part in box]) - _MARGIN) * edges
    return Mesh(vertices * step + origin + corner, faces)


def _step(inner: Float32[np.ndarray, "x y z"], edges: Float64[np.ndarray, " 3"]) -> float:
    """Voxel edge of the finer grid in mm."""
    radius = np.cbrt(3 * inner.sum() * edges.prod() / (4 * np.pi))
    coarsest = np.cbrt(np.prod(inner.shape * edges) / LARGEST_GRID)
    return float(max(min(radius / RADIUS_VOXELS, edges.min()), coarsest))


def _resampled(
    inner: Float32[np.ndarray, "x y z"], edges: Float64[np.ndarray, " 3"], step: float
) -> tuple[Float32[np.ndarray, "u v w"], Float64[np.ndarray, " 3"]]:
    """The smoothed mask on a grid of cubes about the same center, and that grid's first voxel in mm."""
    smooth = ndimage.gaussian_filter(inner, np.maximum(SMOOTHING, 0.4 * step / edges), mode="constant")
    shape = np.ceil(np.array(inner.shape) * edges / step).astype(int)
    origin = ((np.array(inner.shape) - 1) * edges - (shape - 1) * step) / 2
    field = ndimage.affine_transform(smooth, step / edges, origin / edges, tuple(shape), order=3)
    return _zero_border(field), origin


def _zero_border(field: Float32[np.ndarray, "u v w"]) -> Float32[np.ndarray, "u v w"]:
    """Zero on the grid's own border, so that the surface closes."""
    zeroed = np.zeros_like(field)
    zeroed[1:-1, 1:-1, 1:-1] = field[1:-1, 1:-1, 1:-1]
    return zeroed


def _level(field: Float32[np.ndarray, "u v w"], voxels: float) -> float:
    """The level that preserves the mask's volume, clipped to the middle of the field's range."""
    rank = int(np.clip(round(voxels), 1, field.size - 1))
    level = float(np.partition(field.ravel(), field.size - rank)[field.size - rank])
    return float(np.clip(level, 0.2 * field.max(), 0.8 * field.max()))
