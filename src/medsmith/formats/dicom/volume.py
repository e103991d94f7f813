"""A series as one volume in stored units, by highdicom's volume reader.

Axes: x runs along a row of the image, y down its columns, z along the cross product of the two, as in ITK. The affine
is RAS+, DICOM's own LPS+ with the first two axes turned (PS3.3 C.7.6.2.1.1).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from medsmith.errors import FileError, GeometryError
from medsmith.formats.dicom.decoding import check_decodable
from medsmith.formats.dicom.headers import COPY_AGAIN
from medsmith.formats.dicom.pixel_facts import pixel_notes, stored_type
from medsmith.formats.dicom.series import Series
from medsmith.formats.dicom.slices import ORIENTATION_TOLERANCE, SPACING_TOLERANCE, check_placed, check_slices
from medsmith.formats.dicom.volumes import frames_line, of_one_volume
from medsmith.formats.nifti_geometry import check_affine, check_shape
from medsmith.formats.opening import MAX_BYTES, format_bytes
from medsmith.formats.packages import quiet
from medsmith.formats.values import as_float32
from medsmith.formats.volume import ImageFile, ReadOptions
from medsmith.geometry import BETWEEN_RAS_AND_LPS, Geometry

_PLACEHOLDER = "2.25.0"
_DEFAULT = ReadOptions()
_TRANSFORMS = {"apply_real_world_transform": False, "apply_presentation_lut": False, "apply_icc_profile": False}
"""Stored values are rescaled (modality transform) and nothing more."""


def read_volume(series: Series, options: ReadOptions = _DEFAULT) -> ImageFile:
    """The volume of a series, rescaled by slope and intercept, with its grid in RAS+.

    Raises:
        FileError: a file is damaged, lacks its place in the patient, or cannot be decoded.
        GeometryError: the slices form no regular volume.
        ContentError: NaN or infinite voxels.
    """
    size = int(np.prod(series.first.size)) * max(len(series.headers), series.first.frames) * 4
    if size > MAX_BYTES:
        raise FileError(series.subject, format_bytes(size), f"at most {format_bytes(MAX_BYTES)}", "crop or split it")
    with quiet():
        data: Sequence[Any] = [read_pixels(header.path, header.place) for header in series.headers]
        choice: tuple[str, ...] = ()
        if series.first.frames:
            volume = _multi_frame(data, series)
        else:
            check_placed(data, [header.place for header in series.headers])
            data, choice = of_one_volume(data, series.subject, options.volume)
            volume = _single_frames(data, series)
    values: Float32[np.ndarray, "x y z"] = volume.array.transpose(2, 1, 0)[:, :, ::-1]
    affine: Float64[np.ndarray, "4 4"] = volume.affine @ _from_voxels(len(volume.array))
    affine[:3] = BETWEEN_RAS_AND_LPS @ affine[:3]
    shape = (values.shape[0], values.shape[1], values.shape[2])
    check_shape(shape, series.subject)
    check_affine(affine, shape, series.subject)
    values, notes = as_float32(values, series.subject, options)
    notes = (*choice, *notes, *pixel_notes(data, values))
    return ImageFile(values, Geometry(shape, affine), stored_type(data, values), notes)


def _from_voxels(slices: int) -> Float64[np.ndarray, "4 4"]:
    """Index (x, y, z) -> index (slice, row, column) of highdicom, whose slices run against the cross product."""
    return np.array([[0, 0, -1, slices - 1], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)


def read_pixels(path: Path, place: str) -> Any:
    """A file with its voxels decoded, as a pydicom dataset.

    Args:
        path: the file.
        place: names it in errors.

    Raises:
        FileError: it is damaged, or cannot be decoded.
    """
    from pydicom import dcmread

    try:
        data = dcmread(path, force=True)
    except Exception as error:  # pydicom raises whatever a damaged value causes
        raise FileError(place, f"cannot be read as DICOM ({type(error).__name__})", cure=COPY_AGAIN) from None
    check_decodable(data, place)
    try:
        data.pixel_array  # noqa: B018  # decoded once, kept by pydicom
    except Exception as error:
        found = f"its voxels cannot be decoded ({type(error).__name__})"
        raise FileError(place, found, "the voxels that its header gives", COPY_AGAIN) from None
    return data


def _single_frames(data: Sequence[Any], series: Series) -> Any:
    """The volume of single-frame images."""
    from highdicom.image import get_volume_from_series

    check_slices(data, series.subject)
    if not any(one.get("FrameOfReferenceUID") for one in data):
        for one in data:
            one.FrameOfReferenceUID = _PLACEHOLDER
    try:
        return get_volume_from_series(
            data,
            dtype=np.float32,
            rtol=SPACING_TOLERANCE,
            orientation_tol=ORIENTATION_TOLERANCE,
            **_TRANSFORMS,
        )
    except Exception as error:
        raise _no_volume(series, error) from None


def _multi_frame(data: Sequence[Any], series: Series) -> Any:
    """The volume of one multi-frame image."""
    from highdicom import Image

    if len(data) > 1:
        found = f"{len(data)} multi-frame images"
        raise GeometryError(series.subject, found, "one volume per series", "keep the file of one")
    try:
        image = Image.from_dataset(data[0], copy=False)
        return image.get_volume(dtype=np.float32, rtol=SPACING_TOLERANCE, **_TRANSFORMS)
    except Exception as error:
        if "Multiple frames found" in str(error):
            cure = "export one volume as a series of its own"
            raise GeometryError(series.subject, frames_line(data[0]), "one frame per position", cure) from None
        raise _no_volume(series, error) from None


def _no_volume(series: Series, error: Exception) -> GeometryError:
    """The error in our words, since highdicom's messages may quote UIDs."""
    plain = {"Frame positions do not form a regularly-spaced volume.": "the frames are unevenly spaced or leave a gap",
        "Images do not share a frame of reference.": "the slices have different frames of reference",
    }  # fmt: skip
    found = plain.get(str(error), f"the images form no regular volume ({type(error).__name__})")
    cure = "is this several volumes, as phases, echoes or b-values? export one as a series of its own"
    return GeometryError(series.subject, found, "one slice per position, evenly spaced", cure)
