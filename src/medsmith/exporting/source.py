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
from jaxtyping import Float32, Float64
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from medsmith.errors import FileError, GeometryError, RequestError
from medsmith.exporting.dataset import COPIED
from medsmith.exporting.planes import Planes, planes_of
from medsmith.formats.dicom.decoding import is_lossy
from medsmith.formats.dicom.headers import COPY_AGAIN
from medsmith.formats.dicom.marks import MARKS, is_marked_synthetic
from medsmith.formats.dicom.pixels import read_pixels
from medsmith.formats.dicom.series import find_dicom_files
from medsmith.formats.dicom.volumes import DISTINCTIONS, volumes_of
from medsmith.formats.packages import quiet
from medsmith.geometry import BETWEEN_RAS_AND_LPS, Geometry
from medsmith.progress import Progress

_TOLERANCE = 0.02
"""Largest distance in mm of slices that count as the same; positions are decimal strings."""
_ALIKE = 1e-4
"""Of direction cosines, and of pixel spacings, relative."""
_COMPARED = 5
"""Slices whose voxels are compared."""
_LEAST_EQUAL = 0.5
"""Share of voxels, background apart, that an inpainted scan keeps at least."""
_NEEDED = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient",
    "PixelSpacing", "Rows", "Columns",
)  # fmt: skip
_REFERRED = ("SOPClassUID", "SOPInstanceUID")
_BURNED_IN = "BurnedInAnnotation"
_LOSS = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_READ = [*_NEEDED, "FrameOfReferenceUID", _BURNED_IN, *_LOSS, *MARKS, *DISTINCTIONS, *COPIED]
"""Kept of every image of the source: whole headers of a large folder would fill the memory."""


@final
@dataclass(frozen=True, eq=False)
class SourceImage:
    """A single-frame image of a source series.

    Attributes:
        header: the attributes that are read.
        path: of its file.
        place: names the file in errors, since its path may identify a patient.
        synthetic: whether it is marked as synthetic.
    """

    header: Dataset
    path: Path
    place: str
    synthetic: bool

    @property
    def position(self) -> Float64[np.ndarray, " 3"]:
        """Of the first pixel as stored, LPS in mm."""
        return np.array(self.header.ImagePositionPatient, np.float64)

    @property
    def grid(self) -> Float64[np.ndarray, " 10"]:
        """What the images of a volume share: direction cosines, pixel spacing, rows and columns."""
        header = self.header
        shared = (*header.ImageOrientationPatient, *header.PixelSpacing, header.Rows, header.Columns)
        return np.array(shared, np.float64)


@final
@dataclass(frozen=True, eq=False)
class SourceSeries:
    """A series, or a volume of one, of single-frame images that are stacked at right angles, in any orientation.

    Attributes:
        images: in the order of the slices of its planes.
        planes: of its grid, arranged as those of exported cases, however the images are stored.
    """

    images: tuple[SourceImage, ...]
    planes: Planes

    @property
    def header(self) -> Dataset:
        """Of its first image."""
        return self.images[0].header

    @property
    def frame_of_reference(self) -> str:
        """Its identifier; "" if there is none, or a malformed one."""
        found = str(self.header.get("FrameOfReferenceUID", ""))
        return found if is_uid(found) else ""

    @property
    def referable(self) -> bool:
        """Whether objects can refer to its images: their identifiers are well-formed (PS3.5, 9.1)."""
        return all(is_uid(image.header.get(name)) for image in self.images for name in _REFERRED)

    @property
    def instances(self) -> tuple[str, ...]:
        """Identifiers of its images."""
        return tuple(str(image.header.SOPInstanceUID) for image in self.images)

    @property
    def burned_in(self) -> bool:
        """Whether an image says that annotation is burned in, which may identify the patient."""
        return any(image.header.get(_BURNED_IN) == "YES" for image in self.images)

    @property
    def synthetic(self) -> bool:
        """Whether an image is marked as synthetic."""
        return any(image.synthetic for image in self.images)

    @property
    def pixel_marks(self) -> Dataset:
        """Burned-in annotation and lossy compression as far as the images tell them; once lossy, always lossy."""
        found, headers = Dataset(), [image.header for image in self.images]
        if self.burned_in or all(header.get(_BURNED_IN) == "NO" for header in headers):
            found.BurnedInAnnotation = "YES" if self.burned_in else "NO"
        lossy = [header for header in headers if is_lossy(header)]
        if lossy or all(header.get(_LOSS[0]) == "00" for header in headers):
            found.LossyImageCompression = "01" if lossy else "00"
        for keyword in _LOSS[1:] if lossy else ():
            if keyword in lossy[0]:
                found[keyword] = lossy[0][keyword]
        return found

    def fits(self, planes: Planes) -> bool:
        """Whether its images are the slices of a grid."""
        own = self.planes
        if own.count != planes.count or not np.allclose(own.orientation, planes.orientation, atol=_ALIKE):
            return False
        if not np.allclose(own.pixel_spacing, planes.pixel_spacing, rtol=_ALIKE):
            return False
        # Arranging moves the first pixel of every image by the same step.
        moved = own.first - self.images[0].position
        found = np.array([image.position + moved for image in self.images])
        wanted = np.array([planes.position(number) for number in range(planes.count)])
        return bool(np.abs(found - wanted).max() <= _TOLERANCE)

    def equal_share(self, gray: Float32[np.ndarray, "s r c"]) -> float:
        """Share of voxels that are equal, over a few slices; 0 where the shapes differ.

        The most frequent value of a slice counts for nothing: most scans of a head share the zeros around it.

        Raises:
            FileError: an image is damaged or cannot be decoded.
        """
        equal, compared = 0, 0
        for number in np.unique(np.linspace(0, len(self.images) - 1, _COMPARED).round().astype(int)).tolist():
            with quiet():
                image = read_pixels(self.images[number].path, self.images[number].place)
                slope, intercept = _rescaling(image, self.images[number].place)
                stored = image.pixel_array
            found = self.planes.arranged(stored.T[..., None])[0] * slope + intercept
            if found.shape != gray[number].shape:
                return 0.0
            values, counts = np.unique(found, return_counts=True)
            told = found != values[counts.argmax()]
            equal += int((told & (np.abs(found - gray[number]) <= abs(slope) / 2)).sum())
            compared += int(told.sum())
        return equal / compared if compared else 0.0

    def references(self, number: int) -> list[Dataset]:
        """Source Image Sequence of the object made from one of its images."""
        header, found, purpose = self.images[number].header, Dataset(), Dataset()
        code = codes.DCM.SourceImageForImageProcessingOperation
        purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = code.value, "DCM", code.meaning
        found.ReferencedSOPClassUID, found.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        found.PurposeOfReferenceCodeSequence = [purpose]
        return [found]


