"""The planes of a scan as DICOM describes them (PS3.3, C.7.6.2): columns, rows and slices in the patient.

Axes: x y z voxel axes in file order, positions RAS+ in mm; s r c slices, rows and columns of a series, positions LPS+
in mm, as DICOM has them.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64, Shaped

from medsmith.errors import GeometryError
from medsmith.geometry import BETWEEN_RAS_AND_LPS, Geometry

_LEAST_COSINE = 1 - 1e-5
"""Of axes that count as perpendicular or parallel; PS3.3 demands it of row and column."""


@final
@dataclass(frozen=True, eq=False)
class Planes:
    """How voxels lie in the planes of a series.

    Attributes:
        axes: voxel axis along the slices, the rows and the columns.
        flipped: whether it runs the other way.
        columns: direction of increasing column index, a unit vector, LPS.
        rows: direction of increasing row index.
        slices: from one slice to the next in mm, LPS.
        first: position of the center of the first voxel of the first slice in mm, LPS.
        count: number of slices.
        pixel_spacing: distance of rows and of columns in mm.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    columns: Float64[np.ndarray, " 3"]
    rows: Float64[np.ndarray, " 3"]
    slices: Float64[np.ndarray, " 3"]
    first: Float64[np.ndarray, " 3"]
    count: int
    pixel_spacing: tuple[float, float]

    @property
    def thickness(self) -> float:
        """Distance of slices in mm."""
        return float(np.linalg.norm(self.slices))

    @property
    def orientation(self) -> list[float]:
        """Image Orientation (Patient)."""
        return [*map(float, self.columns), *map(float, self.rows)]

    def position(self, number: int) -> Float64[np.ndarray, " 3"]:
        """Image Position (Patient) of a slice, numbered from 0."""
        found: Float64[np.ndarray, " 3"] = self.first + number * self.slices
        return found

    def arranged(self, array: Shaped[np.ndarray, "x y z"]) -> Shaped[np.ndarray, "s r c"]:
        """The voxels as slices of rows of columns."""
        step = tuple(slice(None, None, -1) if back else slice(None) for back in self.flipped)
        found: Shaped[np.ndarray, "s r c"] = array.transpose(self.axes)[step]
        return found


def planes_of(geometry: Geometry, subject: str) -> Planes:
    """The planes of a grid, shown as radiologists look at them; no voxel is resampled.

    The third voxel axis runs along the slices, as in files that were converted from DICOM. Columns run to the
    patient's left, or posterior in sagittal planes; rows posterior, or to the feet in coronal and sagittal ones; slices
    along the normal of the plane.

    Args:
        geometry: the grid.
        subject: of messages.

    Raises:
        GeometryError: its spacing is unknown, or its axes are not perpendicular.
    """
    if not geometry.spacing_known:
        cure = "export with --format nrrd, or prepare the cases from NIfTI, which has a spacing"
        raise GeometryError(subject, "voxel sizes in mm are unknown", "DICOM planes lie in the patient", cure)
    edges = BETWEEN_RAS_AND_LPS @ geometry.affine[:3, :3]
    units = edges / np.linalg.norm(edges, axis=0)
    _check_perpendicular(units, subject)
    column, row = sorted((0, 1), key=lambda axis: int(np.argmax(np.abs(units[:, axis]))))
    backward = {axis: bool(_most(units[:, axis]) * _shown(units[:, axis]) < 0) for axis in (column, row)}
    columns, rows = (units[:, axis] * (-1 if backward[axis] else 1) for axis in (column, row))
    backward[2] = bool(np.cross(columns, rows) @ units[:, 2] < 0)
    corner = np.array([geometry.shape[axis] - 1 if backward[axis] else 0 for axis in range(3)])
    sizes = geometry.spacing
    return Planes(
        axes=(2, row, column),
        flipped=(backward[2], backward[row], backward[column]),
        columns=columns,
        rows=rows,
        slices=edges[:, 2] * (-1 if backward[2] else 1),
        first=BETWEEN_RAS_AND_LPS @ (geometry.affine[:3, :3] @ corner + geometry.affine[:3, 3]),
        count=geometry.shape[2],
        pixel_spacing=(sizes[row], sizes[column]),
    )


def _check_perpendicular(units: Float64[np.ndarray, "3 3"], subject: str) -> None:
    cosines = np.abs(units.T @ units - np.eye(3))
    if float(cosines.max()) > np.sqrt(1 - _LEAST_COSINE**2):
        degrees = float(np.degrees(np.arccos(np.clip(cosines.max(), 0, 1))))
        limit, cure = "those of a DICOM series are perpendicular", "resample it to a straight grid first"
        raise GeometryError(subject, f"voxel axes that meet at {degrees:.2f} degrees", limit, cure)


def _most(direction: Float64[np.ndarray, " 3"]) -> float:
    """The largest component."""
    return float(direction[np.argmax(np.abs(direction))])


def _shown(direction: Float64[np.ndarray, " 3"]) -> int:
    """Which way along its patient axis a direction is shown: left, posterior, and down."""
    return -1 if int(np.argmax(np.abs(direction))) == 2 else 1
