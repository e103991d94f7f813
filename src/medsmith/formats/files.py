"""Selects the reader or writer by file ending."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.errors import FileError
from medsmith.formats import itk, nifti, nifti_writing, png
from medsmith.formats.volume import ImageFile, LabelFile, ReadOptions, Region
from medsmith.geometry import Geometry

NIFTI_ENDINGS = (".nii.gz", ".nii", ".hdr", ".hdr.gz", ".img", ".img.gz")
ENDINGS = (*NIFTI_ENDINGS, ".png", *itk.ENDINGS)
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


def _is_itk(path: Path) -> bool:
    return ending_of(path) in itk.ENDINGS


def read_image(path: Path, options: ReadOptions = _DEFAULT) -> ImageFile:
    """One channel of an image (see ``nifti.read_image``, ``png.read_image`` and ``itk.read_image``)."""
    if _is_itk(path):
        return itk.read_image(path, options)
    return png.read_image(path, options) if _is_png(path) else nifti.read_image(path, options)


def read_labels(path: Path, options: ReadOptions = _DEFAULT) -> LabelFile:
    """A label map (see ``nifti.read_labels``, ``png.read_labels`` and ``itk.read_labels``)."""
    if _is_itk(path):
        return itk.read_labels(path, options)
    return png.read_labels(path) if _is_png(path) else nifti.read_labels(path, options)


def count_volumes(path: Path) -> int:
    """Number of volumes of an image (see ``nifti.count_volumes`` and ``itk.count_volumes``)."""
    if _is_itk(path):
        return itk.count_volumes(path)
    return 1 if _is_png(path) else nifti.count_volumes(path)


def read_grid(path: Path, options: ReadOptions = _DEFAULT) -> Geometry:
    """The grid of an image (see ``nifti.read_grid`` and ``itk.read_grid``)."""
    if _is_itk(path):
        return itk.read_grid(path, options)
    return png.read_image(path).geometry if _is_png(path) else nifti.read_grid(path, options)


def read_image_region(path: Path, region: Region, options: ReadOptions = _DEFAULT) -> Float32[np.ndarray, "x y z"]:
    """Part of one channel of an image (see ``nifti.read_image_region``)."""
    if _is_itk(path):
        return itk.read_image_region(path, region, options)
    return png.read_image(path).values[region] if _is_png(path) else nifti.read_image_region(path, region, options)


def read_labels_region(path: Path, region: Region, options: ReadOptions = _DEFAULT) -> UInt8[np.ndarray, "x y z"]:
    """Part of a label map (see ``nifti.read_labels_region``)."""
    if _is_itk(path):
        return itk.read_labels_region(path, region, options)
    return png.read_labels(path).values[region] if _is_png(path) else nifti.read_labels_region(path, region, options)


def _check_written(path: Path) -> None:
    if _is_itk(path):
        raise FileError(path, "NRRD and MetaImage are read, not written", ".nii.gz or .png", "choose one of these")


def write_image(
    path: Path,
    values: Float32[np.ndarray, "x y z"],
    geometry: Geometry,
    stored: np.dtype[Any],
    *,
    synthetic: bool,
) -> None:
    """Writes one channel (see ``nifti_writing.write_image`` and ``png.write_image``)."""
    _check_written(path)
    write = png.write_image if _is_png(path) else nifti_writing.write_image
    write(path, values, geometry, stored, synthetic=synthetic)


def write_labels(path: Path, values: UInt8[np.ndarray, "x y z"], geometry: Geometry, *, synthetic: bool) -> None:
    """Writes a label map (see ``nifti_writing.write_labels`` and ``png.write_labels``)."""
    _check_written(path)
    write = png.write_labels if _is_png(path) else nifti_writing.write_labels
    write(path, values, geometry, synthetic=synthetic)
