"""Selects the reader or writer by file ending."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.errors import FileError
from medsmith.formats import nifti, png
from medsmith.formats.volume import ImageFile, LabelFile, ReadOptions, Region
from medsmith.geometry import Geometry

NIFTI_ENDINGS = (".nii.gz", ".nii", ".hdr", ".hdr.gz", ".img", ".img.gz")
ENDINGS = (*NIFTI_ENDINGS, ".png")
_DEFAULT = ReadOptions()


def ending_of(path: Path) -> str:
    """The ending of a readable file's name in lower case; empty for any other file."""
    name = path.name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), "")


def stem_of(path: Path) -> str:
    """The name of a readable file without its ending."""
    ending = ending_of(path)
    return path.name[: len(path.name) - len(ending)]


def _is_png(path: Path) -> bool:
    ending = ending_of(path)
    if not ending:
        raise FileError(path, "an ending that is not read", f"one of {', '.join(ENDINGS)}", "convert the file")
    return ending == ".png"


def read_image(path: Path, options: ReadOptions = _DEFAULT) -> ImageFile:
    """One channel of an image (see ``nifti.read_image`` and ``png.read_image``)."""
    return png.read_image(path, options) if _is_png(path) else nifti.read_image(path, options)


def read_labels(path: Path, options: ReadOptions = _DEFAULT) -> LabelFile:
    """A label map (see ``nifti.read_labels`` and ``png.read_labels``)."""
    return png.read_labels(path) if _is_png(path) else nifti.read_labels(path, options)


def count_volumes(path: Path) -> int:
    """Number of volumes of an image (see ``nifti.count_volumes``)."""
    return 1 if _is_png(path) else nifti.count_volumes(path)


def read_grid(path: Path, options: ReadOptions = _DEFAULT) -> Geometry:
    """The grid of an image (see ``nifti.read_grid``)."""
    return png.read_image(path).geometry if _is_png(path) else nifti.read_grid(path, options)


def read_image_region(path: Path, region: Region, options: ReadOptions = _DEFAULT) -> Float32[np.ndarray, "x y z"]:
    """Part of one channel of an image (see ``nifti.read_image_region``)."""
    return png.read_image(path).values[region] if _is_png(path) else nifti.read_image_region(path, region, options)


def read_labels_region(path: Path, region: Region, options: ReadOptions = _DEFAULT) -> UInt8[np.ndarray, "x y z"]:
    """Part of a label map (see ``nifti.read_labels_region``)."""
    return png.read_labels(path).values[region] if _is_png(path) else nifti.read_labels_region(path, region, options)


def write_image(
    path: Path,
    values: Float32[np.ndarray, "x y z"],
    geometry: Geometry,
    stored: np.dtype[Any],
    *,
    synthetic: bool,
) -> None:
    """Writes one channel (see ``nifti.write_image`` and ``png.write_image``)."""
    write = png.write_image if _is_png(path) else nifti.write_image
    write(path, values, geometry, stored, synthetic=synthetic)


def write_labels(path: Path, values: UInt8[np.ndarray, "x y z"], geometry: Geometry, *, synthetic: bool) -> None:
    """Writes a label map (see ``nifti.write_labels`` and ``png.write_labels``)."""
    write = png.write_labels if _is_png(path) else nifti.write_labels
    write(path, values, geometry, synthetic=synthetic)
