"""The DICOM series that an exported case was made from: found by its grid and its voxels, never by names.

Where a lesion was put into a scan, its object can refer to the images of the scan (Source Image Sequence, PS3.3,
C.7.6.1) and lie in the scan's frame of reference, so that viewers overlay both.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sr.codedict import codes

from medsmith.errors import RequestError
from medsmith.exporting.planes import Planes
from medsmith.formats.folders import paths_below
from medsmith.progress import Progress

_TOLERANCE = 0.02
"""Largest distance in mm of slices that count as the same; positions are decimal strings."""
_COMPARED = 5
"""Slices whose voxels are compared."""
_LEAST_EQUAL = 0.5
"""Share of voxels that an inpainted scan keeps at least."""
_NEEDED = ("SOPInstanceUID", "SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")


@final
@dataclass(frozen=True, eq=False)
class SourceSeries:
    """A series of single-frame images.

    Attributes:
        headers: of its images along the normal of the plane, without pixels.
        paths: of their files.
    """

    headers: tuple[Dataset, ...]
    paths: tuple[Path, ...]

    @property
    def frame_of_reference(self) -> str:
        """Its identifier; "" if there is none."""
        return str(self.headers[0].get("FrameOfReferenceUID", ""))

    def fits(self, planes: Planes) -> bool:
        """Whether its images are the slices of a grid."""
        first = self.headers[0]
        if len(self.headers) != planes.count:
            return False
        orientation = np.array(first.ImageOrientationPatient, np.float64)
        spacing = np.array(first.PixelSpacing, np.float64)
        if not np.allclose(orientation, planes.orientation, atol=1e-4):
            return False
        if not np.allclose(spacing, planes.pixel_spacing, rtol=1e-4):
            return False
        found = np.array([header.ImagePositionPatient for header in self.headers], np.float64)
        wanted = np.array([planes.position(number) for number in range(planes.count)])
        return bool(np.abs(found - wanted).max() <= _TOLERANCE)

    def equal_share(self, gray: Float32[np.ndarray, "s r c"]) -> float:
        """Share of voxels that are equal, over a few slices; 0 where the shapes differ."""
        shares = []
        for number in np.unique(np.linspace(0, len(self.paths) - 1, _COMPARED).round().astype(int)).tolist():
            image = dcmread(self.paths[number])
            slope, intercept = float(image.get("RescaleSlope", 1)), float(image.get("RescaleIntercept", 0))
            found = image.pixel_array * slope + intercept
            if found.shape != gray[number].shape:
                return 0.0
            shares.append(float((np.abs(found - gray[number]) <= max(abs(slope), 1) / 2).mean()))
        return float(np.mean(shares))

    def references(self, number: int) -> list[Dataset]:
        """Source Image Sequence of the object made from one of its images."""
        header, found, purpose = self.headers[number], Dataset(), Dataset()
        code = codes.DCM.SourceImageForImageProcessingOperation
        purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = code.value, "DCM", code.meaning
        found.ReferencedSOPClassUID, found.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        found.PurposeOfReferenceCodeSequence = [purpose]
        return [found]


def find_series(folder: Path, progress: Progress) -> tuple[SourceSeries, ...]:
    """Every series of images below a folder; files that are no DICOM images with a place are passed over.

    Raises:
        RequestError: there is none.
    """
    groups: Mapping[str, list[tuple[Dataset, Path]]] = defaultdict(list)
    files = [path for path in paths_below(folder) if path.is_file()]
    with progress.task("read source", len(files)) as advance:
        for path in files:
            header = _header(path)
            if header is not None:
                groups[str(header.SeriesInstanceUID)].append((header, path))
            advance(1, "")
    if not groups:
        cure = "name the folder of the scans' DICOM files"
        raise RequestError("--source", f"{folder} holds no DICOM image with a place", "at least one series", cure)
    return tuple(map(_sorted_series, groups.values()))


def _header(path: Path) -> Dataset | None:
    try:
        header = dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError, ValueError, AttributeError, KeyError):
        return None
    return header if all(header.get(keyword) for keyword in _NEEDED) else None


def _sorted_series(images: Sequence[tuple[Dataset, Path]]) -> SourceSeries:
    orientation = np.array(images[0][0].ImageOrientationPatient, np.float64)
    normal = np.cross(orientation[:3], orientation[3:])
    along = [float(np.array(header.ImagePositionPatient, np.float64) @ normal) for header, _ in images]
    order = np.argsort(along, kind="stable").tolist()
    return SourceSeries(tuple(images[i][0] for i in order), tuple(images[i][1] for i in order))


def source_of(
    series: Sequence[SourceSeries], planes: Planes, gray: Float32[np.ndarray, "s r c"]
) -> SourceSeries | None:
    """The series with a case's grid and at least half of its voxels; the most alike if several have; None if none.

    Args:
        series: those of the source folder.
        planes: of the case.
        gray: first channel of the case, as slices.
    """
    shares = [(each.equal_share(gray), each) for each in series if each.fits(planes)]
    share, best = max(shares, key=lambda pair: pair[0], default=(0.0, None))
    return best if share >= _LEAST_EQUAL else None
