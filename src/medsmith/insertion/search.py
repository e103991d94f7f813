"""Finding a place for a box, and the largest box for which there is a place."""

import numpy as np
from jaxtyping import Float64, Int64

from medsmith.insertion.box import Box, Index
from medsmith.insertion.organ_map import OrganMap
from medsmith.insertion.regions import Location, Target
from medsmith.insertion.search_region import (
    NOWHERE,
    SearchRegion,
    box_at,
    search_region_around,
    settled,
    share_at,
    shares,
)

LEAST_ALLOWED: dict[Location, float] = {"within": 0.9, "wall": 0.75, "lumen": 1.0, "protruding": 1.0}
"""Least share of the ellipsoid in the allowed region, where no place holds all of it."""
_AS_GOOD = 0.01
"""Shares this near to the best count as the best."""
_ERROR = 0.03
"""By how much a share on a thinned grid may be wrong."""
_NEARLY_ALL = 1.0 - _ERROR
_PROOFS = 16
"""Places of a thinned grid that are proven on the full grid before the search gives up."""
_HALVINGS = 8
Millimeters = tuple[float, float, float]
Shares = Float64[np.ndarray, "i j k"]


def find_box(
    organ_map: OrganMap, target: Target, taken: tuple[Box, ...], shape: Index, rng: np.random.Generator | None
) -> Box | None:
    """A box that obeys the rules of its location, or None where there is no place for one.

    Any place that holds the whole ellipsoid may be drawn. Where there is none, one of the places that hold the most,
    if that is at least ``LEAST_ALLOWED``.

    Args:
        organ_map: organs of the scan.
        target: organ and location.
        taken: boxes that it may not overlap.
        shape: voxels of the box along each axis.
        rng: draws the place; None takes the best, the first of equals.
    """
    region = search_region_around(organ_map, target, taken, shape)
    held = shares(region, shape)
    if not held.size:
        return None
    if region.step == (1, 1, 1):
        return _drawn(region, held, shape, rng)
    drawn = _proven(region, _any_order(held, rng), held, shape, rng) if rng else None
    return drawn or _proven(region, _best_first(held), held, shape, None)


def _drawn(region: SearchRegion, held: Shares, shape: Index, rng: np.random.Generator | None) -> Box | None:
    least, best = LEAST_ALLOWED[region.target.location], float(held.max())
    if best < least:
        return None
    places = np.flatnonzero(held >= (1.0 if best == 1.0 else max(best - _AS_GOOD, least)))
    chosen = places[rng.integers(len(places))] if rng else places[0]
    return box_at(np.array(np.unravel_index(chosen, held.shape)) + region.start, shape)


def _any_order(held: Shares, rng: np.random.Generator) -> Int64[np.ndarray, "n"]:
    places = np.flatnonzero(held >= min(_NEARLY_ALL, float(held.max()) - _ERROR))
    return rng.choice(places, min(_PROOFS, len(places)), replace=False)


def _best_first(held: Shares) -> Int64[np.ndarray, "n"]:
    return np.argsort(-held, axis=None, kind="stable")[:_PROOFS]


def _proven(
    region: SearchRegion, places: Int64[np.ndarray, "n"], held: Shares, shape: Index, rng: np.random.Generator | None
) -> Box | None:
    """The first of the places that on the full grid holds as much as one can hope for, else the best of them."""
    least = LEAST_ALLOWED[region.target.location]
    enough = 1.0 if held.max() >= _NEARLY_ALL else least
    best, best_share = None, 0.0
    for place in places[held.ravel()[places] >= least - _ERROR]:
        corner = np.array(np.unravel_index(place, held.shape))
        low = settled(region, _on_full_grid(region, corner, shape, rng), shape)
        share = share_at(region, low, shape) if low is not None else NOWHERE
        if low is not None and share >= least and share > best_share:
            best, best_share = box_at(low, shape), share
        if best_share >= enough:
            break
    return best


def _on_full_grid(
    region: SearchRegion, place: Int64[np.ndarray, "3"], shape: Index, rng: np.random.Generator | None
) -> Int64[np.ndarray, "3"]:
    """First voxel in the scan of a box at a place of the thinned grid, drawn from the cell about it."""
    middle = np.array(region.start) + (place + (np.array(region.thinned_shape(shape)) - 1) / 2) * region.step
    low = np.rint(middle - (np.array(shape) - 1) / 2).astype(np.int64)
    reach = np.array(region.step) // 2
    return low + rng.integers(-reach, reach + 1) if rng else low


def voxels_of(size_mm: Millimeters, spacing: Millimeters) -> Index:
    """The shape of a box that is nearest to a size; at least one voxel along each axis."""
    first, second, third = (max(1, round(size / edge)) for size, edge in zip(size_mm, spacing, strict=True))
    return first, second, third


def largest_size(
    organ_map: OrganMap, target: Target, taken: tuple[Box, ...], size_mm: Millimeters
) -> Millimeters | None:
    """The largest size of the same proportions for which there is a place, to 1/256 of the given one, mm.

    The given size is taken not to fit. None if nothing fits.
    """
    spacing = organ_map.geometry.spacing
    fits: dict[Index, bool] = {}
    low, high, best = 0.0, 1.0, None
    for _ in range(_HALVINGS):
        scale = (low + high) / 2
        shape = voxels_of((size_mm[0] * scale, size_mm[1] * scale, size_mm[2] * scale), spacing)
        if shape not in fits:
            fits[shape] = find_box(organ_map, target, taken, shape, None) is not None
        if fits[shape]:
            low, best = scale, shape
        else:
            high = scale
    if best is None:
        return None
    return best[0] * spacing[0], best[1] * spacing[1], best[2] * spacing[2]
