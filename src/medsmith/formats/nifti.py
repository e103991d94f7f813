"""Reads and writes NIfTI images and label maps (.nii, .nii.gz, .hdr/.img)."""

import gzip
import math
import os
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int16, Num, Shaped, UInt8
from nibabel.fileslice import fileslice

from medsmith.errors import FileError, GeometryError
from medsmith.formats import gzip_stream
from medsmith.formats.nifti_geometry import read_geometry
from medsmith.formats.nifti_header import HEADER_BYTES, Header, parse_header
from medsmith.formats.one_hot import joined_volumes
from medsmith.formats.opening import check_memory, format_bytes, open_regular, read_bytes
from medsmith.formats.values import as_float32, as_labels
from medsmith.formats.volume import ImageFile, LabelFile, ReadOptions, Region, check_only_volume
from medsmith.geometry import Geometry

_PAIRED = re.compile(r"\.img(\.gz)?$", re.IGNORECASE)
_NIFTI_ENDING = re.compile(r"\.(hdr|img|nii)(\.gz)?$", re.IGNORECASE)
_SLACK = 2**20
"""Bytes after the array that are tolerated."""
_START = 2**16
"""Bytes that certainly contain the header, compressed or not."""
_DEFAULT = ReadOptions()
Grid = tuple[int, int, int]


def read_image(path: Path, options: ReadOptions = _DEFAULT) -> ImageFile:
    """One channel in stored units, with its grid.

    Raises:
        FileError: the container is damaged, or not NIfTI.
        GeometryError: the grid cannot be used.
        ContentError: NaN or infinite voxels.
    """
    header, array, notes = _read_array(path)
    if array.size == math.prod(_grid(array.shape, path)):
        check_only_volume(options.volume, path)
    volume = _one_volume(array, path, options)
    geometry, geometry_notes = read_geometry(header, volume.shape, path, options)
    values, stored = _rescaled(volume, header)
    image, value_notes = as_float32(values, path, options)
    return ImageFile(image, geometry, stored, notes + geometry_notes + value_notes)


def read_labels(path: Path, options: ReadOptions = _DEFAULT) -> LabelFile:
    """A label map with its grid; a volume for each label (one-hot) is read as one map, with a note.

    Raises:
        FileError: the container is damaged, or not NIfTI.
        GeometryError: the grid cannot be used.
        ContentError: values that are not whole, negative, or above 255, or several volumes that are no labels.
    """
    header, array, notes = _read_array(path)
    grid = _grid(array.shape, path)
    geometry, geometry_notes = read_geometry(header, grid, path, options)
    if options.volume is None and array.size > math.prod(grid):
        volumes = np.moveaxis(array.reshape(*grid, -1, order="F"), 3, 0)
        joined, label_notes = joined_volumes([_rescaled(volume, header)[0] for volume in volumes], path)
        return LabelFile(joined, geometry, notes + geometry_notes + label_notes)
    values, _ = _rescaled(_one_volume(array, path, options), header)
    return LabelFile(as_labels(values, path), geometry, notes + geometry_notes)


def count_volumes(path: Path) -> int:
    """Number of volumes of a file; only the header is read.

    Raises:
        FileError: it cannot be read, or is not NIfTI.
    """
    shape = read_header(path).shape
    return math.prod(shape) // math.prod(_grid(shape, path))


