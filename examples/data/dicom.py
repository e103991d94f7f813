"""CT series in DICOM to arrays in Hounsfield units; needs ``pip install -e '.[data]' -c constraints.txt``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from medsmith.errors import FileError, GeometryError
from medsmith.geometry import Geometry

TOLERANCE_MM = 0.01


@dataclass(frozen=True, eq=False)
class Series:
    """Image x y z in HU (float32), its grid, and the slice of every SOP instance."""

    image: np.ndarray
    geometry: Geometry
    slice_of: Mapping[str, int]


def read_series(files: Iterable[Path]) -> Series:
    """One CT series, sorted along its normal.

    Raises:
        FileError: a file is no DICOM image, or there is none.
        GeometryError: slices are turned against each other or not evenly spaced.
    """
    slices = [_read(path) for path in files]
    if not slices:
        raise FileError("series", "no DICOM file", cure="unpack the archive first")
    rows, columns = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(rows, columns)
    slices.sort(key=lambda one: float(np.dot(normal, one.ImagePositionPatient)))
    step = _step(slices, normal)
    planes = [one.pixel_array.T * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices]
    image = np.stack(planes, axis=-1).astype(np.float32)
    down, across = (float(edge) for edge in slices[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([rows * across, columns * down, step])
    affine[:3, 3] = np.array(slices[0].ImagePositionPatient, float)
    affine[:2] *= -1
    return Series(image, Geometry(image.shape, affine), {str(one.SOPInstanceUID): i for i, one in enumerate(slices)})


def _read(path: Path) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(path)
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise FileError(path, f"is no DICOM file ({error})") from error


def _step(slices: list[pydicom.Dataset], normal: np.ndarray) -> np.ndarray:
    """From one slice to the next, in mm."""
    positions = np.array([one.ImagePositionPatient for one in slices], float)
    steps = np.diff(positions, axis=0)
    turned = any(one.ImageOrientationPatient != slices[0].ImageOrientationPatient for one in slices)
    if turned or not len(steps) or np.abs(steps - steps.mean(axis=0)).max() > TOLERANCE_MM:
        found = f"{len(slices)} slices that are turned or not evenly spaced"
        raise GeometryError("series", found, f"within {TOLERANCE_MM:g} mm", "leave out localisers and repeats")
    return np.asarray(steps.mean(axis=0) if len(steps) else normal)


def read_segment(path: Path, series: Series, description: str) -> np.ndarray:
    """One segment of a DICOM SEG as a mask on the grid of the series that it was drawn on.

    Raises:
        FileError: no segment has this description.
    """
    found = _read(path)
    numbers = {str(one.SegmentDescription): int(one.SegmentNumber) for one in found.SegmentSequence}
    if description not in numbers:
        raise FileError(path, f"no segment {description!r}", f"has {', '.join(numbers)}", "choose one of these")
    mask = np.zeros(series.geometry.shape, dtype=bool)
    for frame, plane in zip(found.PerFrameFunctionalGroupsSequence, found.pixel_array, strict=True):
        if int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber) == numbers[description]:
            image = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
            mask[..., series.slice_of[str(image)]] |= plane.T > 0
    return mask
