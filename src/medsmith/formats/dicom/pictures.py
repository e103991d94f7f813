"""Single DICOM images that are not placed in the patient, as 2-D images: radiographs, mammograms, ultrasound.

Axes: x runs along a row of the image, y down its columns, as in a picture. Where pixel sizes are known, the grid is
that of an axial slice (x to the left, y to the back), so that the image is shown as it is stored.
"""

from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped
from PIL import Image

from medsmith.errors import ContentError
from medsmith.formats.dicom.headers import Header
from medsmith.formats.dicom.pixel_facts import mark_notes
from medsmith.formats.dicom.pixel_spacing import pixel_spacing
from medsmith.formats.dicom.pixels import read_pixels
from medsmith.formats.dicom.slices import check_rescaled
from medsmith.formats.nifti_geometry import check_affine, check_shape
from medsmith.formats.packages import quiet
from medsmith.formats.png import gray_of
from medsmith.formats.values import as_float32
from medsmith.formats.volume import ImageFile, ReadOptions, check_only_volume
from medsmith.geometry import Geometry

_DEFAULT = ReadOptions()
_INVERTED = "low values are displayed white (MONOCHROME1): inverted, so that high values are white"
_NO_ORIENTATION = "its orientation in the patient is not stated: shown as it is stored"
_IN_PIXELS = "no pixel sizes are stated: in pixels"
_BYTE, _WORD = np.iinfo("u1").max, np.iinfo("u2").max


def read_picture(header: Header, options: ReadOptions = _DEFAULT) -> ImageFile:
    """A single image as gray values: rescaled, MONOCHROME1 inverted, color only if its channels are equal or as asked.

    Args:
        header: of the file.
        options: ``gray_of_color`` takes the luminance of color.

    Raises:
        FileError: the file is damaged, cannot be decoded, or has a slope without an intercept.
        ContentError: several frames, color, or values that are not finite.
        GeometryError: too few pixels, pixels of an absurd size, or another volume than the only one is chosen.
    """
    if header.frames > 1:
        found, cure = f"is a clip of {header.frames} frames (cine)", "export the frames that are wanted, or remove it"
        raise ContentError(header.place, found, "a 2-D case is a single image", cure)
    check_only_volume(options.volume, header.place)
    with quiet():
        data = read_pixels(header.path, header.place)
        check_rescaled([data], header.place)
        pixels, notes = _gray(data, header.place, options)
    array: Float32[np.ndarray, "x y 1"] = pixels.T[:, :, np.newaxis].astype(np.float32)
    values, repairs = as_float32(array, header.place, options)
    geometry, placing = _grid(data, (values.shape[0], values.shape[1], 1), header.place)
    return ImageFile(values, geometry, _stored(pixels), (*notes, *repairs, *placing, *mark_notes([data])))


def _grid(data: Any, shape: tuple[int, int, int], place: str) -> tuple[Geometry, tuple[str, ...]]:
    check_shape(shape, place)
    sizes, notes = pixel_spacing(data)
    if sizes is None:
        return Geometry.plain(shape), notes or (_IN_PIXELS,)
    affine = np.diag([-sizes[0], -sizes[1], 1.0, 1.0])
    check_affine(affine, shape, place)
    return Geometry(shape, affine), (*notes, _NO_ORIENTATION)


def _gray(data: Any, place: str, options: ReadOptions) -> tuple[Shaped[np.ndarray, "y x"], tuple[str, ...]]:
    kind = str(data.get("PhotometricInterpretation") or "")
    if not kind.startswith("MONOCHROME"):
        return gray_of(_colored(data, kind, place), place, luminance=options.gray_of_color)
    pixels, notes = data.pixel_array, tuple[str, ...]()
    if kind == "MONOCHROME1":
        if "ModalityLUTSequence" in data:
            found = "has a lookup table of values and is displayed inverted (MONOCHROME1)"
            raise ContentError(place, found, "one of the two", "export it as MONOCHROME2")
        lowest = -(2 ** (int(data.BitsStored) - 1)) if int(data.PixelRepresentation) else 0
        pixels, notes = (2 * lowest + 2 ** int(data.BitsStored) - 1) - pixels.astype(np.int64), (_INVERTED,)
    from pydicom.pixels import apply_modality_lut

    rescaled: Shaped[np.ndarray, "y x"] = apply_modality_lut(pixels, data)
    return rescaled, notes


def _colored(data: Any, kind: str, place: str) -> Image.Image:
    """A color image of 8 bits as RGB, to which pydicom has turned other color spaces."""
    from pydicom.pixels import apply_color_lut

    pixels = apply_color_lut(data.pixel_array, data) if kind == "PALETTE COLOR" else data.pixel_array
    if pixels.dtype == np.uint16 and kind == "PALETTE COLOR":
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
        found = f"pixels of the kind {kind or 'unknown'} in {data.get('BitsAllocated')} bits"
        raise ContentError(place, found, "gray values, or color in 8 bits", "export it in gray")
    return Image.fromarray(np.ascontiguousarray(pixels), "RGB")


def _stored(pixels: Shaped[np.ndarray, "y x"]) -> np.dtype[Any]:
    """The smallest number type that keeps the values."""
    low, high = float(pixels.min()), float(pixels.max())
    if np.any(pixels != np.rint(pixels)) or low < np.iinfo("i2").min or high > _WORD:
        return np.dtype(np.float32)
    if low < 0:
        return np.dtype(np.int16) if high <= np.iinfo("i2").max else np.dtype(np.float32)
    return np.dtype(np.uint8) if high <= _BYTE else np.dtype(np.uint16)
