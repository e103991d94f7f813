"""Agreement of a predicted and a true label map: overlap, surfaces, lesions and false alarms, case by case.

Conventions. All measures of a structure are over the test cases whose reference has it, so that every arm is measured
on the same cases. A prediction that misses it wholly scores 0 in overlap and surface Dice, also in precision, and the
diagonal of the image in HD95, the largest distance that it allows. Where the reference lacks a structure, only a false
alarm counts: whether anything of it is predicted.
"""

import sys
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from medsmith.evaluation.downstream.lesions import SIZE_CLASSES, lesion_counts

MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "dice": "Dice",
        "iou": "IoU",
        "precision": "precision",
        "recall": "recall",
        "nsd": "NSD",
        "hd95": "HD95",
    }
)
"""Key in files -> name in reports."""
UNBOUNDED = ("hd95",)
"""Measures that are no share; the others lie between 0 and 1."""
FALSE_ALARMS, LESIONS = "false_alarms", "lesions"
_ROUNDING, _MANY = 1e-6, 2**31
_PERCENTILE = 95.0
Mask = Bool[np.ndarray, "*space"]
Spacing = tuple[float, ...]


def overlap_measures(predicted: Mask, truth: Mask) -> dict[str, float]:
    """Dice, IoU, precision and recall of a structure.

    Args:
        predicted: its predicted voxels; where there are none all four are 0.
        truth: its true voxels, at least one.
    """
    both, asked, found = (int(mask.sum()) for mask in (predicted & truth, truth, predicted))
    return {
        "dice": 2 * both / (asked + found),
        "iou": both / (asked + found - both),
        "precision": both / max(found, 1),
        "recall": both / asked,
    }


def surface_measures(predicted: Mask, truth: Mask, spacing: Spacing, tolerance: float) -> dict[str, float]:
    """Normalized surface Dice at a tolerance (Nikolov et al. 2018) and the 95th percentile of the Hausdorff distance.

    Surfaces are the voxels that an erosion removes, as in MONAI, which computes both.

    Args:
        predicted: as for ``overlap_measures``.
        truth: the same.
        spacing: voxel edges along each axis.
        tolerance: in the unit of the spacing.
    """
    if not predicted.any():
        return {"nsd": 0.0, "hd95": float(np.linalg.norm(np.array(truth.shape) * spacing))}
    one, other = (torch.from_numpy(mask[None, None]) for mask in (predicted, truth))
    edges = list(spacing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 warns of an argument that it passes itself
        nsd = compute_surface_dice(one, other, [tolerance], include_background=True, spacing=edges)
        distance = compute_hausdorff_distance(
            one, other, include_background=True, percentile=_PERCENTILE, spacing=edges
        )
    return {"nsd": float(nsd), "hd95": float(distance)}


def measured_case(
    predicted: UInt8[np.ndarray, "*space"],
    truth: UInt8[np.ndarray, "*space"],
    classes: int,
    grid: tuple[Spacing, float],
    limits: tuple[float, ...],
) -> dict[str, list[Any]]:
    """All measures of a case, a value per structure, None where the convention of this module has none.

    Args:
        predicted: class indices.
        truth: the same on the same grid.
        classes: number of classes with the background.
        grid: voxel edges along each axis, and the tolerance of the surface Dice in the same unit.
        limits: of the size classes of lesions, in the same unit.
    """
    found: dict[str, list[Any]] = {name: [] for name in (*MEASURES, FALSE_ALARMS, LESIONS)}
    for value in range(1, classes):
        ours, theirs = predicted == value, truth == value
        values: dict[str, Any] = dict.fromkeys(MEASURES)
        if theirs.any():
            values = {**overlap_measures(ours, theirs), **surface_measures(ours, theirs, *grid)}
        values[FALSE_ALARMS] = None if theirs.any() else int(ours.any())
        values[LESIONS] = lesion_counts(ours, theirs, grid[0], limits).tolist()
        for name, each in values.items():
            found[name].append(each)
    return found


def is_measured(values: object, structures: int) -> bool:
    """Whether values are what ``measured_case`` finds for so many structures, each in its range.

    Args:
        values: read from a file.
        structures: number of classes above background.
    """
    names = (*MEASURES, FALSE_ALARMS, LESIONS)
    if not isinstance(values, dict) or {*values} != {*names}:
        return False
    if not all(isinstance(each, list) and len(each) == structures for each in values.values()):
        return False
    rows = zip(*(values[name] for name in names), strict=True)
    return all(_are_counts(lesions) and _is_row(found, alarm) for *found, alarm, lesions in rows)


def _is_row(found: Sequence[object], false_alarm: object) -> bool:
    """Whether these are the measures of a structure that the reference has, or of one that it lacks."""
    if false_alarm is not None:
        return type(false_alarm) is int and false_alarm in (0, 1) and all(value is None for value in found)
    most = (sys.float_info.max if name in UNBOUNDED else 1 + _ROUNDING for name in MEASURES)
    return all(type(value) in (int, float) and 0 <= value <= m for value, m in zip(found, most, strict=True))  # type: ignore[operator]


def _are_counts(lesions: object) -> bool:
    """Whether these are numbers of lesions found, invented and missed in each size class."""
    if not isinstance(lesions, list) or not all(isinstance(each, list) and len(each) == 3 for each in lesions):
        return False
    return len(lesions) == SIZE_CLASSES and all(type(n) is int and 0 <= n < _MANY for each in lesions for n in each)
