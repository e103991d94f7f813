"""Headers of DICOM files: what tells series, segmentations and structure sets apart, without voxels."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.errors import FileError
from medsmith.formats.dicom.marks import MARKS, is_marked_synthetic
from medsmith.formats.dicom.pixel_spacing import pixel_spacing
from medsmith.formats.packages import quiet

SEG, STRUCTURES = "SEG", "RTSTRUCT"
COPY_AGAIN = "copy or export it again (medsmith series FOLDER --file N gives its path)"
"""What to do about a damaged file."""
_TAGS = [
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Modality", "SeriesNumber",
    *MARKS, "Rows", "Columns", "NumberOfFrames", "ImageType", "SamplesPerPixel", "ImagePositionPatient",
    "PhotometricInterpretation",
    "SharedFunctionalGroupsSequence", "SegmentSequence", "StructureSetROISequence", "ReferencedSeriesSequence",
    "ReferencedFrameOfReferenceSequence", "PixelSpacing", "ImagerPixelSpacing", "SequenceOfUltrasoundRegions",
]  # fmt: skip

_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_CODE = re.compile("[A-Za-z0-9]{1,16}")
"""Of a modality: the defined terms (PS3.3 C.7.3.1.1.1) are letters and digits."""
_SEGMENTS = (
    ("SegmentSequence", "SegmentNumber", "SegmentLabel", "SegmentDescription"),
    ("StructureSetROISequence", "ROINumber", "ROIName", "ROIDescription"),
)


@final
@dataclass(frozen=True)
class Segment:
    """A segment of a segmentation, or a region of interest (ROI) of a structure set.

    Attributes:
        number: by which frames or contours refer to it.
        label: of the segment, or name of the ROI.
        description: of it.
    """

    number: int
    label: str
    description: str = ""


@final
@dataclass(frozen=True)
class Header:
    """What is known of a file without its voxels. UIDs, ids and texts are for grouping and choosing only.

    Attributes:
        path: the file.
        place: names the file in errors, since its path may identify a patient.
        patient: patient id; empty where none is given.
        study: study instance UID.
        series: series instance UID.
        instance: SOP instance UID.
        modality: such as CT; empty where none is given that is a code.
        number: of the series; None where none is given.
        description: of the series.
        size: rows and columns; (0, 0) without voxels.
        frames: number of frames; 0 of single-frame images.
        gray: one gray sample per pixel, placed in the patient: an image that can be part of a volume.
        flat: an image that is not placed in the patient, such as a radiograph.
        sized: whether its pixel sizes are stated.
        localizer: whether it is a scout image.
        synthetic: whether it is marked as synthetic.
        segments: of a segmentation or a structure set.
        referenced: UIDs of the series, and of the instances, that these were drawn on.
    """

    path: Path
    place: str
    patient: str
    study: str
    series: str
    instance: str
    modality: str
    number: int | None
    description: str
    size: tuple[int, int]
    frames: int
    gray: bool
    flat: bool
    sized: bool
    localizer: bool
    synthetic: bool = False
    segments: tuple[Segment, ...] = ()
    referenced: frozenset[str] = frozenset()


def read_header(path: Path, place: str) -> Header:
    """The header of a DICOM file.

    Args:
        path: the file.
        place: names it in errors.

    Raises:
        FileError: it is damaged.
    """
    from pydicom import dcmread

    with quiet():
        try:
            data = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
            _check_complete(data, place)
            return _header(path, place, data)
        except (FileError, MemoryError):
            raise
        except Exception as error:  # pydicom raises whatever a damaged value causes, and quotes the value
            found = f"cannot be read as DICOM ({type(error).__name__})"
            raise FileError(place, found, cure=COPY_AGAIN) from None


def _check_complete(data: Any, place: str) -> None:
    missing = [name for name in _NEEDED if not data.get(name)]
    if missing:
        limit = "patient, study and series are told apart by UIDs"
        raise FileError(place, f"lacks {', '.join(missing)}", limit, COPY_AGAIN)
    if "Image Storage" in getattr(data.get("SOPClassUID"), "name", "") and not data.get("Rows"):
        raise FileError(place, "is an image that lacks Rows", "the file may end inside its header", COPY_AGAIN)


def _header(path: Path, place: str, data: Any) -> Header:
    modality, frames = _modality(data), int(data.get("NumberOfFrames") or 0)
    if frames == 1 and "ImagePositionPatient" in data:
        frames = 0  # some writers count the frame of a slice, which is placed as one all the same
    size = int(data.get("Rows") or 0), int(data.get("Columns") or 0)
    placed = "ImagePositionPatient" in data or "SharedFunctionalGroupsSequence" in data
    is_gray = int(data.get("SamplesPerPixel") or 1) == 1 and data.get("PhotometricInterpretation") != "PALETTE COLOR"
    number = data.get("SeriesNumber")
    return Header(
        path=path,
        place=place,
        patient=str(data.get("PatientID") or ""),
        study=str(data["StudyInstanceUID"].value),
        series=str(data["SeriesInstanceUID"].value),
        instance=str(data["SOPInstanceUID"].value),
        modality=modality,
        number=None if number is None else int(number),
        description=str(data.get("SeriesDescription") or ""),
        size=size,
        frames=frames,
        gray=all(size) and placed and is_gray and modality not in (SEG, "RTDOSE"),
        flat=all(size) and not placed and modality not in (SEG, "RTDOSE"),
        sized=pixel_spacing(data)[0] is not None,
        localizer="LOCALIZER" in (data.get("ImageType") or ()),
        synthetic=is_marked_synthetic(data),
        segments=_segments(data),
        referenced=frozenset(_references(data)) if modality in (SEG, STRUCTURES) else frozenset(),
    )


def _modality(data: Any) -> str:
    """The modality; empty where it is no code, since it is written and printed and other texts may name somebody."""
    text = str(data.get("Modality") or "")
    return text if _CODE.fullmatch(text) else ""


def _segments(data: Any) -> tuple[Segment, ...]:
    rows = [
        (one[number].value, one.get(label), one.get(description))
        for sequence, number, label, description in _SEGMENTS
        for one in data.get(sequence) or ()
    ]
    segments = (Segment(int(number), *(str(text or "").strip() for text in texts)) for number, *texts in rows)
    return tuple(sorted(segments, key=lambda segment: segment.number))


def _references(data: Any) -> list[str]:
    """UIDs of referenced series and, below them, instances."""
    series = list(data.get("ReferencedSeriesSequence") or ())
    for frame in data.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            series += study.get("RTReferencedSeriesSequence") or ()
    images = [
        image for one in series for name in ("ReferencedInstanceSequence", "ContourImageSequence")
        for image in one.get(name) or ()
    ]  # fmt: skip
    return [str(one.SeriesInstanceUID) for one in series] + [str(one.ReferencedSOPInstanceUID) for one in images]
