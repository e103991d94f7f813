"""An annotated image and its place in the patient.

Axes: c channels, x y z voxel axes in file order. A 2-D image has z == 1; its x runs along the columns of the
picture (to the right) and y along the rows (down), so that a PNG and a one-slice NIfTI are read alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from medsmith.errors import GeometryError

Json = Mapping[str, Any]


@final
@dataclass(frozen=True, eq=False)
class Geometry:
    """The voxel grid of one image in the patient.

    Attributes:
        shape: voxels along x, y, z.
        affine: voxel index -> patient position in mm, axes RAS+ (NIfTI).
        codes: NIfTI sform and qform codes, kept from input to output.
        spacing_known: False where the file format stores no spacing (PNG) and 1 mm stands in.
    """

    shape: tuple[int, int, int]
    affine: Float64[np.ndarray, "4 4"]
    codes: tuple[int, int] = (1, 1)
    spacing_known: bool = True

    @classmethod
    def plain(cls, shape: tuple[int, int, int]) -> "Geometry":
        """The grid of a picture: 1 mm stands in for a spacing that nobody wrote down."""
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
        """Patient positions in mm of the centres of the eight corner voxels."""
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


@final
@dataclass(frozen=True, eq=False)
class Case:
    """One annotated image in physical units (HU, or grey values as stored).

    Attributes:
        id: the case's name in its cohort, also its file name.
        image: c x y z, float32, in stored units (never normalised).
        labels: x y z, one integer label per voxel, 0 is background.
        geometry: the grid that image and labels share.
        channel_names: one name per channel ("CT", "ultrasound").
        label_names: label name -> value; "background" is 0.
        stored: the dtype in which the image is kept on disk.
        report: what is known of the lesions and how it is said, JSON; None where nobody wrote one.
        provenance: how a synthetic case was made, JSON; None for a real one.
    """

    id: str
    image: Float32[np.ndarray, "c x y z"]
    labels: UInt8[np.ndarray, "x y z"]
    geometry: Geometry
    channel_names: tuple[str, ...]
    label_names: Mapping[str, int]
    stored: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    report: Json | None = None
    provenance: Json | None = None

    def __post_init__(self) -> None:
        grid = self.geometry.shape
        if self.image.shape[1:] != grid or self.labels.shape != grid:
            raise GeometryError(
                self.id, f"image {self.image.shape[1:]} and labels {self.labels.shape} on a grid of {grid}"
            )
        if self.image.shape[0] != len(self.channel_names):
            raise GeometryError(
                self.id, f"{self.image.shape[0]} channels, named {', '.join(self.channel_names) or 'none'}"
            )

    @property
    def synthetic(self) -> bool:
        """Whether this case was made rather than measured."""
        return self.provenance is not None
