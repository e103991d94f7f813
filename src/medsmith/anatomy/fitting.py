"""Fits a shape space to a cohort of slices."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from medsmith import __version__
from medsmith.anatomy.contours import Contour, trace_classes
from medsmith.anatomy.drawing import measure_rejection
from medsmith.anatomy.legality import JUDGED, learn_relations
from medsmith.anatomy.pca import Components, fit_components
from medsmith.anatomy.record import PatternRecord, SlotRecord, SpaceArrays, SpaceRecord
from medsmith.anatomy.regions import choose_context, class_masks, stack_masks
from medsmith.anatomy.slots import LEAST_SLICES, Matched, aligned_starts, match_contours
from medsmith.anatomy.splines import LEAST_POINTS, MOST_POINTS, control_points, curve_points
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, RequestError, counted
from medsmith.progress import Progress

Presence = Bool[np.ndarray, "slices slots"]
Control = Float64[np.ndarray, "slices slots points 2"]


@final
@dataclass(eq=False)
class _Slices:
    """What is collected of the training slices."""

    contours: list[tuple[Contour, ...]] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    extents: list[tuple[float, float] | None] = field(default_factory=list)
    gray: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    fragments: int = 0


def fit_space(
    cohort: Cohort, points: int, variance: float, context: str, progress: Progress
) -> tuple[SpaceRecord, SpaceArrays]:
    """Fits a shape space; see ``ShapeSpace.fit``."""
    ids = _training_ids(cohort, points, variance)
    context_names = choose_context(cohort, ids, context)
    slices = _trace(cohort, ids, context_names, points, progress)
    matched = match_contours(slices.contours)
    if not matched.slots:
        found = f"no class has a contour in {LEAST_SLICES} of {len(ids)} slices"
        raise CohortError(cohort.root, found, "shapes are learned from several", "add cases, or label more of them")
    present = matched.presence(len(ids))
    control = _control_points(matched, len(ids), points)
    arrays, components = _learn(control, present, matched, variance, context_names.values())
    patterns = _pattern_records(present)
    record = SpaceRecord(
        medsmith=__version__,
        cohort=cohort.subset(ids).content_hash(),
        cases=len(ids),
        channel_names=cohort.channel_names if slices.gray else (),
        label_names=dict(cohort.label_names) or {"background": 0},
        context_names=context_names,
        points=points,
        variance=variance,
        explained=tuple(float(min(share, 1.0)) for share in components.shares),
        size=_median_size(slices.sizes),
        extent_mm=_median_extent(slices.extents),
        slots=_slot_records(matched),
        patterns=patterns,
        gray_values={name: tuple(np.mean(rows, axis=0).tolist()) for name, rows in sorted(slices.gray.items())},
        fragments=slices.fragments,
        left_out=matched.left_out,
        rejection=measure_rejection(patterns, arrays),
    )
    return record, arrays


def _training_ids(cohort: Cohort, points: int, variance: float) -> tuple[str, ...]:
    """Labeled cases, or all images of a cohort without labels."""
    if not LEAST_POINTS <= points <= MOST_POINTS:
        raise RequestError("--points", f"{points}", f"{LEAST_POINTS} to {MOST_POINTS}", "choose another number")
    if not 0 < variance <= 1:
        raise RequestError("--variance", f"{variance:g}", "a share above 0, at most 1", "choose another")
    ids = cohort.ids_with_labels or cohort.ids_with_image
    if len(ids) < LEAST_SLICES:
        found = f"{counted(len(ids), 'case')} to learn from"
        raise CohortError(cohort.root, found, f"at least {LEAST_SLICES} slices", "add cases")
    return ids


def _trace(
    cohort: Cohort, ids: Sequence[str], context_names: Mapping[str, int], points: int, progress: Progress
) -> _Slices:
    collected = _Slices()
    with progress.task("trace contours", len(ids)) as advance:
        for case_id in ids:
            case = cohort[case_id]
            grid = case.geometry
            spacing = grid.spacing[0], grid.spacing[1]
            masks = class_masks(case, cohort.label_names, context_names)
            traced = trace_classes(masks, points, spacing)
            collected.contours.append(traced.contours)
            collected.fragments += traced.fragments
            collected.sizes.append(grid.shape[:2])
            extent = grid.shape[0] * spacing[0], grid.shape[1] * spacing[1]
            collected.extents.append(extent if grid.spacing_known else None)
            if case.image is not None:
                regions = stack_masks(masks, context_names.values(), grid.shape[:2])
                _add_gray(collected.gray, case.image[:, :, :, 0], regions, {**cohort.label_names, **context_names})
            advance(1, case_id)
    return collected


def _add_gray(
    gray: dict[str, list[tuple[float, ...]]],
    image: Float32[np.ndarray, "c x y"],
    regions: UInt8[np.ndarray, "x y"],
    region_names: Mapping[str, int],
) -> None:
    """Adds the mean gray value of every class of a slice, per channel."""
    for name, value in {"background": 0, **region_names}.items():
        mask = regions == value
        if mask.any():
            gray.setdefault(name, []).append(tuple(image[:, mask].astype(np.float64).mean(axis=1).tolist()))


def _control_points(matched: Matched, slices: int, points: int) -> Control:
    """Control points of aligned contours; zero where a slot is empty."""
    control = np.zeros((slices, len(matched.slots), points, 2))
    for index, slot in enumerate(matched.slots):
        curves = aligned_starts(np.stack([contour.curve for contour in slot.contours.values()]))
        for where, curve in zip(slot.contours, curves, strict=True):
            control[where, index] = control_points(curve, points)
    return control


def _learn(
    control: Control, present: Presence, matched: Matched, variance: float, context: Collection[int]
) -> tuple[SpaceArrays, Components]:
    """Components of the contours, and the limits of overlap.

    Each contour is divided by the square root of its slot's size (the square root of its mean area) and multiplied by
    the square root of the share of slices that have it. Undivided, the outline of the body would be most of the
    variance; in units of the size, the place of the smallest organ. A structure counts as often as it is seen.
    """
    cases, slots, points, _ = control.shape
    sizes = np.sqrt([slot.area for slot in matched.slots])
    scale = np.sqrt(sizes / present.mean(axis=0))[:, None, None]
    entries = np.broadcast_to(present[:, :, None, None], control.shape).reshape(cases, -1)
    found = fit_components((control / scale).reshape(cases, -1), entries, variance)
    shape = (slots, points, 2)
    deviations = found.directions * np.sqrt(found.variances)[:, None]
    below = np.array([slot.value in context for slot in matched.slots], dtype=bool)
    relations = learn_relations(curve_points(control, JUDGED * points), present, below)
    arrays = SpaceArrays(
        found.mean.reshape(shape) * scale,
        deviations.reshape(-1, *shape) * scale,
        relations.low,
        relations.high,
        relations.in_view,
        relations.excess,
    )
    return arrays, found


def _slot_records(matched: Matched) -> tuple[SlotRecord, ...]:
    return tuple(
        SlotRecord(value=slot.value, hole=slot.hole, slices=len(slot.contours), area=slot.area)
        for slot in matched.slots
    )


def _pattern_records(present: Presence) -> tuple[PatternRecord, ...]:
    counts = Counter(tuple(np.flatnonzero(row).tolist()) for row in present)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(PatternRecord(slots=slots, slices=count) for slots, count in ordered)


def _median_size(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    x, y = np.median(list(sizes), axis=0)
    return round(float(x)), round(float(y))


def _median_extent(extents: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    known = [extent for extent in extents if extent is not None]
    if len(known) < len(extents):
        return None
    x, y = np.median(known, axis=0)
    return float(x), float(y)
