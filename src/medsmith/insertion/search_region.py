"""The region on which a box is looked for, and how much of a lesion each place of it holds.

Axes: x y z voxel axes along right, anterior, superior (canonical); i j k first voxels that a box may have.

What counts is the ellipsoid inscribed in the box. Its share in a mask is, for all places at once, a correlation. Where
the surroundings of the organ have more than ``SEARCH_VOXELS`` voxels the correlation sees every n-th of them, and what
it finds is proven on the full grid.
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.ndimage import distance_transform_edt

from medsmith.formats.volume import Region
from medsmith.insertion.box import Box, Index
from medsmith.insertion.organ_map import OrganMap, selected
from medsmith.insertion.regions import OUTSIDE_OF_PROTRUDING, WALL_MM, Spacing, Target, widened

SEARCH_VOXELS = 2_000_000
NOWHERE = -1.0
"""Share where the rules allow no box at all."""


@final
@dataclass(frozen=True, eq=False)
class SearchRegion:
    """Where one lesion is looked for.

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
        """Least depth of a center in the lumen, and greatest depth of one in the wall that the box still reaches."""
        smallest = min(count * edge for count, edge in zip(shape, self.spacing, strict=True))
        return self.wall_mm, max(WALL_MM, smallest / 2)


def search_region_around(organ_map: OrganMap, target: Target, taken: tuple[Box, ...], shape: Index) -> SearchRegion:
    """The surroundings of an organ in which boxes of a shape are looked for.

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
    """The least thinning, of the finest axes first, that leaves at most ``SEARCH_VOXELS``."""
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


def shares(region: SearchRegion, shape: Index) -> Float64[np.ndarray, "i j k"]:
    """Share of the ellipsoid in the allowed region for each first voxel of a box on the thinned grid.

    ``NOWHERE`` where the center is not where the location wants it, a protruding lesion would protrude too much or too
    little, or another box is in the way. Empty where the box does not fit.

    Args:
        region: where to look.
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
    free = centers[middles] & _beside(region, shape, room)
    if target.location == "protruding":
        outside = 1.0 - _correlation(organ, kernel)
        free &= (outside >= OUTSIDE_OF_PROTRUDING[0]) & (outside <= OUTSIDE_OF_PROTRUDING[1])
    held: Float64[np.ndarray, "i j k"] = np.where(
        free, _correlation(target.allowed(region.thinned, spacing), kernel), NOWHERE
    )
    return held


def _correlation(mask: Bool[np.ndarray, "x y z"], kernel: Bool[np.ndarray, "u v w"]) -> Float64[np.ndarray, "i j k"]:
    """Share of the kernel's voxels in the mask, for each place of the kernel inside the mask's array; exact."""
    lengths = [next_fast_len(count, real=True) for count in mask.shape]
    spectrum = rfftn(mask.astype(np.float64), lengths)
    spectrum *= np.conj(rfftn(kernel.astype(np.float64), lengths))
    room = tuple(slice(total - count + 1) for total, count in zip(mask.shape, kernel.shape, strict=True))
    counts = np.rint(irfftn(spectrum, lengths)[room])
    share: Float64[np.ndarray, "i j k"] = counts / kernel.sum()
    return share


def _beside(region: SearchRegion, shape: Index, room: tuple[int, ...]) -> Bool[np.ndarray, "i j k"]:
    """First voxels of boxes that share no voxel with boxes that are there already."""
    free = np.ones(room, dtype=bool)
    for box in region.taken:
        overlapping = tuple(
            slice(max(-((start + count - 1 - low) // step), 0), max((high - 1 - start) // step + 1, 0))
            for start, step, count, low, high in zip(region.start, region.step, shape, box.low, box.high, strict=True)
        )
        free[overlapping] = False
    return free


def settled(region: SearchRegion, low: Int64[np.ndarray, "3"], shape: Index) -> Int64[np.ndarray, "3"] | None:
    """The box nearest to a place, within one step of the thinned grid, whose center is where the location wants it.

    Args:
        region: where to look.
        low: first voxel of the box in the scan.
        shape: voxels of the box.

    Returns:
        The first voxel of that box, inside the scan and beside all others; None if there is none.
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


def share_at(region: SearchRegion, low: Int64[np.ndarray, "3"], shape: Index) -> float:
    """``shares`` for one box on the full grid whose center is settled."""
    organ_map, target, kernel = region.organ_map, region.target, ellipsoid(shape)
    wide, inner = widened(box_at(low, shape).slices, organ_map, target.halo_mm)
    labels = organ_map.labels[wide]
    if target.location == "protruding":
        outside = 1.0 - float(selected(labels, target.organ)[inner][kernel].mean())
        if not OUTSIDE_OF_PROTRUDING[0] <= outside <= OUTSIDE_OF_PROTRUDING[1]:
            return NOWHERE
    return float(target.allowed(labels, region.spacing)[inner][kernel].mean())


def box_at(low: Int64[np.ndarray, "3"], shape: Index) -> Box:
    """The box of a shape from its first voxel on."""
    first, second, third = (int(each) for each in low)
    return Box((first, second, third), (first + shape[0], second + shape[1], third + shape[2]))
