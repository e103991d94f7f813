"""The label map of a case as an RT structure set (PS3.3, A.19): planar contours of each label."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float64
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage
from skimage.measure import find_contours, label

from medsmith.cases.case import Case
from medsmith.exporting.dataset import Context, started
from medsmith.exporting.identity import long_string
from medsmith.exporting.planes import Planes
from medsmith.exporting.segment import Segment, segments_of
from medsmith.exporting.segmentation import SERIES_NUMBER

_STUDY = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, which the reference to a study names by the standard."""


def structure_set(case: Case, images: Sequence[Dataset], planes: Planes, context: Context) -> Dataset:
    """The structure set of a case.

    Outlines run half-way between voxel centers, so that the centers inside are those of the label. Holes are contours
    inside of others: all contours of a region that has one are CLOSEDPLANAR_XOR (PS3.3 2024c, C.8.8.6.3), those of
    others CLOSED_PLANAR, which more software reads.

    Args:
        case: with labels.
        images: the series that it refers to.
        planes: of its grid.
        context: of the case.
    """
    identity, labels = context.identity, planes.arranged(case.require_labels())
    found = started(context, "RTSTRUCT", identity.uid("series", "structures"), SERIES_NUMBER + 1, "structures")
    found.SOPClassUID, found.SOPInstanceUID = RTStructureSetStorage, identity.uid("structures")
    found.InstanceNumber, found.StructureSetLabel = 1, "LABELS"
    found.StructureSetDate, found.StructureSetTime = identity.date, "000000"
    found.StructureSetDescription = identity.series_description("label map")
    found.ApprovalStatus, found.OperatorsName = "UNAPPROVED", ""
    del found.ContentDate, found.ContentTime
    found.ReferencedFrameOfReferenceSequence = [_reference(images, context)]
    found.StructureSetROISequence, found.ROIContourSequence, found.RTROIObservationsSequence = [], [], []
    for segment in segments_of(case.label_names):
        found.StructureSetROISequence.append(_roi(segment, context))
        found.ROIContourSequence.append(_contours(segment, labels == segment.value, images, planes))
        found.RTROIObservationsSequence.append(_observation(segment))
    return found


def _reference(images: Sequence[Dataset], context: Context) -> Dataset:
    series, study, found = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    series.ContourImageSequence = [_image(image) for image in images]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY, images[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    found.FrameOfReferenceUID, found.RTReferencedStudySequence = context.frame_of_reference, [study]
    return found


def _image(image: Dataset) -> Dataset:
    found = Dataset()
    found.ReferencedSOPClassUID, found.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return found


def _roi(segment: Segment, context: Context) -> Dataset:
    found = Dataset()
    found.ROINumber, found.ROIName = segment.number, long_string(segment.name)
    found.ReferencedFrameOfReferenceUID = context.frame_of_reference
    found.ROIGenerationAlgorithm = "AUTOMATIC" if context.identity.made else ""
    return found


def _observation(segment: Segment) -> Dataset:
    found = Dataset()
    found.ObservationNumber = found.ReferencedROINumber = segment.number
    found.RTROIInterpretedType = found.ROIInterpreter = ""
    return found


def _contours(segment: Segment, mask: Bool[np.ndarray, "s r c"], images: Sequence[Dataset], planes: Planes) -> Dataset:
    found = Dataset()
    found.ReferencedROINumber = segment.number
    found.ROIDisplayColor = list(segment.color)
    numbers = np.flatnonzero(mask.any(axis=(1, 2))).tolist()
    kind = "CLOSEDPLANAR_XOR" if any(has_hole(mask[number]) for number in numbers) else "CLOSED_PLANAR"
    contours = [
        _contour(points, kind, images[number])
        for number in numbers
        for points in outlines(mask[number], planes, number)
    ]
    if contours:
        found.ContourSequence = contours
    return found


def has_hole(mask: Bool[np.ndarray, "r c"]) -> bool:
    """Whether an outline of a mask in a slice lies inside another.

    Outlines part voxels of the mask that meet at a corner alone, so voxels outside it that meet there are joined.
    """
    return int(label(np.pad(~mask, 1, constant_values=True), connectivity=2, return_num=True)[1]) > 1


def _contour(points: Float64[np.ndarray, "n 3"], kind: str, image: Dataset) -> Dataset:
    found = Dataset()
    found.ContourImageSequence = [_image(image)]
    found.ContourGeometricType, found.NumberOfContourPoints = kind, len(points)
    found.ContourData = [f"{value:.6g}" for value in (points + 0.0).ravel().tolist()]
    return found


def outlines(mask: Bool[np.ndarray, "r c"], planes: Planes, number: int) -> Iterator[Float64[np.ndarray, "n 3"]]:
    """Closed outlines of a mask in a slice, positions LPS in mm; the first point is not repeated."""
    rows, columns = planes.pixel_spacing
    for found in find_contours(np.pad(mask, 1).astype(np.float64), 0.5, fully_connected="low"):
        row, column = (found[:-1] - 1).T
        yield (planes.position(number) + row[:, None] * rows * planes.rows + column[:, None] * columns * planes.columns)
