"""Converts voxel values on reading and writing: no overflow, no non-finite values, integer labels."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Num, Shaped, UInt8

from medsmith.errors import ContentError, counted
from medsmith.formats.volume import ReadOptions

_EXACT_INTEGERS = 2**24
"""Whole numbers up to here are exact in float32."""
_LABEL_TOLERANCE = 1e-3


def first_true_index(mask: Bool[np.ndarray, "..."]) -> str:
    """The index of the first true element, for an error line: ``"(3, 0, 7)"``."""
    return str(tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape)))


def as_float32(
    values: Num[np.ndarray, "x y z"], path: Path | str, options: ReadOptions
) -> tuple[Float32[np.ndarray, "x y z"], tuple[str, ...]]:
    """Image values as float32, and notes on filled or rounded values.

    Raises:
        ContentError: NaN or infinite voxels without ``nan_fill``, or numbers that float32 cannot hold.
    """
    if values.dtype.kind in "iu":
        return _from_integers(values, path), ()
    values, notes = _finite(values, path, options)
    largest = max(-float(values.min(initial=0)), float(values.max(initial=0)))
    if largest > float(np.finfo(np.float32).max):
        found = f"values up to {largest:.3g}"
        raise ContentError(path, found, "float32 ends at 3.4e38", "rescale the image")
    # A read-only array is a view of the file's bytes.
    result = values.astype(np.float32, copy=not values.flags.writeable)
    if values.dtype.itemsize > 4 and not np.array_equal(result, values):
        notes += ("float64 values were rounded to float32",)
    return result, notes


def _from_integers(values: Num[np.ndarray, "x y z"], path: Path | str) -> Float32[np.ndarray, "x y z"]:
    low, high = int(values.min()), int(values.max())
    if max(-low, high) > _EXACT_INTEGERS:
        found = f"whole numbers from {low} to {high}"
        raise ContentError(path, found, f"exact up to {_EXACT_INTEGERS}", "store the image as float32")
    return values.astype(np.float32)


def _finite(
    values: Num[np.ndarray, "x y z"], path: Path | str, options: ReadOptions
) -> tuple[Num[np.ndarray, "x y z"], tuple[str, ...]]:
    if np.isfinite(values.min(initial=0)) and np.isfinite(values.max(initial=0)):
        return values, ()
    bad = ~np.isfinite(values)
    count = int(bad.sum())
    found = f"{counted(count, 'NaN or infinite voxel')}, the first at {first_true_index(bad)}"
    if options.nan_fill is None:
        raise ContentError(path, found, "all must be finite", "repair it, or prepare it with --nan-fill VALUE")
    return np.where(bad, options.nan_fill, values), (f"{found}, filled with {options.nan_fill:g}",)


def as_labels(values: Num[np.ndarray, "x y z"], path: Path | str) -> UInt8[np.ndarray, "x y z"]:
    """Label values as whole numbers from 0 to 255.

    Raises:
        ContentError: values that are not whole (to 1e-3), negative, or above 255.
    """
    if values.dtype.kind == "f":
        values = _whole(values, path)
    low, high = values.min(), values.max()
    if low < 0 or high > 255:
        found = f"label values from {low:g} to {high:g}"
        raise ContentError(path, found, "labels are 0 to 255", "is this the image? give the label map")
    return values.astype(np.uint8)


def _whole(values: Num[np.ndarray, "x y z"], path: Path | str) -> Num[np.ndarray, "x y z"]:
    with np.errstate(invalid="ignore"):
        rounded: Num[np.ndarray, "x y z"] = np.rint(values)
        off = np.logical_not(np.abs(values - rounded) < _LABEL_TOLERANCE)
    if off.any():
        example = values[off][0]
        found = f"label value {example:g} at {first_true_index(off)} is not a whole number"
        raise ContentError(path, found, "labels are 0 to 255", "is this the image, or was it interpolated?")
    return rounded


def to_stored(values: Float32[np.ndarray, "*space"], stored: np.dtype[Any], path: Path) -> Shaped[np.ndarray, "*space"]:
    """Image values in the dtype of the file: rounded for integers, without overflow.

    Raises:
        ContentError: NaN or infinite values, or values outside the range of the dtype.
    """
    low, high = float(np.rint(values.min())), float(np.rint(values.max()))
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = ~np.isfinite(values)
        found = f"{int(bad.sum())} NaN or infinite values, the first at {first_true_index(bad)}"
        raise ContentError(path, found, "all must be finite")
    if stored.kind == "f":
        return values.astype(stored)
    limits = np.iinfo(stored)
    if low < limits.min or high > limits.max:
        found = f"values from {low:g} to {high:g}"
        raise ContentError(path, found, f"{stored} holds {limits.min} to {limits.max}", "clip or rescale them")
    rounded = np.empty_like(values, dtype=stored)
    for target, part in zip(np.moveaxis(rounded, -1, 0), np.moveaxis(values, -1, 0), strict=True):
        target[...] = np.rint(part)
    return rounded
