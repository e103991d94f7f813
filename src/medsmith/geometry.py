"""The voxel grid of one image in the patient.

Axes: x y z voxel axes in file order. A 2-D image has z == 1. In a picture (PNG), x points right and y down.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64

from medsmith.errors import GeometryError

BETWEEN_RAS_AND_LPS: Float64[np.ndarray, "3 3"] = np.diag([-1.0, -1.0, 1.0])
"""Turns positions and directions of NIfTI (RAS+) into those of DICOM and ITK (LPS+), and back."""


@final
@dataclass(frozen=True, eq=False)
class Geometry:
    """The voxel grid of one image in the patient.

    Attributes:
        shape: voxels along x, y, z.
        affine: voxel index -> patient position in mm, axes RAS+ (NIfTI).
        codes: NIfTI sform and qform codes, kept from input to output.
        spacing_known: False where the file format stores no spacing (PNG) and 1 mm is assumed.
    """

    shape: tuple[int, int, int]
    affine: Float64[np.ndarray, "4 4"]
    codes: tuple[int, int] = (1, 1)
    spacing_known: bool = True

    @classmethod
    def plain(cls, shape: tuple[int, int, int]) -> "Geometry":
        """The grid of a picture without a stored spacing: 1 mm is assumed."""
        return cls(shape, np.eye(4), spacing_known=False)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel edge lengths in mm along x, y, z."""
        edges = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(edges[0]), float(edges[1]), float(edges[2])

    @property
    def dimensions(self) -> int:
        """2 for a single slice, else 3."""
        return 2 if self.shape[2] == 1 else 3

    def corners(self) -> Float64[np.ndarray, "8 3"]:
        """Patient positions in mm of the centers of the eight corner voxels."""
        ends = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1).T
        positions: Float64[np.ndarray, "8 3"] = ends @ self.affine[:3, :3].T + self.affine[:3, 3]
        return positions

    def displacement(self, other: "Geometry") -> float:
        """Largest distance in mm between matching corners of two grids of one shape.

        Raises:
            GeometryError: the shapes differ.
        """
        if self.shape != other.shape:
            raise GeometryError("grid", f"shapes differ: {self.shape} and {other.shape}")
        return float(np.linalg.norm(self.corners() - other.corners(), axis=1).max())

    def resampled(self, shape: tuple[int, int, int]) -> "Geometry":
        """A grid of another shape over the same field of view (outer voxel faces kept)."""
        ratio = np.array(self.shape, dtype=np.float64) / np.array(shape, dtype=np.float64)
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * ratio
        affine[:3, 3] = self.affine[:3, 3] + self.affine[:3, :3] @ ((ratio - 1) / 2)
        return Geometry(shape, affine, self.codes, self.spacing_known)
