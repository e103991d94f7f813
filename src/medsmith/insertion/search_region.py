"""The region in which a box is searched, and the share of a lesion that is allowed at each position.

Axes: x y z voxel axes along right, anterior, superior (canonical); i j k first voxels that a box may have.

The rules apply to the ellipsoid inscribed in the box. Its share in a mask, for all positions at once, is a correlation.
If the search region has more than ``SEARCH_VOXELS`` voxels, the correlation uses every n-th of them, and candidates
are verified on the full grid.
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.ndimage import distance_transform_edt, find_objects

from medsmith.formats.volume import Region
from medsmith.insertion.box import Box, Index
from medsmith.insertion.organ_map import OrganMap, selected
from medsmith.insertion.regions import OUTSIDE_OF_PROTRUDING, WALL_MM, Spacing, Target, widened
from medsmith.insertion.shape import largest_component

SEARCH_VOXELS = 2_000_000
FORBIDDEN = -1.0
"""Stands for the share where the rules exclude a box."""
SHORTER = 0.1
"""Most that the allowed part of an ellipsoid may be shorter than its box, as a share of the edge; at least a voxel."""


@final
@dataclass(frozen=True, eq=False)
class SearchRegion:
    """The region in which the box of one lesion is searched.

    Attributes:
        organ_map: organs of the scan.
        target: organ and location.
        taken: boxes of other lesions.
        thinned: the surroundings of the organ, every ``step``-th voxel from ``start`` on.
        start: the first voxel of ``thinned`` in the scan.
        step: voxels of the scan from one voxel of ``thinned`` to the next.
        wall_mm: thickness of the organ's wall; at most half its greatest depth, so that a thin organ has a lumen.
    """

    organ_map: OrganMap
    target: Target
    taken: tuple[Box, ...]
    thinned: UInt8[np.ndarray, "x y z"]
    start: Index
    step: Index
    wall_mm: float = WALL_MM

    @property
    def spacing(self) -> Spacing:
        """Edges of a voxel of the scan, mm."""
        return self.organ_map.geometry.spacing

    @property
    def thinned_spacing(self) -> Spacing:
        """Edges of a voxel of ``thinned``, mm."""
        first, second, third = (edge * step for edge, step in zip(self.spacing, self.step, strict=True))
        return first, second, third

    def thinned_shape(self, shape: Index) -> Index:
        """Shape of a box in voxels of ``thinned``."""
        first, second, third = (max(1, round(count / step)) for count, step in zip(shape, self.step, strict=True))
        return first, second, third

    def depths(self, shape: Index) -> tuple[float, float]:
        """Minimum depth of a center in the lumen and maximum depth of a center in the wall, mm."""
        smallest = min(count * edge for count, edge in zip(shape, self.spacing, strict=True))
        return self.wall_mm, max(WALL_MM, smallest / 2)


def search_region_around(organ_map: OrganMap, target: Target, taken: tuple[Box, ...], shape: Index) -> SearchRegion:
    """The search region around an organ for boxes of a shape.

    Raises:
        ValueError: the map does not have the organ.
    """
    extent = organ_map.extent(target.organ)
    if extent is None:
        raise ValueError(f"{target.name} has no voxel")
    # Nine tenths of an ellipsoid in the organ leave no more than a quarter of its box beyond the organ's bounds.
    beyond = 1.0 if target.location in ("wall", "protruding") else 0.25
    margins = [int(np.ceil(beyond * count)) for count in shape]
    first, second, third = (
        slice(max(part.start - margin, 0), min(part.stop + margin, total))
        for part, margin, total in zip(extent, margins, organ_map.geometry.shape, strict=True)
    )
    crop = first, second, third
    step = _step(crop, organ_map.geometry.spacing)
    start = first.start + step[0] // 2, second.start + step[1] // 2, third.start + step[2] // 2
    every = tuple(slice(begin, part.stop, each) for begin, part, each in zip(start, crop, step, strict=True))
    region = SearchRegion(organ_map, target, taken, organ_map.labels[every], start, step)
    return replace(region, wall_mm=_wall_mm(region)) if target.location == "lumen" else region


def _step(crop: Region, spacing: Spacing) -> Index:
    """The smallest thinning steps, finest axes first, that leave at most ``SEARCH_VOXELS`` voxels."""
    counts = np.array([part.stop - part.start for part in crop])
    step = np.ones(3, dtype=np.int64)
    while np.prod(-(-counts // step)) > SEARCH_VOXELS:
        step[int(np.argmin(step * spacing))] += 1
    return int(step[0]), int(step[1]), int(step[2])


def _wall_mm(region: SearchRegion) -> float:
    organ = selected(region.thinned, region.target.organ)
    if organ.all():
        return WALL_MM
    return min(WALL_MM, float(distance_transform_edt(organ, region.thinned_spacing).max()) / 2)


def ellipsoid(shape: Index) -> Bool[np.ndarray, "x y z"]:
    """Voxels whose centers lie in the ellipsoid inscribed in a box of this shape."""
    first, second, third = (((np.arange(count) - (count - 1) / 2) / (count / 2)) ** 2 for count in shape)
    inside: Bool[np.ndarray, "x y z"] = first[:, None, None] + second[:, None] + third <= 1.0
    return inside


def allowed_shares(region: SearchRegion, shape: Index) -> Float64[np.ndarray, "i j k"]:
    """Share of the ellipsoid in the allowed region for each first voxel of a box on the thinned grid.

    ``FORBIDDEN`` where the center is not valid for the location, a protruding lesion would protrude too much or too
    little, or another box overlaps. Empty if the box is larger than the region.

    Args:
        region: the search region.
        shape: voxels of the box on the full grid.
    """
    thinned = region.thinned_shape(shape)
    room = tuple(total - count + 1 for total, count in zip(region.thinned.shape, thinned, strict=True))
    if min(room) <= 0:
        return np.zeros((0, 0, 0))
    target, spacing, kernel = region.target, region.thinned_spacing, ellipsoid(thinned)
    organ = selected(region.thinned, target.organ)
    centers = target.centers(organ, spacing, region.depths(shape))
    middles = tuple(slice(count // 2, count // 2 + free) for count, free in zip(thinned, room, strict=True))
    free = centers[middles] & _clear_of_others(region, shape, room)
    if target.location == "protruding":
        outside = 1.0 - _correlation(organ, kernel)
        free &= (outside >= OUTSIDE_OF_PROTRUDING[0]) & (outside <= OUTSIDE_OF_PROTRUDING[1])
    share: Float64[np.ndarray, "i j k"] = np.where(
        free, _correlation(target.allowed(region.thinned, spacing), kernel), FORBIDDEN
    )
    return share


def _correlation(mask: Bool[np.ndarray, "x y z"], kernel: Bool[np.ndarray, "u v w"]) -> Float64[np.ndarray, "i j k"]:
    """Share of the kernel's voxels in the mask, for each place of the kernel inside the mask's array; exact."""
    lengths = [next_fast_len(count, real=True) for count in mask.shape]
    spectrum = rfftn(mask.astype(np.float64), lengths)
    spectrum *= np.conj(rfftn(kernel.astype(np.float64), lengths))
    room = tuple(slice(total - count + 1) for total, count in zip(mask.shape, kernel.shape, strict=True))
    counts = np.rint(irfftn(spectrum, lengths)[room])
    share: Float64[np.ndarray, "i j k"] = counts / kernel.sum()
    return share


def _clear_of_others(region: SearchRegion, shape: Index, room: tuple[int, ...]) -> Bool[np.ndarray, "i j k"]:
    """Whether a box with this first voxel overlaps none of the boxes that are already placed."""
    free = np.ones(room, dtype=bool)
    for box in region.taken:
        overlapping = tuple(
            slice(max(-((start + count - 1 - low) // step), 0), max((high - 1 - start) // step + 1, 0))
            for start, step, count, low, high in zip(region.start, region.step, shape, box.low, box.high, strict=True)
        )
        free[overlapping] = False
    return free


def nearest_valid_corner(
    region: SearchRegion, low: Int64[np.ndarray, "3"], shape: Index
) -> Int64[np.ndarray, "3"] | None:
    """The box nearest to a position, within one step of the thinned grid, whose center is valid for the location.

    Args:
        region: the search region.
        low: first voxel of the box in the scan.
        shape: voxels of the box.

    Returns:
        The first voxel of that box, inside the scan and overlapping no other box; None if there is none.
    """
    half = np.array(shape) // 2
    center = low + half
    first = np.maximum(center - region.step, half)
    last = np.minimum(center + region.step, np.array(region.organ_map.geometry.shape) - np.array(shape) + half)
    if (first > last).any():
        return None
    cell = (
        slice(int(first[0]), int(last[0]) + 1),
        slice(int(first[1]), int(last[1]) + 1),
        slice(int(first[2]), int(last[2]) + 1),
    )
    wide, inner = widened(cell, region.organ_map, max(*region.depths(shape), *region.spacing))
    organ = selected(region.organ_map.labels[wide], region.target.organ)
    places = np.argwhere(region.target.centers(organ, region.spacing, region.depths(shape))[inner]) + first
    distances = (((places - center) * region.spacing) ** 2).sum(axis=1)
    for place in places[np.argsort(distances, kind="stable")]:
        if not any(box_at(place - half, shape).overlaps(box) for box in region.taken):
            return np.asarray(place - half)
    return None


def allowed_share_at(region: SearchRegion, low: Int64[np.ndarray, "3"], shape: Index) -> float:
    """``allowed_shares`` for one box with a valid center, on the full grid."""
    organ_map, target, kernel = region.organ_map, region.target, ellipsoid(shape)
    wide, inner = widened(box_at(low, shape).slices, organ_map, target.halo_mm)
    labels = organ_map.labels[wide]
    if target.location == "protruding":
        outside = 1.0 - float(selected(labels, target.organ)[inner][kernel].mean())
        if not OUTSIDE_OF_PROTRUDING[0] <= outside <= OUTSIDE_OF_PROTRUDING[1]:
            return FORBIDDEN
    return float(target.allowed(labels, region.spacing)[inner][kernel].mean())


def spans_box(region: SearchRegion, low: Int64[np.ndarray, "3"], shape: Index) -> bool:
    """Whether the allowed part of a box's ellipsoid is about as long as the whole ellipsoid along every axis.

    A lesion is cut where it leaves its organ. Where its ends are cut off, it is shorter than its box, and no sample
    has the size that was requested. In a box of two slices no slice holds the ellipsoid's middle, so that the whole is
    shorter than the box as well.
    """
    organ_map, target, whole = region.organ_map, region.target, ellipsoid(shape)
    wide, inner = widened(box_at(low, shape).slices, organ_map, target.halo_mm)
    part = largest_component(target.allowed(organ_map.labels[wide], region.spacing)[inner] & whole)
    return bool(part.any()) and all(
        edge >= count - max(1.0, SHORTER * count) for edge, count in zip(_edges(part), _edges(whole), strict=True)
    )


def _edges(mask: Bool[np.ndarray, "x y z"]) -> Index:
    """Voxels of the bounding box of a mask that is not empty."""
    first, second, third = (part.stop - part.start for part in find_objects(mask.astype(np.uint8))[0])
    return first, second, third


def box_at(low: Int64[np.ndarray, "3"], shape: Index) -> Box:
    """The box of a shape with a given first voxel."""
    first, second, third = (int(each) for each in low)
    return Box((first, second, third), (first + shape[0], second + shape[1], third + shape[2]))
