"""A series as one volume in stored units, on highdicom's grid.

Axes: x runs along a row of the image, y down its columns, z along the cross product of the two, as in ITK. The affine
is RAS+, DICOM's own LPS+ with the first two axes turned (PS3.3 C.7.6.2.1.1).
"""

import numpy as np
from jaxtyping import Float32, Float64

from medsmith.errors import FileError, GeometryError
from medsmith.formats.dicom.pixel_facts import count_padding, pixel_notes, stored_type
from medsmith.formats.dicom.pixels import read_pixels
from medsmith.formats.dicom.series import Series
from medsmith.formats.dicom.slices import SPACING_TOLERANCE
from medsmith.formats.dicom.stacking import Stack, no_volume, stack_slices
from medsmith.formats.dicom.volumes import frames_line
from medsmith.formats.nifti_geometry import check_affine, check_shape
from medsmith.formats.opening import MAX_BYTES, check_memory, format_bytes
from medsmith.formats.packages import quiet
from medsmith.formats.values import as_float32
from medsmith.formats.volume import ImageFile, ReadOptions, check_only_volume
from medsmith.geometry import BETWEEN_RAS_AND_LPS, Geometry

_DEFAULT = ReadOptions()
_TRANSFORMS = {"apply_real_world_transform": False, "apply_presentation_lut": False, "apply_icc_profile": False}
"""Stored values are rescaled (modality transform) and nothing more."""
_COPIES = 2
"""Of a volume that are in memory while it is read and checked."""


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
    check_memory(series.subject, _COPIES * size)
    with quiet():
        stack = _multi_frame(series, options.volume) if series.first.frames else stack_slices(series, options.volume)
    values: Float32[np.ndarray, "x y z"] = stack.values.transpose(2, 1, 0)[:, :, ::-1]
    affine: Float64[np.ndarray, "4 4"] = stack.affine @ _from_voxels(len(stack.values))
    affine[:3] = BETWEEN_RAS_AND_LPS @ affine[:3]
    shape = (values.shape[0], values.shape[1], values.shape[2])
    check_shape(shape, series.subject)
    check_affine(affine, shape, series.subject)
    values, notes = as_float32(values, series.subject, options)
    notes = (*stack.notes, *notes, *pixel_notes(stack.headers, stack.padded, values.size))
    return ImageFile(values, Geometry(shape, affine), stored_type(stack.headers, values), notes)


def _from_voxels(slices: int) -> Float64[np.ndarray, "4 4"]:
    """Index (x, y, z) -> index (slice, row, column) of highdicom, whose slices run against the cross product."""
    return np.array([[0, 0, -1, slices - 1], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)


def _multi_frame(series: Series, chosen: int | None) -> Stack:
    """The volume of one multi-frame image."""
    from highdicom import Image

    if len(series.headers) > 1:
        found = f"{len(series.headers)} multi-frame images"
        raise GeometryError(series.subject, found, "one volume per series", "keep the file of one")
    data = read_pixels(series.first.path, series.first.place)
    try:
        image = Image.from_dataset(data, copy=False)
        volume = image.get_volume(dtype=np.float32, rtol=SPACING_TOLERANCE, **_TRANSFORMS)
    except MemoryError:
        raise
    except Exception as error:
        if "Multiple frames found" in str(error):
            cure = "export one volume as a series of its own"
            raise GeometryError(series.subject, frames_line(data), "one frame per position", cure) from None
        raise no_volume(series, error) from None
    check_only_volume(chosen, series.subject)
    return Stack(volume.array, volume.affine, [data], count_padding(data))