def read_header(path: Path) -> Header:
    """The header of a file; only the start of the file is read.

    Raises:
        FileError: it cannot be read, or is not NIfTI.
    """
    place = _other_half(path, ".hdr") if _PAIRED.search(path.name) else path
    try:
        with place.open("rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise FileError(place, f"cannot be read ({error.strerror})", cure="check the path") from None
    return _header(start, start.startswith(gzip_stream.MAGIC), place)


def read_grid(path: Path, options: ReadOptions = _DEFAULT) -> Geometry:
    """The grid of a file; only the header is read.

    Raises:
        FileError: it cannot be read, or is not NIfTI.
        GeometryError: the grid cannot be used.
    """
    header = read_header(path)
    return read_geometry(header, _grid(header.shape, path), path, options)[0]


def read_image_region(path: Path, region: Region, options: ReadOptions = _DEFAULT) -> Float32[np.ndarray, "x y z"]:
    """A region of ``read_image`` without loading the rest; the checksum is not verified.

    Args:
        path: the file.
        region: one slice per axis of the file, with start and stop inside the grid.
        options: as of ``read_image``.

    Raises:
        FileError: the container is damaged, or not NIfTI.
        ContentError: NaN or infinite voxels in the region.
    """
    return as_float32(_read_region(path, region, options), path, options)[0]


def read_labels_region(path: Path, region: Region, options: ReadOptions = _DEFAULT) -> UInt8[np.ndarray, "x y z"]:
    """A region of ``read_labels``, read like ``read_image_region``.

    Raises:
        FileError: the container is damaged, or not NIfTI.
        ContentError: values that are not whole, negative, or above 255.
    """
    if options.volume is None and count_volumes(path) > 1:
        return read_labels(path, options).values[region]  # whether a volume is the background shows in the whole alone
    return as_labels(_read_region(path, region, options), path)


def _read_region(path: Path, region: Region, options: ReadOptions) -> Num[np.ndarray, "x y z"]:
    header = read_header(path)
    grid = _grid(header.shape, path)
    count = math.prod(header.shape) // math.prod(grid)
    place = _other_half(path, ".img") if header.in_pair else path
    with open_regular(place) as file:
        compressed = file.read(len(gzip_stream.MAGIC)) == gzip_stream.MAGIC
        file.seek(0)
        source = gzip.GzipFile(fileobj=file) if compressed else file
        index = (*region, _volume_index(count, header.shape, path, options))
        try:
            part = fileslice(source, index, (*grid, count), header.dtype, header.offset, order="F")
        except (EOFError, OSError, ValueError, zlib.error) as error:
            raise FileError(place, f"cannot be read ({error})", cure="copy or download the file again") from None
    return _rescaled(part.astype(header.dtype.newbyteorder("="), copy=False), header)[0]


def _read_array(path: Path) -> tuple[Header, Shaped[np.ndarray, "..."], tuple[str, ...]]:
    header_path = _other_half(path, ".hdr") if _PAIRED.search(path.name) else path
    data = read_bytes(header_path)
    compressed = data.startswith(gzip_stream.MAGIC)
    header = _header(data, compressed, header_path)
    notes = header.notes + _name_notes(header_path, compressed)
    if header.in_pair:
        path = _other_half(header_path, ".img")
        data, compressed = read_bytes(path), path.name.lower().endswith(".gz")
    data, more_notes = _unpacked(data, compressed, header, path)
    array = np.frombuffer(data, header.dtype, offset=header.offset, count=math.prod(header.shape))
    native = array.astype(header.dtype.newbyteorder("="), copy=False)
    return header, native.reshape(header.shape, order="F"), notes + more_notes


def _header(data: bytes, compressed: bool, path: Path) -> Header:
    if not compressed:
        return parse_header(data[:HEADER_BYTES], path)
    try:
        return parse_header(gzip_stream.inflate_prefix(data, HEADER_BYTES, path), path)
    except FileError:
        # A damaged stream corrupts the header: report the damage first.
        gzip_stream.check(data, path)
        raise


def _other_half(path: Path, ending: str) -> Path:
    base = _NIFTI_ENDING.sub("", path.name)
    for name in (base + ending, base + ending + ".gz", base + ending.upper()):
        if os.path.lexists(path.with_name(name)):
            return path.with_name(name)
    raise FileError(path.with_name(base + ending), f"does not exist, the other half of {path.name}", "", "copy it too")


def _name_notes(path: Path, compressed: bool) -> tuple[str, ...]:
    if path.name.lower().endswith(".gz") == compressed:
        return ()
    return (f"named {path.name} but {'' if compressed else 'not '}compressed; read as what it is",)


def _unpacked(data: bytes, compressed: bool, header: Header, path: Path) -> tuple[bytes, tuple[str, ...]]:
    expected = header.offset + header.array_bytes
    ceiling = len(data) * gzip_stream.MAX_EXPANSION if compressed else len(data)
    if expected > ceiling:
        claim = f"the header claims {'x'.join(map(str, header.shape))} voxels, {format_bytes(expected)} in all"
        limit = f"the file has {format_bytes(len(data))}{' compressed' if compressed else ''}"
        raise FileError(path, claim, limit, "copy or download the file again")
    check_memory(path, header.array_bytes + math.prod(header.shape[:3]) * np.dtype(np.float32).itemsize)
    notes: tuple[str, ...] = ()
    if compressed:
        data, notes = gzip_stream.inflate(data, expected + _SLACK, path)
    if len(data) < expected:
        found = f"{len(data)} bytes where the header needs {expected}"
        raise FileError(path, found, cure="copy or download the file again")
    if len(data) > expected:
        notes += (f"{len(data) - expected} bytes after the array are ignored",)
    return data, notes


def _one_volume(array: Shaped[np.ndarray, "..."], path: Path, options: ReadOptions) -> Shaped[np.ndarray, "x y z"]:
    """One 3-D volume: trailing axes of length 1 are dropped, of several volumes the selected one is taken."""
    volumes = array.reshape(*_grid(array.shape, path), -1, order="F")
    return volumes[..., _volume_index(volumes.shape[3], array.shape, path, options)]


def _grid(shape: tuple[int, ...], path: Path) -> Grid:
    if len(shape) < 2:
        raise GeometryError(path, "one axis", "an image has two or three", "give the image")
    return shape[0], shape[1], shape[2] if len(shape) > 2 else 1


def _volume_index(count: int, shape: tuple[int, ...], path: Path, options: ReadOptions) -> int:
    """Index of the volume to read."""
    if count == 1:
        return 0
    if options.volume is None:
        found = f"{count} volumes ({' x '.join(map(str, shape))})"
        raise GeometryError(path, found, "one is needed", f"pass --volume K, 0 to {count - 1}")
    if not 0 <= options.volume < count:
        raise GeometryError(path, f"volume {options.volume} of {count}", "", f"choose 0 to {count - 1}")
    return options.volume


def _rescaled(volume: Shaped[np.ndarray, "x y z"], header: Header) -> tuple[Num[np.ndarray, "x y z"], np.dtype[Any]]:
    if (header.slope, header.intercept) == (1.0, 0.0):
        return volume, volume.dtype
    # Integer slope and intercept (CT: -1024) keep integers; any other scaling gives floats.
    if volume.dtype.kind in "iu" and header.slope.is_integer() and header.intercept.is_integer():
        ends = [float(end) * header.slope + header.intercept for end in (volume.min(), volume.max())]
        limits = np.iinfo(np.int16)
        if limits.min <= min(ends) and max(ends) <= limits.max:
            return _rescaled_whole(volume, header), np.dtype(np.int16)
    values = volume.astype(np.float64) * header.slope + header.intercept
    return values, volume.dtype if volume.dtype.kind == "f" else np.dtype(np.float32)


def _rescaled_whole(volume: Num[np.ndarray, "x y z"], header: Header) -> Int16[np.ndarray, "x y z"]:
    values = np.empty_like(volume, dtype=np.int16)
    for index in range(volume.shape[2]):
        values[:, :, index] = volume[:, :, index].astype(np.float64) * header.slope + header.intercept
    return values
