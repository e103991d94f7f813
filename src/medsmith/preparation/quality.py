"""Checks the voxel values of a case: refuses invalid images and labels, notes irregularities."""

import hashlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float32

from medsmith.cases.case import Case
from medsmith.cases.hounsfield import check_hounsfield, is_ct
from medsmith.errors import ContentError
from medsmith.measurement.noise_level import noise_levels

_FEW_VOXELS = 4
_MANY_COMPONENTS = 100
_ANISOTROPIC = 3.0
_FEW_SLICES = 3
_MOSTLY_NOISE = 0.5


def inspect(case: Case) -> tuple[str, ...]:
    """One line per accepted irregularity of a case.

    Raises:
        ContentError: a channel is constant, or a CT is not in Hounsfield units.
    """
    if case.image is None:
        return tuple(_label_notes(case))
    check_image(case)
    return (*_repeated_slices(case.image[0]), *_label_notes(case))


def check_image(case: Case) -> None:
    """Checks that channels vary and that CT is in Hounsfield units.

    Raises:
        ContentError: a channel is constant, or a CT is not in Hounsfield units.
    """
    for name, channel in zip(case.channel_names, case.require_image(), strict=True):
        if channel.min() == channel.max():
            found = f"no body found: every voxel of channel {name} is {channel.min():g}"
            raise ContentError(case.id, found, "an image varies", "leave the case out")
        if is_ct(name):
            check_hounsfield(channel, f"{case.id}, channel {name}")


def looks_like_noise(image: Float32[np.ndarray, "c x y z"]) -> bool:
    """Whether a channel is mostly white noise: its noise level is more than half of its standard deviation.

    White noise has 1; slices and volumes of CT, MR and ultrasound have .03 to .2.
    """
    return bool((noise_levels(image) > _MOSTLY_NOISE * image.std(axis=(1, 2, 3))).any())


def check_reported(case: Case) -> None:
    """Checks that a label map is not all background where the report lists lesions.

    Raises:
        ContentError: no voxel is labeled.
    """
    lesions = len((case.report or {}).get("lesions", ()))
    if lesions and case.labels is not None and not case.labels.any():
        found = f"the report lists {lesions} lesions, the label is all background"
        raise _empty(case.id, found)


def refuse_empty(case_id: str) -> None:
    """Refuses a case whose label map is all background.

    Raises:
        ContentError: always.
    """
    raise _empty(case_id, "all background")


def _empty(case_id: str, found: str) -> ContentError:
    limit = "a case has a labeled voxel where others have"
    return ContentError(case_id, found, limit, "draw it, or pass --leave-out empty or --keep empty")


def _repeated_slices(image: Float32[np.ndarray, "x y z"]) -> Iterable[str]:
    """Exact repeats among non-constant slices, for example a phase appended twice."""
    first: dict[bytes, int] = {}  # by hash: the slices of a long scan take as much memory as the scan
    repeats = []
    for z in range(image.shape[2]):
        plane = image[:, :, z]
        if plane.min() < plane.max():
            seen = first.setdefault(hashlib.sha256(plane.tobytes()).digest(), z)
            repeats += [(z, seen)] if seen != z else []
    if repeats:
        z, seen = repeats[0]
        what = "1 slice repeats an earlier one" if len(repeats) == 1 else f"{len(repeats)} slices repeat earlier ones"
        yield f"{what} (slice {z} is slice {seen})"


def _label_notes(case: Case) -> Iterable[str]:
    for name, value in case.label_names.items():
        if case.labels is not None and value:
            mask = case.labels == value
            if mask.any():
                yield from _mask_notes(name, mask, case.geometry.spacing)


def _mask_notes(name: str, mask: Bool[np.ndarray, "x y z"], spacing: tuple[float, float, float]) -> Iterable[str]:
    from scipy import ndimage

    voxels = int(mask.sum())
    if voxels < _FEW_VOXELS:
        yield f"label {name} has {voxels} voxel{'s' if voxels > 1 else ''}"
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    components = int(ndimage.label(mask[box])[1])
    if components >= _MANY_COMPONENTS:
        yield f"label {name} has {components} separate components"
    thick = int(np.argmax(spacing))
    slices = box[thick].stop - box[thick].start
    if mask.shape[thick] > 1 and spacing[thick] >= _ANISOTROPIC * min(spacing) and slices < _FEW_SLICES:
        yield f"label {name} spans {slices} slices of {spacing[thick]:g} mm"
