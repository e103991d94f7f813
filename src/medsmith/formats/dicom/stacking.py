"""Single-frame images stacked to a volume, one in memory at a time; the grid is highdicom's.

Axes: slices, rows and columns as highdicom has them; its slices run against the cross product of row and column.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float32, Float64

from medsmith.errors import FileError, GeometryError
from medsmith.formats.dicom.headers import COPY_AGAIN, Header
from medsmith.formats.dicom.marks import MARKS
from medsmith.formats.dicom.pixel_facts import count_padding
from medsmith.formats.dicom.pixels import read_pixels
from medsmith.formats.dicom.series import Series
from medsmith.formats.dicom.slices import ORIENTATION_TOLERANCE, SPACING_TOLERANCE, check_placed, check_slices
from medsmith.formats.dicom.volumes import DISTINCTIONS, of_one_volume

_PLACEHOLDER = "2.25.0"
_STATED = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "SpacingBetweenSlices",
    "FrameOfReferenceUID", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "BitsAllocated", "PixelRepresentation", "PhotometricInterpretation", "BurnedInAnnotation",
    "LossyImageCompression", *MARKS,
)  # fmt: skip
"""What is read of a slice besides its voxels and what tells volumes apart."""


@final
@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of a volume.

    Attributes:
        values: rescaled.
        affine: index (slice, row, column) -> LPS in mm.
        headers: pydicom datasets of its files.
        padded: voxels of padding.
        notes: on the choice of the volume.
    """

    values: Float32[np.ndarray, "s r c"]
    affine: Float64[np.ndarray, "4 4"]
    headers: Sequence[Any]
    padded: int
    notes: tuple[str, ...] = ()


def stack_slices(series: Series, volume: int | None) -> Stack:
    """The volume of a series of single-frame images.

    Args:
        series: the series.
        volume: which to take of several, from 0.

    Raises:
        FileError: a file is damaged, lacks its place in the patient, or cannot be decoded.
        GeometryError: the slices form no regular volume, or several.
    """
    everything = [_head(header) for header in series.headers]
    check_placed(everything, [header.place for header in series.headers])
    files = {id(head): header for head, header in zip(everything, series.headers, strict=True)}
    heads, notes = of_one_volume(everything, series.subject, volume)
    check_slices(heads, series.subject)
    places, affine = _grid(heads, series)
    values = np.empty((len(heads), int(heads[0].Rows), int(heads[0].Columns)), np.float32)
    padded = sum(_fill(values[place], files[id(head)], series) for head, place in zip(heads, places, strict=True))
    return Stack(values, affine, heads, padded, notes)


def _head(header: Header) -> Any:
    """What a file states about its voxels."""
    from pydicom import dcmread

    try:
        data = dcmread(header.path, stop_before_pixels=True, force=True)
        for name in (*_STATED, *DISTINCTIONS):
            data.get(name)  # pydicom decodes a value when it is first asked for
    except MemoryError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged value causes
        found = f"cannot be read as DICOM ({type(error).__name__})"
        raise FileError(header.place, found, cure=COPY_AGAIN) from None
    return data


def _grid(heads: Sequence[Any], series: Series) -> tuple[list[int], Float64[np.ndarray, "4 4"]]:
    """The place of each slice in the volume, and its affine."""
    from highdicom import Volume
    from highdicom.spatial import get_series_volume_positions

    first, step, places = heads[0], float(heads[0].get("SpacingBetweenSlices") or 1), [0]
    try:
        if len(heads) > 1:
            tolerances = {"rtol": SPACING_TOLERANCE, "orientation_tol": ORIENTATION_TOLERANCE}
            step, places = get_series_volume_positions(heads, **tolerances)
        directions = Counter(tuple(head.ImageOrientationPatient) for head in heads)
        grid = Volume.from_attributes(
            array=np.broadcast_to(np.float32(0), (len(heads), int(first.Rows), int(first.Columns))),
            image_position=heads[places.index(0)].ImagePositionPatient,
            image_orientation=directions.most_common(1)[0][0],
            pixel_spacing=first.PixelSpacing,
            spacing_between_slices=step,
            coordinate_system="PATIENT",
            frame_of_reference_uid=_PLACEHOLDER,
        )
    except MemoryError:
        raise
    except Exception as error:  # None in place of positions that form no volume
        raise no_volume(series, error) from None
    return places, grid.affine


def _fill(plane: Float32[np.ndarray, "r c"], header: Header, series: Series) -> int:
    """Fills a slice with the voxels of its file; how many of them are padding."""
    from pydicom.pixels import apply_modality_lut

    data = read_pixels(header.path, header.place)
    try:
        plane[...] = apply_modality_lut(data.pixel_array, data)
    except MemoryError:
        raise
    except Exception as error:
        raise no_volume(series, error) from None
    return count_padding(data)


def no_volume(series: Series, error: Exception) -> GeometryError:
    """The error in our words, since highdicom's messages may quote UIDs."""
    uneven = str(error) == "Frame positions do not form a regularly-spaced volume."
    found = (
        "the frames are unevenly spaced or leave a gap"
        if uneven
        else f"the images form no regular volume ({type(error).__name__})"
    )
    cure = "is this several volumes, as phases, echoes or b-values? export one as a series of its own"
    return GeometryError(series.subject, found, "one slice per position, evenly spaced", cure)
