"""Writes NIfTI-1 files, whole or in parts."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from medsmith.errors import FileError
from medsmith.formats import gzip_stream
from medsmith.formats.atomic import write_parts
from medsmith.formats.nifti_geometry import fill_geometry
from medsmith.formats.nifti_header import DTYPES
from medsmith.formats.values import to_stored
from medsmith.formats.volume import SYNTHETIC_MARK
from medsmith.geometry import Geometry

_CHUNK = 2**24
"""Bytes per write."""


def write_image(
    path: Path,
    values: Float32[np.ndarray, "x y z"],
    geometry: Geometry,
    stored: np.dtype[Any],
    *,
    synthetic: bool,
) -> None:
    """Writes one channel with a new header; only grid, codes and dtype come from the source.

    Raises:
        ContentError: values that are not finite or outside the range of ``stored``.
        FileError: ``stored`` has no NIfTI form, or the file cannot be written.
    """
    if stored not in DTYPES.values():
        raise FileError(path, f"{stored} has no NIfTI form", f"one of {', '.join(map(str, DTYPES.values()))}")
    _write(path, to_stored(values, stored, path), geometry, synthetic)


def write_labels(path: Path, values: UInt8[np.ndarray, "x y z"], geometry: Geometry, *, synthetic: bool) -> None:
    """Writes a label map as uint8 with a new header.

    Raises:
        FileError: the file cannot be written.
    """
    _write(path, values, geometry, synthetic)


def _write(path: Path, array: Shaped[np.ndarray, "x y z"], geometry: Geometry, synthetic: bool) -> None:
    parts = file_parts(array, geometry, path, synthetic)
    write_parts(path, gzip_stream.deflate_parts(parts) if path.name.lower().endswith(".gz") else parts)


def file_parts(array: Shaped[np.ndarray, "x y z"], geometry: Geometry, path: Path, synthetic: bool) -> Iterator[bytes]:
    """The bytes of an uncompressed NIfTI-1 file, several slices at a time.

    Args:
        array: voxels, in a dtype that NIfTI has.
        geometry: their grid.
        path: named in errors.
        synthetic: whether to mark it as synthetic.

    Raises:
        GeometryError: an axis is longer than NIfTI-1 allows.
    """
    fields = nib.Nifti1Header(endianness="<")
    fields.set_data_dtype(array.dtype)
    fill_geometry(fields, geometry, path)
    fields["scl_slope"], fields["scl_inter"] = 1, 0
    fields["vox_offset"], fields["magic"] = 352, b"n+1"
    fields["descrip"] = SYNTHETIC_MARK.encode() if synthetic else b""
    return chain((fields.binaryblock + b"\0\0\0\0",), _voxels(array))


def _voxels(array: Shaped[np.ndarray, "x y z"]) -> Iterator[bytes]:
    """The bytes of the array in file order, several slices at a time."""
    slices = max(1, _CHUNK // max(1, array[:, :, :1].nbytes))
    for first in range(0, array.shape[2], slices):
        part = array[:, :, first : first + slices]
        yield part.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(order="F")
