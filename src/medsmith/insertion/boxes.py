"""Boxes for the lesions of a scan: of the requested size and location, without overlap.

The box step of LesionDiffusion (Tian et al. 2025, section 2.4): organ type, location, organ and size choose the region
in which the box is sampled. ``regions`` defines the valid centers and voxels of each location, ``search`` finds them.
"""

from collections.abc import Sequence

import numpy as np

from medsmith.errors import RequestError
from medsmith.insertion.box import Box
from medsmith.insertion.organ_map import OrganMap
from medsmith.insertion.regions import Target, target_of
from medsmith.insertion.search import Millimeters, find_box, largest_size, voxels_of
from medsmith.reports.schema import MAX_LESIONS, LesionReport

__all__ = ["Box", "place_boxes"]
_MOST_ARRANGEMENTS = 4
"""Attempts to place all boxes, since earlier boxes may leave no room for a later one."""


def place_boxes(lesions: Sequence[LesionReport], organ_map: OrganMap, rng: np.random.Generator) -> tuple[Box, ...]:
    """One box per lesion, in the order of the reports.

    Each box has the size of its report to half a voxel (one voxel at least), lies inside the scan, satisfies the rules
    of its location and overlaps no other box. The largest is placed first.

    Args:
        lesions: one to ``MAX_LESIONS`` reports, all with a size.
        organ_map: organs of the scan.
        rng: source of the positions.

    Raises:
        RequestError: a report without size or with one of half a voxel at most, an organ that the map lacks, a location
            that does not match the kind of organ, no room (with the largest size that fits), or too many lesions.
    """
    if not 1 <= len(lesions) <= MAX_LESIONS:
        raise RequestError("report", f"{len(lesions)} lesions", f"1 to {MAX_LESIONS} in a scan", "divide them")
    names = [f"lesion {number}" for number in range(1, len(lesions) + 1)]
    targets = [target_of(lesion, organ_map, name) for lesion, name in zip(lesions, names, strict=True)]
    spacing = organ_map.geometry.spacing
    sizes = [_size_of(lesion, name, spacing) for lesion, name in zip(lesions, names, strict=True)]
    order = sorted(range(len(lesions)), key=lambda number: -float(np.prod(sizes[number])))
    boxes: dict[int, Box] = {}
    for _ in range(_MOST_ARRANGEMENTS):
        boxes = _place_in_order(order, targets, sizes, organ_map, rng)
        if len(boxes) == len(lesions):
            return tuple(boxes[number] for number in range(len(lesions)))
        if not boxes:
            break
    missing = order[len(boxes)]
    raise _no_room(names[missing], targets[missing], sizes[missing], organ_map, tuple(boxes.values()))


def _place_in_order(
    order: Sequence[int],
    targets: Sequence[Target],
    sizes: Sequence[Millimeters],
    organ_map: OrganMap,
    rng: np.random.Generator,
) -> dict[int, Box]:
    """Lesion index -> box, up to the first lesion for which no room is left."""
    boxes: dict[int, Box] = {}
    for number in order:
        shape = voxels_of(sizes[number], organ_map.geometry.spacing)
        box = find_box(organ_map, targets[number], tuple(boxes.values()), shape, rng)
        if box is None:
            break
        boxes[number] = box
    return boxes


def _size_of(lesion: LesionReport, name: str, spacing: Millimeters) -> Millimeters:
    if lesion.size_mm is None:
        raise RequestError(name, "says no size", "a box needs one", "give size_mm, or let a report be sampled")
    if all(size <= edge / 2 for size, edge in zip(lesion.size_mm, spacing, strict=True)):
        found = f"{_format_size(lesion.size_mm)} in voxels of {_format_size(spacing)}"
        limit = "a scan shows nothing of half a voxel or less"
        raise RequestError(name, found, limit, "ask for a larger lesion, or name templates of finer voxels")
    return lesion.size_mm


def _no_room(
    name: str, target: Target, size_mm: Millimeters, organ_map: OrganMap, taken: tuple[Box, ...]
) -> RequestError:
    largest = largest_size(organ_map, target, taken, size_mm)
    beside = " beside the other lesions" if taken else ""
    found = f"no room for {_format_size(size_mm)} in {target.name} ({target.location}){beside}"
    there = f"the map has {', '.join(organ_map.present)}"
    if largest is None:
        return RequestError(name, found, f"nothing fits; {there}", "choose another organ or template")
    limit = f"the largest of these proportions that fits is {_format_size(largest)}; {there}"
    return RequestError(name, found, limit, "ask for that size, or choose another organ or template")


def _format_size(size_mm: Millimeters) -> str:
    return (
        " x ".join(f"{edge:.2f}".rstrip("0").rstrip(".") if edge >= 0.01 else f"{edge:g}" for edge in size_mm) + " mm"
    )
