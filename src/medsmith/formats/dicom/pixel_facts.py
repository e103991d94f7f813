"""Facts about voxels that DICOM states: padding, number type, loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from medsmith.formats.dicom.decoding import is_lossy
from medsmith.formats.dicom.marks import is_marked_synthetic

_WHOLE = ("i2", "u2")


def stored_type(data: Sequence[Any], values: Float32[np.ndarray, "x y z"]) -> np.dtype[Any]:
    """The number type that keeps the values: 16 bits where slope and intercept are whole numbers, else float32."""
    if all(float(number).is_integer() for one in data for number in _rescaling(one)):
        low, high = float(values.min()), float(values.max())
        for name in _WHOLE:
            limits = np.iinfo(name)
            if limits.min <= low and high <= limits.max:
                return np.dtype(name)
    return np.dtype(np.float32)


def _groups(data: Any) -> list[Any]:
    """The dataset, and its functional groups where it has several frames."""
    return [
        data,
        *(data.get("SharedFunctionalGroupsSequence") or ()),
        *(data.get("PerFrameFunctionalGroupsSequence") or ()),
    ]


def _rescaling(data: Any) -> list[float]:
    """Every slope and intercept of an image; a lookup table counts as one that is no whole number."""
    holders = [
        item for group in _groups(data) for item in (group, *(group.get("PixelValueTransformationSequence") or ()))
    ]
    if "ModalityLUTSequence" in data:
        return [0.5]
    return [
        float(one[name].value)
        for one in holders
        for name in ("RescaleSlope", "RescaleIntercept")
        if one.get(name) not in (None, "")
    ]


def pixel_notes(data: Sequence[Any], padded: int, voxels: int) -> tuple[str, ...]:
    """One line each on padding, inverted display, lossy compression, burned-in annotation, synthetic origin.

    Args:
        data: pydicom datasets, with or without voxels.
        padded: voxels of padding in all of them, which keep its value.
        voxels: in all of them.
    """
    notes = []
    if padded:
        ends = [(one, pair) for one in data if (pair := _padding(one)) is not None]
        shown = sorted({" to ".join(f"{_rescaled(one, end):g}" for end in dict.fromkeys(pair)) for one, pair in ends})
        notes.append(f"padding of the value {' or '.join(shown[:2])} is in {padded} of {voxels} voxels")
    if any(one.get("PhotometricInterpretation") == "MONOCHROME1" for one in data):
        notes.append("low values are displayed white (MONOCHROME1); they are kept as stored")
    return (*notes, *mark_notes(data))


def mark_notes(data: Sequence[Any]) -> tuple[str, ...]:
    """One line each on lossy compression, burned-in annotation and marks of synthetic images."""
    notes = []
    lossy = [is_lossy(one) for one in data]
    if any(lossy):
        notes.append(f"{lossy.count(True)} of {len(data)} images went through lossy compression")
    if None in lossy:
        notes.append(f"{lossy.count(None)} of {len(data)} images do not say whether their compression lost anything")
    if any(one.get("BurnedInAnnotation") == "YES" for one in data):
        notes.append("the images carry burned-in annotation, which may identify the patient")
    synthetic = sum(map(is_marked_synthetic, data))
    if synthetic:
        notes.append(f"{synthetic} of {len(data)} images are marked as synthetic, and so is the case")
    return tuple(notes)


def count_padding(data: Any) -> int:
    """Voxels of padding in an image, a pydicom dataset whose voxels are decoded."""
    ends = _padding(data)
    return 0 if ends is None else int(((data.pixel_array >= ends[0]) & (data.pixel_array <= ends[1])).sum())


def _padding(data: Any) -> tuple[int, int] | None:
    value, limit = data.get("PixelPaddingValue"), data.get("PixelPaddingRangeLimit")
    if value in (None, ""):
        return None
    ends = [_signed(data, value), _signed(data, value if limit in (None, "") else limit)]
    return min(ends), max(ends)


def _rescaled(data: Any, value: int) -> float:
    return value * float(data.get("RescaleSlope") or 1) + float(data.get("RescaleIntercept") or 0)


def _signed(data: Any, value: Any) -> int:
    """The value as the voxels have it: some writers store a negative one as unsigned, or the other way round."""
    number, span = int(value), 2 ** int(data.BitsAllocated)
    signed = int(data.PixelRepresentation) == 1
    return number - span if signed and number >= span // 2 else number + span if number < 0 and not signed else number
