"""A lesion in the image of the case that it is taken from.

Axes: c channels, ``*own`` = x y or x y z of the case. Fractions run from 0 to 1 over the field of view.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from scipy import ndimage
from torch import Tensor

from medsmith.anatomy.context import BODY, LUNG, find_context
from medsmith.cases.case import Case
from medsmith.cases.case_ref import candidate_ids, open_cohort
from medsmith.cases.label_names import foreground_names
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model
from medsmith.errors import RequestError, similar
from medsmith.methods.guides import load_lesion_case
from medsmith.methods.mddpm.matching import GrayTarget, gray_levels, match_gray
from medsmith.methods.mddpm.request import Pathology

Fractions = Float64[np.ndarray, " d"]
_LEAST_VOXELS = 2.0
"""Of the network's grid: a smaller lesion may cover half of no voxel."""


@final
@dataclass(frozen=True, eq=False)
class Source:
    """A lesion in its own image.

    Attributes:
        case: id of the case that it is from.
        image: in model space, gray values matched.
        mask: of the lesion, on the same grid.
        label: name of the lesion's label.
        center: of the lesion, as fractions of the field of view.
        extent: the field of view along each axis, in mm, or in units of its longest axis.
        in_mm: whether it is in mm: case and training cohort have a spacing, or neither has.
        organ: context class, lung or body, that holds most of it; None where that cannot be told.
    """

    case: str
    image: Float32[Tensor, "c *own"]
    mask: Float32[Tensor, "*own"]
    label: str
    center: Fractions
    extent: Fractions
    in_mm: bool
    organ: str | None


def load_source(
    pathology: Pathology,
    facts: Fingerprint,
    target: GrayTarget,
    index: int,
    key: str,
    size: tuple[int, ...] | None = None,
) -> Source:
    """The lesion of a request in its own image.

    Args:
        pathology: what is asked for.
        facts: of the training cohort.
        target: what its gray values are matched to where they are not kept.
        index: chooses the case where the request names a cohort alone.
        key: of the pathology in the request, for messages.
        size: grid of the network; where the request names a cohort alone, lesions smaller than two of its voxels are
            passed over. None takes every lesion.

    Raises:
        RequestError: the case does not fit, or has no such label.
        MedsmithError: it cannot be read.
    """
    label = lesion_label(pathology, open_cohort(pathology.case).label_names, key)
    case = _case_with(pathology, label, index, facts, key, size)
    inside = _largest_part(case, label)
    size = case.geometry.shape[: facts.dimensions]
    image = image_to_model(case, facts, size)
    context = find_context(case.require_image()[0, ..., 0]) if facts.dimensions == 2 else {}
    if pathology.gray == "match" or (pathology.gray == "auto" and not facts.is_hounsfield):
        image = match_gray(image, gray_levels(image, context), target)
    center = (np.argwhere(inside).mean(0) + 0.5) / np.array(size)
    known = case.geometry.spacing_known
    extent = field_of_view(case.geometry.shape, case.geometry.spacing, facts.dimensions, in_mm=known)
    organ = holding_class(context, inside) if facts.dimensions == 2 else None
    return Source(case.id, image, torch.from_numpy(inside.astype(np.float32)), label, center, extent, known, organ)


def holding_class(context: Mapping[str, Bool[np.ndarray, "x y"]], lesion: Bool[np.ndarray, "x y"]) -> str | None:
    """The context class that holds most of a lesion: lung or body, found by thresholds in its own image.

    Thresholds take a solid lesion of the lung for body; so its surroundings decide, a ring of its own radius.

    Args:
        context: name -> mask of the context classes of a slice.
        lesion: its mask.

    Returns:
        The class; None where the image shows no body, or the lesion lies outside.
    """
    width = max(2.0, np.sqrt(lesion.sum() / np.pi))
    ring = (ndimage.distance_transform_edt(~lesion) <= width) & ~lesion
    lung, body = (context.get(name, np.zeros_like(lesion)) for name in (LUNG, BODY))
    in_lung, in_body = int((ring & lung).sum()), int((ring & body & ~lung).sum())
    if max(in_lung, in_body) * 2 <= ring.sum() - in_lung - in_body:
        return None
    return LUNG if in_lung > in_body else BODY


def field_of_view(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], dimensions: int, *, in_mm: bool
) -> Fractions:
    """The field of view along each axis, in mm, or in units of the longest axis where no spacing is known.

    Args:
        shape: voxels along x, y, z.
        spacing: voxel edges in mm.
        dimensions: axes that count, 2 or 3.
        in_mm: the unit.
    """
    edges = np.array(shape[:dimensions], float) * (np.array(spacing[:dimensions]) if in_mm else 1.0)
    return edges if in_mm else edges / edges.max()


def lesion_label(pathology: Pathology, label_names: Mapping[str, int], key: str) -> str:
    """The name of the lesion's label in its case.

    Args:
        pathology: what is asked for.
        label_names: of the case.
        key: of the pathology in the request, for messages.

    Raises:
        RequestError: there is no such case, no such label, or several labels and none is named.
    """
    candidate_ids(pathology.case)  # a case that does not exist comes before a label that is not named
    names = foreground_names(label_names)
    label = pathology.label or (names[0] if len(names) == 1 else None)
    if label is None or label not in names:
        found = "no label named" if label is None else f"{pathology.case.cohort} has no label '{label}'"
        cure = similar(label or "", names, "name one of these (--lesion-label)")
        raise RequestError(f"{key}.label", found, f"it has {', '.join(names) or 'none'}", cure)
    return label


def _case_with(
    pathology: Pathology, label: str, index: int, facts: Fingerprint, key: str, size: tuple[int, ...] | None
) -> Case:
    """The case of a request; where it names a cohort alone, the first from an index on with a lesion that shows."""
    ref = pathology.case
    count = len(candidate_ids(ref, "image", "labels"))
    for offset in range(count):
        case = load_lesion_case(ref, index + offset, facts, f"{key}.case")
        there = bool((case.require_labels() == case.label_names[label]).any())
        if there and (ref.case or size is None or _voxels(case, label, pathology.scale, facts, size) >= _LEAST_VOXELS):
            return case
    if ref.case is not None:
        raise RequestError(f"{key}.case", f"case '{ref.case}' has no voxel of '{label}'", "one is needed")
    raise RequestError(f"{key}.case", f"{ref.cohort} has no case with enough voxels of '{label}'", "one is needed")


def _voxels(case: Case, label: str, scale: float, facts: Fingerprint, size: tuple[int, ...]) -> float:
    """How many voxels of the network's grid the largest part of a lesion covers."""
    grid, count = case.geometry, facts.dimensions
    known = grid.spacing_known
    own = field_of_view(grid.shape, grid.spacing, count, in_mm=known) / np.array(grid.shape[:count])
    ours = field_of_view(facts.shape, facts.spacing, count, in_mm=known) / np.array(size)
    return float(_largest_part(case, label).sum() * np.prod(own / ours) * scale**count)


def _largest_part(case: Case, label: str) -> Bool[np.ndarray, "*own"]:
    inside = case.require_labels() == case.label_names[label]
    parts, _ = ndimage.label(inside, structure=np.ones((3, 3, 3)))
    largest: Bool[np.ndarray, "*own"] = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return largest[..., 0] if case.geometry.dimensions == 2 else largest
