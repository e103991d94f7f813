"""Checks that the single-frame images of a series form one volume, and says what does not fit.

highdicom refuses such series as well, but not with the place; its own checks act after these (``stacking``).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from medsmith.errors import FileError, GeometryError, counted

SPACING_TOLERANCE = 0.01
"""Largest deviation of a step between slices from the median step, relative (highdicom's own)."""
ORIENTATION_TOLERANCE = 1e-4
"""Largest deviation of the cosine between the axes of two slices from 1."""
_TILT = 1e-3
_NEEDED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
_NUMBERS = {
    "ImagePositionPatient": (3, -np.inf),
    "ImageOrientationPatient": (6, -np.inf),
    "PixelSpacing": (2, 0.0),
    "RescaleSlope": (1, -np.inf),
    "RescaleIntercept": (1, -np.inf),
}
"""Attribute -> how many numbers it has (PS3.3 C.7.6.2 and C.11.1), and what they are above."""
_EXPORT = "export the series again"
_RESCALING = ("RescaleSlope", "RescaleIntercept")


def check_placed(slices: Sequence[Any], places: Sequence[str]) -> None:
    """Checks that each slice of a series says where it lies in the patient, and its rescaling, if any, in numbers.

    Args:
        slices: pydicom datasets, one per file.
        places: names of the files in errors.

    Raises:
        FileError: a slice lacks what places it in the patient, or holds something else than finite numbers there.
    """
    for one, place in zip(slices, places, strict=True):
        missing = [name for name in _NEEDED if one.get(name) in (None, "")]
        if missing:
            raise FileError(place, f"lacks {', '.join(missing)}", "each slice is placed in the patient", _EXPORT)
        for name, (count, least) in _NUMBERS.items():
            if one.get(name) not in (None, "") and not _holds_numbers(one[name].value, count, least):
                limit = f"{counted(count, 'number')}{' above 0' if least == 0 else ''}"
                raise FileError(place, f"{name} holds something else", limit, _EXPORT)


def _holds_numbers(value: Any, count: int, least: float) -> bool:
    """Whether a value is so many finite numbers above the least."""
    try:
        numbers = np.array(value, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return False
    return len(numbers) == count and bool(np.isfinite(numbers).all() and (numbers > least).all())


def check_slices(slices: Sequence[Any], subject: str) -> None:
    """Checks rescaling, positions, orientations, sizes and steps of the slices of a volume, each of which is placed.

    Args:
        slices: pydicom datasets, one per file, in any order.
        subject: names the series in errors.

    Raises:
        FileError: slope or intercept of some slices is missing.
        GeometryError: slices differ in size, direction or frame of reference, overlap, or leave gaps.
    """
    check_rescaled(slices, subject)
    check_alike(slices, subject)
    if len({str(one.get("FrameOfReferenceUID") or "") for one in slices}) > 1:
        found = "the slices have different frames of reference"
        raise GeometryError(subject, found, "a volume lies in one", "export one volume as a series of its own")
    axes = np.array([one.ImageOrientationPatient for one in slices], dtype=np.float64).reshape(-1, 2, 3)
    turned = int(((axes * axes[0]).sum(axis=2).min(axis=1) < 1 - ORIENTATION_TOLERANCE).sum())
    if turned:
        found = f"{turned} of {len(slices)} slices are turned against the first"
        raise GeometryError(subject, found, "a volume has one direction", "leave out scouts and other planes")
    normal = np.cross(axes[0, 0], axes[0, 1])
    _check_steps(np.array([one.ImagePositionPatient for one in slices], dtype=np.float64), normal, subject)


def check_rescaled(slices: Sequence[Any], subject: str) -> None:
    """Checks that all slices of a volume, or a single image, state slope and intercept, or none does.

    Where one of the two is missing, the values would be those that are stored.

    Raises:
        FileError: slope or intercept of some is missing.
    """
    plain = [one for one in slices if "ModalityLUTSequence" not in one]
    lacking = {name: sum(one.get(name) in (None, "") for one in plain) for name in _RESCALING}
    if all(count == len(plain) for count in lacking.values()):
        return
    for name, count in lacking.items():
        if count:
            found = f"{count} of {len(slices)} slices lack {name}" if len(slices) > 1 else f"lacks {name}"
            raise FileError(subject, found, "slope and intercept in all slices, or in none", _EXPORT)


def check_alike(slices: Sequence[Any], subject: str) -> None:
    """Checks that slices have one size and one pixel spacing.

    Args:
        slices: pydicom datasets, one per file.
        subject: names the series in errors.

    Raises:
        GeometryError: they differ.
    """
    for name, what in (("Rows", "rows"), ("Columns", "columns"), ("PixelSpacing", "pixel spacings")):
        values = sorted(
            {" x ".join(f"{size:.6g}" for size in np.atleast_1d(one.get(name)).astype(float)) for one in slices}
        )
        if len(values) > 1:
            found = f"slices of {len(values)} different {what}: {', '.join(values[:3])}"
            raise GeometryError(subject, found, "the slices of a volume are alike", "leave the others out")


def _check_steps(positions: Float64[np.ndarray, "n 3"], normal: Float64[np.ndarray, "3"], subject: str) -> None:
    order = np.argsort(positions @ normal, kind="stable")
    vectors = np.diff(positions[order], axis=0)
    if not len(vectors):
        return
    steps = vectors @ normal
    step = float(np.median(steps))
    doubled = int((steps < SPACING_TOLERANCE * max(step, float(steps.max()))).sum())
    if doubled:
        found = f"{doubled} of {len(positions)} slices lie where another lies"
        cure = "is this several volumes, as phases or b-values? keep the files of one"
        raise GeometryError(subject, found, "one slice per position", cure)
    uneven = np.flatnonzero(np.abs(steps - step) > SPACING_TOLERANCE * step)
    if len(uneven):
        at = int(uneven[0])
        found = f"slices {at} and {at + 1} by position lie {steps[at]:.4g} mm apart, most others {step:.4g} mm"
        more = f" ({len(uneven)} such steps)" if len(uneven) > 1 else ""
        limit = f"steps equal to {SPACING_TOLERANCE:.0%}"
        raise GeometryError(subject, found + more, limit, "add the missing slices, or reconstruct evenly")
    along = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) @ normal
    if along.min() < 1 - _TILT:
        degrees = float(np.degrees(np.arccos(np.clip(along.min(), -1, 1))))
        found = f"the slices are stacked {degrees:.3g} degrees off their normal (a tilted gantry?)"
        raise GeometryError(subject, found, "at right angles", "correct the tilt, for example with dcm2niix")
