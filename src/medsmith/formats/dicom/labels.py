"""Labels of segmentations and structure sets on the grid of the series that they were drawn on."""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, UInt8

from medsmith.errors import ContentError, counted
from medsmith.formats.dicom.headers import SEG, Segment
from medsmith.formats.dicom.segmentation import read_segments
from medsmith.formats.dicom.series import Series
from medsmith.formats.dicom.structures import read_structures
from medsmith.formats.volume import LabelFile
from medsmith.geometry import Geometry


def read_labels(series: Series, grid: Geometry, label_of: Mapping[int, int], fraction: float) -> LabelFile:
    """The label map of a segmentation or a structure set; slices without a frame or contour are background.

    Args:
        series: of one file.
        grid: of the image that it was drawn on, as ``volume.read_volume`` gives it.
        label_of: number of the segment -> label, 1 to 255; other segments are left out.
        fraction: least fraction, above 0 and up to 1, at which a voxel of a fractional segment is labeled.

    Raises:
        FileError: the file is damaged, or of a kind that is not read.
        GeometryError: frames or contours do not lie on the slices of the grid.
        ContentError: segments overlap.
    """
    read = read_segments if series.first.modality == SEG else read_structures
    masks, notes = read(series, grid, tuple(label_of), fraction)
    return LabelFile(_joined(masks, label_of, grid, series.subject), grid, notes)


def find_segments(series: Series, wanted: str | int) -> tuple[Segment, ...]:
    """The segments of a number, or of a label or a description in upper or lower case."""
    if isinstance(wanted, int):
        return tuple(segment for segment in series.first.segments if segment.number == wanted)
    text = wanted.strip().casefold()
    return tuple(one for one in series.first.segments if text in (one.label.casefold(), one.description.casefold()))


def _joined(
    masks: Iterable[tuple[int, Bool[np.ndarray, "x y z"]]], label_of: Mapping[int, int], grid: Geometry, subject: str
) -> UInt8[np.ndarray, "x y z"]:
    joined = np.zeros(grid.shape[::-1], dtype=np.uint8).transpose(2, 1, 0)
    for number, mask in masks:
        label = label_of[number]
        clash = mask & (joined > 0) & (joined != label)
        if clash.any():
            found = f"segment {number} shares {counted(int(clash.sum()), 'voxel')} with another"
            raise ContentError(subject, found, "a voxel has one label", "choose segments with --label NAME=SEGMENT")
        joined[mask] = label
    return joined
