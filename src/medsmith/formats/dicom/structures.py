"""Structure sets (RTSTRUCT, PS3.3 A.19): planar contours filled on the slices of their series.

A voxel belongs to a region if its center lies inside an odd number of the contours on its slice, so that a contour in
a contour is a hole (PS3.3 C.8.8.6.3, exclusive or).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from medsmith.errors import FileError, GeometryError
from medsmith.formats.dicom.headers import COPY_AGAIN
from medsmith.formats.dicom.segmentation import Masks
from medsmith.formats.dicom.series import Series
from medsmith.formats.packages import quiet
from medsmith.geometry import BETWEEN_RAS_AND_LPS, Geometry

OFF_SLICE = 0.1
"""Largest distance of a contour's points from a slice, in slice steps; coordinates are rounded decimal strings."""
_CLOSED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
_FEWEST_POINTS = 3


def read_structures(
    series: Series, grid: Geometry, numbers: Sequence[int], fraction: float
) -> tuple[Masks, tuple[str, ...]]:
    """The masks of some regions of interest, one after the other, and notes.

    Args:
        series: of one structure set.
        grid: of its source series.
        numbers: of the regions.
        fraction: not used; contours are filled or not.

    Raises:
        FileError: the file is damaged, or a region has no closed planar contour.
        GeometryError: a contour lies between slices or outside the grid.
    """
    del fraction
    contours = _contours(series)
    open_ones = sum(kind not in _CLOSED for number in numbers for kind, _ in contours.get(number, ()))
    notes = (f"{open_ones} points and open contours are left out",) if open_ones else ()
    return ((number, _filled(contours.get(number, []), number, grid, series)) for number in numbers), notes


def _contours(series: Series) -> dict[int, list[tuple[str, Float64[np.ndarray, "_ 3"]]]]:
    """Kind and points, in RAS+ mm, of every contour, by number of the region."""
    from pydicom import dcmread

    found: dict[int, list[tuple[str, Float64[np.ndarray, "_ 3"]]]] = {}
    with quiet():
        try:
            for roi in dcmread(series.first.path, force=True).get("ROIContourSequence") or ():
                rows = found.setdefault(int(roi.ReferencedROINumber), [])
                for contour in roi.get("ContourSequence") or ():
                    points = np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)
                    if not np.isfinite(points).all():
                        raise ValueError
                    rows.append((str(contour.ContourGeometricType), points @ BETWEEN_RAS_AND_LPS))
        except MemoryError:
            raise
        except Exception as error:  # pydicom raises whatever a damaged value causes
            said = f"its contours cannot be read ({type(error).__name__})"
            raise FileError(series.first.place, said, cure=COPY_AGAIN) from None
    return found


def _filled(
    contours: Sequence[tuple[str, Float64[np.ndarray, "_ 3"]]], number: int, grid: Geometry, series: Series
) -> Bool[np.ndarray, "x y z"]:
    from skimage.draw import polygon

    closed = [points for kind, points in contours if kind in _CLOSED and len(points) >= _FEWEST_POINTS]
    if not closed:
        found = f"ROI {number} has no closed planar contour"
        raise FileError(series.subject, found, "a region is drawn on slices", "choose another with --label NAME=ROI")
    mask = np.zeros(grid.shape[::-1], dtype=bool)
    for points in closed:
        index = _in_voxels(points, grid)
        place = _slice_of(index, number, grid, series)
        inside = polygon(index[:, 1], index[:, 0], shape=grid.shape[1::-1])
        mask[place][inside] ^= True
    return mask.transpose(2, 1, 0)


def _in_voxels(points: Float64[np.ndarray, "n 3"], grid: Geometry) -> Float64[np.ndarray, "n 3"]:
    return np.linalg.solve(grid.affine[:3, :3], (points - grid.affine[:3, 3]).T).T


def _slice_of(index: Float64[np.ndarray, "n 3"], number: int, grid: Geometry, series: Series) -> int:
    place = round(float(np.median(index[:, 2])))
    off = float(np.abs(index[:, 2] - place).max())
    if off > OFF_SLICE:
        found = f"a contour of ROI {number} lies {off:.2g} slices off slice {place} of its series"
        raise GeometryError(series.subject, found, f"at most {OFF_SLICE:g}", "redraw it on the slices of the series")
    low, high = index[:, :2].min(axis=0), index[:, :2].max(axis=0)
    if not 0 <= place < grid.shape[2] or (high < -0.5).any() or (low > np.array(grid.shape[:2]) - 0.5).any():
        found = f"a contour of ROI {number} lies outside the series"
        raise GeometryError(series.subject, found, "inside", "give the series that it was drawn on")
    return place
