"""Reads and writes PNG images and label maps (ISO/IEC 15948). x runs along the columns, y along the rows."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped, UInt8
from PIL import Image, PngImagePlugin

from medsmith.errors import ContentError, FileError, GeometryError
from medsmith.formats.atomic import write_bytes
from medsmith.formats.content_type import cure_for, identify_content
from medsmith.formats.nifti_geometry import check_shape
from medsmith.formats.opening import read_bytes
from medsmith.formats.values import as_labels, to_stored
from medsmith.formats.volume import SYNTHETIC_MARK, ImageFile, LabelFile, ReadOptions, check_only_volume
from medsmith.geometry import Geometry

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_PIXELS = 2**26
_CURE = "copy or download the file again"
_TEXT_KEYWORD = "Description"
_DEFAULT = ReadOptions()
STORED = (np.dtype(np.uint8), np.dtype(np.uint16))


def read_image(path: Path, options: ReadOptions = _DEFAULT) -> ImageFile:
    """A gray image as one channel; color is accepted if its channels are equal, or ``gray_of_color`` is set.

    Raises:
        FileError: the container is damaged, not PNG, or too large.
        ContentError: the picture is in color, partly transparent, or 1-bit.
        GeometryError: it is too small, or another volume than its only one is chosen.
    """
    check_only_volume(options.volume, path)
    with _decoded(path) as picture:
        if picture.mode == "1":
            raise ContentError(path, "a 1-bit picture", "an image has gray values", "is this the label map?")
        pixels, notes = gray_of(picture, path, luminance=options.gray_of_color)
    values = pixels.T[:, :, np.newaxis]
    return ImageFile(values.astype(np.float32), _grid(values, path), values.dtype, notes)


def read_labels(path: Path) -> LabelFile:
    """A label map: gray values or palette indices.

    Raises:
        FileError: the container is damaged, not PNG, or too large.
        ContentError: the picture is in color, partly transparent, or has values above 255.
    """
    with _decoded(path) as picture:
        if picture.mode in ("1", "P"):
            return _label_file(np.asarray(picture).astype(np.uint8), (), path)
        return _label_file(*gray_of(picture, path, luminance=False), path)


def _label_file(pixels: Shaped[np.ndarray, "y x"], notes: tuple[str, ...], path: Path) -> LabelFile:
    values = as_labels(pixels.T[:, :, np.newaxis], path)
    return LabelFile(values, _grid(values, path), notes)


def _grid(values: Shaped[np.ndarray, "x y 1"], path: Path) -> Geometry:
    shape = (values.shape[0], values.shape[1], 1)
    check_shape(shape, path)
    return Geometry.plain(shape)


def _decoded(path: Path) -> Image.Image:
    data = read_bytes(path)
    _check_chunks(data, path)
    try:
        picture = Image.open(io.BytesIO(data), formats=("PNG",))
        if getattr(picture, "n_frames", 1) != 1:
            raise ContentError(path, "an animated picture", "one frame", "export the frame")
        picture.load()
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise FileError(path, f"the picture cannot be decoded ({error})", cure=_CURE) from error
    return picture


def _check_chunks(data: bytes, path: Path) -> None:
    """Checks checksums, completeness and size of all chunks before decoding."""
    if not data.startswith(_SIGNATURE):
        kind = identify_content(data[:1024])
        raise FileError(path, f"not a PNG file but {kind}", cure=cure_for(kind))
    position, name = len(_SIGNATURE), b""
    while name != b"IEND":
        if position + 12 > len(data):
            raise FileError(path, "the file ends early", cure=_CURE)
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise FileError(path, "the file ends early", cure=_CURE)
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise FileError(path, "CRC mismatch, the picture is damaged", cure=_CURE)
        if name == b"IHDR":
            width, height = struct.unpack_from(">II", data, position + 8)
            _check_size(width, height, path)
        position = end


def _check_size(width: int, height: int, path: Path) -> None:
    if width * height > _MAX_PIXELS:
        found = f"claims {width} x {height} pixels"
        raise FileError(path, found, f"at most {_MAX_PIXELS}", "crop or tile the picture")


def gray_of(
    picture: Image.Image, path: Path | str, *, luminance: bool
) -> tuple[Shaped[np.ndarray, "y x"], tuple[str, ...]]:
    """The gray values of a picture, and notes; color is accepted if its channels are equal, or as its luminance.

    Args:
        picture: of any mode.
        path: names it in errors.
        luminance: whether color is turned to gray.

    Raises:
        ContentError: it is in color, partly transparent, or of another mode.
    """
    if picture.mode in ("L", "I;16"):
        return np.asarray(picture), ()
    if picture.mode == "P":
        picture = picture.convert("RGBA")
    pixels = np.asarray(picture)
    if picture.mode in ("LA", "RGBA"):
        if pixels[..., -1].min() < 255:
            raise ContentError(path, "partly transparent", "all pixels are opaque", "flatten the picture")
        pixels = pixels[..., :-1]
    if picture.mode not in ("LA", "RGB", "RGBA"):
        raise ContentError(path, f"color mode {picture.mode}", "8- or 16-bit gray", "convert it to gray")
    spread = np.ptp(pixels, axis=-1)
    if spread.max() > 0:
        count = int((spread > 0).sum())
        if luminance:
            note = f"{count} pixels in color ({count / spread.size:.2%}) were turned to gray by their luminance"
            return np.asarray(Image.fromarray(pixels, "RGB").convert("L")), (note,)
        found = f"in color ({count} pixels, {count / spread.size:.2%}, where the channels differ)"
        cure = "convert it to gray, or run medsmith prepare with --gray-of-color"
        raise ContentError(path, found, "8- or 16-bit gray", cure)
    return pixels[..., 0], ("stored in color, its channels are equal: read as gray",)


def write_image(
    path: Path,
    values: Float32[np.ndarray, "x y z"],
    geometry: Geometry,
    stored: np.dtype[Any],
    *,
    synthetic: bool,
) -> None:
    """Writes a single slice as 8- or 16-bit gray.

    Raises:
        GeometryError: the image has several slices.
        ContentError: values that are not finite or outside the range of ``stored``.
        FileError: ``stored`` has no PNG form, or the file cannot be written.
    """
    if stored not in STORED:
        raise FileError(path, f"{stored} has no PNG form", "uint8 or uint16", "use .nii.gz")
    _write(path, to_stored(values, stored, path), geometry, synthetic)


def write_labels(path: Path, values: UInt8[np.ndarray, "x y z"], geometry: Geometry, *, synthetic: bool) -> None:
    """Writes the labels of a single slice as 8-bit gray; the pixel value is the label.

    Raises:
        GeometryError: the map has several slices.
        FileError: the file cannot be written.
    """
    _write(path, values, geometry, synthetic)


def _write(path: Path, array: Shaped[np.ndarray, "x y z"], geometry: Geometry, synthetic: bool) -> None:
    if geometry.dimensions != 2:
        raise GeometryError(path, f"{geometry.shape[2]} slices", "a PNG has one", "use .nii.gz")
    text = PngImagePlugin.PngInfo()
    if synthetic:
        text.add_text(_TEXT_KEYWORD, SYNTHETIC_MARK)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array[:, :, 0].T)).save(buffer, format="PNG", pnginfo=text)
    write_bytes(path, buffer.getvalue())