def is_uid(value: object) -> bool:
    """Whether a value of a source is a well-formed identifier (PS3.5, 9.1), which may be written on."""
    return bool(UID(str(value)).is_valid)


def _rescaling(image: Dataset, place: str) -> tuple[float, float]:
    """Slope and intercept."""
    try:
        return float(image.get("RescaleSlope") or 1), float(image.get("RescaleIntercept") or 0)
    except (TypeError, ValueError, NotImplementedError):  # the last of pydicom, where its type is damaged
        limit = "slope and intercept are numbers"
        raise FileError(place, "its rescaling cannot be read", limit, COPY_AGAIN) from None


def find_series(folder: Path, progress: Progress) -> tuple[SourceSeries, ...]:
    """Every volume of images below a folder; files that are no DICOM images with a place are passed over.

    Raises:
        RequestError: there is none.
        FileError: a file cannot be opened.
    """
    groups: Mapping[str, dict[str, SourceImage]] = defaultdict(dict)
    files = find_dicom_files(folder, progress)
    with progress.task("read source", len(files)) as advance:
        for number, path in enumerate(files, start=1):
            image = _image(path, f"{folder}, file {number} of {len(files)}")
            if image is not None:  # a copy of an image counts once
                groups[str(image.header.SeriesInstanceUID)].setdefault(str(image.header.SOPInstanceUID), image)
            advance(1, "")
    if not groups:
        cure = "name the folder of the scans' DICOM files"
        raise RequestError("--source", f"{folder} holds no DICOM image with a place", "at least one series", cure)
    found = (_series(volume) for images in groups.values() for volume in _volumes(list(images.values())))
    return tuple(series for series in found if series is not None)


def _volumes(images: Sequence[SourceImage]) -> list[list[SourceImage]]:
    """The images of each volume of a series, as phases or echoes."""
    indices = volumes_of([image.header for image in images])
    return [[images[index] for index in volume] for volume in indices]


def _image(path: Path, place: str) -> SourceImage | None:
    with quiet():
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=_READ, force=True)
            synthetic = is_marked_synthetic(header)
            for name in MARKS:
                header.pop(name, None)
            found = SourceImage(header, path, place, synthetic)
            placed = all(found.header.get(keyword) for keyword in _NEEDED)
            return found if placed and found.position.shape == (3,) and found.grid.shape == (10,) else None
        except Exception:  # pydicom raises whatever a damaged value causes
            return None


def _series(images: Sequence[SourceImage]) -> SourceSeries | None:
    """The images as a grid; None where they form none."""
    grid = images[0].grid
    if any(not np.allclose(image.grid, grid, rtol=0, atol=_ALIKE) for image in images):
        return None
    normal = np.cross(grid[:3], grid[3:6])
    ordered = sorted(images, key=lambda image: float(image.position @ normal))
    first, steps = ordered[0].position, len(images) - 1
    step = (ordered[-1].position - first) / steps if steps else normal
    edges = np.stack((grid[:3] * grid[7], grid[3:6] * grid[6], step), axis=1)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = BETWEEN_RAS_AND_LPS @ edges, BETWEEN_RAS_AND_LPS @ first
    if not abs(np.linalg.det(affine)) > 0:
        return None
    try:
        planes = planes_of(Geometry((int(grid[9]), int(grid[8]), len(images)), affine), "source")
    except GeometryError:  # such as a tilted gantry, which no exported case has
        return None
    return SourceSeries(tuple(reversed(ordered) if planes.flipped[0] else ordered), planes)


def source_of(
    series: Sequence[SourceSeries], planes: Planes, gray: Float32[np.ndarray, "s r c"]
) -> SourceSeries | None:
    """The series with a channel's grid and at least half of its voxels; the most alike of several; None if none.

    Args:
        series: those of the source folder.
        planes: of the case.
        gray: the channel, as slices.

    Raises:
        FileError: an image on the grid is damaged or cannot be decoded.
    """
    shares = [(each.equal_share(gray), each) for each in series if each.fits(planes)]
    share, best = max(shares, key=lambda pair: pair[0], default=(0.0, None))
    return best if share >= _LEAST_EQUAL else None
