"""Label maps that images follow, for any method: on a network's grid, deformed, drawn until one is legal, recorded.

Axes: k labels above background, ``*space`` = x y or x y z.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float32, Shaped, UInt8
from torch import Tensor

from medsmith.cases.case import Case
from medsmith.data.deformation import DeformationConfig, draw_deformation
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.label_facts import LabelFacts
from medsmith.data.scaling import labels_to_model
from medsmith.diffusion import derive_seed
from medsmith.geometry import Geometry

Map = UInt8[np.ndarray, "*space"]
Extent = Float32[Tensor, "axes"]
"""Logarithm of a field of view along each axis over the median one of the training cohort."""


@final
@dataclass(frozen=True, eq=False)
class DrawnMap:
    """A label map that was drawn.

    Attributes:
        labels: indices of classes on the network's grid.
        extent: its field of view (``extent_of``); None for one from noise.
        origin: where it is from, for the provenance.
        grid: where a given map lies in the patient.
        draws: how many were drawn.
        problems: what is not as in training; empty for a legal map.
    """

    labels: Map
    extent: Extent | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    grid: Geometry | None = None
    draws: int = 1
    problems: tuple[str, ...] = ()


def indices_of(case: Case, facts: Fingerprint, size: tuple[int, ...]) -> UInt8[Tensor, "*space"]:
    """A case's labels on a grid, 0 for background and 1, 2, ... for the labels in the order of their values.

    Args:
        case: with labels of the cohort's values.
        facts: of the training cohort.
        size: the grid.
    """
    return indices_of_masks(labels_to_model(case.require_labels(), facts, size))


def indices_of_masks(masks: Shaped[Tensor, "k *space"]) -> UInt8[Tensor, "*space"]:
    """The index of the class of each voxel; no two masks are positive in one voxel.

    Args:
        masks: positive inside.
    """
    values = torch.arange(1, len(masks) + 1, dtype=torch.uint8).reshape(-1, *[1] * (masks.ndim - 1))
    return ((masks > 0) * values).amax(0)


def masks_of_indices(labels: Map, count: int) -> Float32[Tensor, "k *space"]:
    """One channel per label above background, 1 inside and -1 outside.

    Args:
        labels: indices of classes.
        count: of the labels above background.
    """
    indices = torch.from_numpy(labels)
    return torch.stack([(indices == index).float() * 2 - 1 for index in range(1, count + 1)])


def extent_of(case: Case, facts: Fingerprint) -> Extent:
    """Logarithm of the field of view along each axis over the cohort's median one; 0 where spacings are unknown."""
    if not (case.geometry.spacing_known and facts.spacing_known):
        return torch.zeros(facts.dimensions)
    theirs, ours = (
        torch.tensor(shape, dtype=torch.float64) * torch.tensor(spacing, dtype=torch.float64)
        for shape, spacing in ((case.geometry.shape, case.geometry.spacing), (facts.shape, facts.spacing))
    )
    return (theirs / ours).log()[: facts.dimensions].float()


def with_extent(facts: Fingerprint, extent: Extent) -> Fingerprint:
    """The fingerprint with another field of view on the same grid."""
    factors = [*extent.exp().tolist(), *[1.0] * (3 - len(extent))]
    x, y, z = (mm * factor for mm, factor in zip(facts.spacing, factors, strict=True))
    return facts.model_copy(update={"spacing": (x, y, z)})


def over(grid: Geometry, field: Geometry) -> Geometry:
    """A grid over the field of view of another, at its place in the patient.

    Args:
        grid: gives the number of voxels.
        field: gives field of view and place.
    """
    ratio = np.array(field.shape) / np.array(grid.shape)
    affine = field.affine.copy()
    # Voxel i of the grid has its center at index (i + 1/2) ratio - 1/2 of the other one.
    affine[:3, 3] += affine[:3, :3] @ ((ratio - 1) / 2)
    affine[:3, :3] *= ratio
    return replace(grid, affine=affine)


def over_given(case: Case, drawn: DrawnMap) -> Case:
    """A case with a map's image over the field of view of the case that gave the map, where one with a spacing did."""
    if drawn.grid is None or not drawn.grid.spacing_known:
        return case
    return replace(case, geometry=over(case.geometry, drawn.grid))


def deform_map(drawn: DrawnMap, facts: Fingerprint, config: DeformationConfig, seed: int) -> DrawnMap:
    """A map under a random deformation, which its origin records.

    Args:
        drawn: the map.
        facts: of the training cohort.
        config: how far.
        seed: of the deformation.
    """
    there = facts if drawn.extent is None else with_extent(facts, drawn.extent)
    shape = drawn.labels.shape
    voxel = [mm * n / edge for mm, n, edge in zip(there.spacing, there.shape, shape, strict=False)]
    deformation = draw_deformation(shape, config, seed, voxel)
    origin = {**drawn.origin, "deformation": deformation.record}
    return replace(drawn, labels=deformation(drawn.labels), origin=origin)


def draw_legal(
    draw: Callable[[int], DrawnMap],
    facts: LabelFacts | None,
    seed: int,
    draws: int,
    compared: Callable[[DrawnMap], DrawnMap] | None = None,
) -> DrawnMap:
    """The first map, without fragments, that is legal; if none is, the last with its problems.

    Args:
        draw: makes a map from a seed.
        facts: of the training maps; None takes the first map.
        seed: of all draws.
        draws: their largest number, at least 1.
        compared: adds further problems to a map.
    """
    for number in range(1, draws + 1):
        found = draw(derive_seed(seed, "draw", number))
        if facts is None:
            break
        labels = facts.without_fragments(found.labels)
        found = replace(found, labels=labels, draws=number, problems=facts.problems(labels))
        if compared is not None:
            found = compared(found)
        if not found.problems:
            break
    return found


def readable(problems: Sequence[str], facts: Fingerprint) -> list[str]:
    """Problems with names of labels in place of the numbers of classes.

    Args:
        problems: of ``LabelFacts.problems``.
        facts: of the training cohort.
    """
    names = ("background", *(_name(facts, value) for value in facts.foreground_labels))
    return [
        " ".join(names[int(word)] if word.isdecimal() else word for word in problem.split()) for problem in problems
    ]


def _name(facts: Fingerprint, value: int) -> str:
    return next(name for name, number in facts.label_names.items() if number == value)
