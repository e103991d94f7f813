"""The regions of a real slice: its labels, and context classes below them."""

from collections.abc import Collection, Mapping

import numpy as np
from jaxtyping import Bool, UInt8

from medsmith.anatomy.context import CONTEXT, find_context
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import ContentError, GeometryError, RequestError, similar

Mask = Bool[np.ndarray, "x y"]
_LOOKED_AT = 24
_MOST_VALUE = 255


def require_slice(case: Case) -> None:
    """Checks that a case is a single slice.

    Raises:
        GeometryError: it is a volume.
    """
    if case.geometry.dimensions != 2:
        shape = " x ".join(map(str, case.geometry.shape))
        limit, cure = "shape spaces are made of single slices", "give slices, as medsmith phantom chest makes them"
        raise GeometryError(f"case {case.id}", f"a volume of {shape}", limit, cure)


def class_masks(case: Case, label_names: Mapping[str, int], context_names: Mapping[str, int]) -> dict[int, Mask]:
    """Value -> pixels of every class that a slice has; context classes lie where no label is.

    Labels are matched by name. Context classes that the case declares as labels, as drawn cases do, are its labels.

    Raises:
        GeometryError: the case is a volume.
        ContentError: context is asked for and the case has no image, or it has a label that is no class.
    """
    require_slice(case)
    names = {**label_names, **context_names}
    labels = np.zeros(case.geometry.shape[:2], np.uint8) if case.labels is None else case.labels[:, :, 0]
    there = {name: labels == value for name, value in case.label_names.items() if value and (labels == value).any()}
    unknown = next((name for name in there if name not in names), None)
    if unknown is not None:
        cure = similar(unknown, names, "rename the label")
        raise ContentError(f"case {case.id}", f"label '{unknown}'", f"there are {', '.join(names)}", cure)
    masks = {names[name]: mask for name, mask in there.items()}
    wanted = [name for name in context_names if name not in case.label_names]
    found = find_context(case.require_image()[0, :, :, 0]) if wanted else {}
    below = {context_names[name]: found[name] & (labels == 0) for name in wanted if name in found}
    return masks | {value: mask for value, mask in below.items() if mask.any()}


def stack_masks(masks: Mapping[int, Mask], context: Collection[int], size: tuple[int, int]) -> UInt8[np.ndarray, "x y"]:
    """A map of regions from masks of classes: context in the order of its values, labels above it."""
    regions = np.zeros(size, dtype=np.uint8)
    for value in sorted(masks, key=lambda value: (value not in context, value)):
        regions[masks[value]] = value
    return regions


def regions_of(
    case: Case, label_names: Mapping[str, int], context_names: Mapping[str, int]
) -> UInt8[np.ndarray, "x y"]:
    """Labels, and context classes in their order below them.

    Raises:
        GeometryError: the case is a volume.
        ContentError: context is asked for and the case has no image, or it has a label that is no class.
    """
    masks = class_masks(case, label_names, context_names)
    return stack_masks(masks, context_names.values(), case.geometry.shape[:2])


def choose_context(cohort: Cohort, ids: tuple[str, ...], context: str) -> dict[str, int]:
    """Context class -> value, above the values of the labels.

    Args:
        cohort: of the training cases.
        ids: of the training cases.
        context: "auto" for body and lung, each if at least half of the slices have it (of 24 that are looked at, evenly
            chosen); "none"; or names, separated by commas.

    Raises:
        RequestError: an unknown name, a name that the cohort's labels have, or context without images.
    """
    names = _named(cohort, ids, context) if context != "auto" else _found(cohort, ids)
    first = max(cohort.label_names.values(), default=0) + 1
    if first + len(names) - 1 > _MOST_VALUE:
        raise ContentError(cohort.root, f"labels up to {first - 1}", "context needs values up to 255", "--context none")
    return {name: first + index for index, name in enumerate(names)}


def _named(cohort: Cohort, ids: tuple[str, ...], context: str) -> list[str]:
    asked = [] if context == "none" else [name.strip() for name in context.split(",")]
    unknown = next((name for name in asked if name not in CONTEXT), None)
    if unknown is not None:
        cure = similar(unknown, ("auto", "none", *CONTEXT), "choose of these")
        raise RequestError("--context", f"'{unknown}'", f"auto, none, or of {', '.join(CONTEXT)}", cure)
    taken = next((name for name in asked if name in cohort.label_names), None)
    if taken is not None:
        raise RequestError("--context", f"'{taken}' is a label of the cohort", cure="leave it out of --context")
    if asked and not set(ids) <= set(cohort.ids_with_image):
        raise RequestError(cohort.root, "has cases without an image", "context is found in images", "--context none")
    return [name for name in CONTEXT if name in asked]


def _found(cohort: Cohort, ids: tuple[str, ...]) -> list[str]:
    if not set(ids) <= set(cohort.ids_with_image):
        return []
    chosen = [ids[index] for index in np.unique(np.linspace(0, len(ids) - 1, _LOOKED_AT).astype(int))]
    found: list[str] = []
    for case_id in chosen:
        case = cohort[case_id]
        require_slice(case)
        found += find_context(case.require_image()[0, :, :, 0])
    candidates = [name for name in CONTEXT[:2] if name not in cohort.label_names]
    return [name for name in candidates if 2 * found.count(name) >= len(chosen)]
