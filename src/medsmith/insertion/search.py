"""Search for a valid position of a box, and for the largest box that has one."""

import numpy as np
from jaxtyping import Float64, Int64

from medsmith.insertion.box import Box, Index
from medsmith.insertion.organ_map import OrganMap
from medsmith.insertion.regions import Location, Target
from medsmith.insertion.search_region import (
    FORBIDDEN,
    SearchRegion,
    allowed_share_at,
    allowed_shares,
    box_at,
    nearest_valid_corner,
    search_region_around,
    spans_box,
)

LEAST_ALLOWED: dict[Location, float] = {"within": 0.9, "wall": 0.75, "lumen": 1.0, "protruding": 1.0}
"""Smallest accepted share of the ellipsoid in the allowed region, if no position allows all of it."""
_TIE = 0.01
"""Shares within this distance of the largest one count as equal."""
_ERROR = 0.03
"""Largest error of a share on a thinned grid."""
_NEARLY_ALL = 1.0 - _ERROR
_MOST_VERIFIED = 16
"""Most positions of a thinned grid that are verified on the full grid."""
_HALVINGS = 8
Millimeters = tuple[float, float, float]
Shares = Float64[np.ndarray, "i j k"]


def find_box(
    organ_map: OrganMap, target: Target, taken: tuple[Box, ...], shape: Index, rng: np.random.Generator | None
) -> Box | None:
    """A box that satisfies the rules of its location; None if there is none.

    The position is sampled from those where the whole ellipsoid is allowed; if there is none, from those with the
    largest allowed share, provided it is at least ``LEAST_ALLOWED`` and what is allowed spans the box (`spans_box`).

    Args:
        organ_map: organs of the scan.
        target: organ and location.
        taken: boxes that it must not overlap.
        shape: voxels of the box along each axis.
        rng: source of the position; None takes the best position, the first of equals.
    """
    region = search_region_around(organ_map, target, taken, shape)
    shares = allowed_shares(region, shape)
    if not shares.size:
        return None
    if region.step == (1, 1, 1):
        return _sampled_place(region, shares, shape, rng)
    sampled = _first_verified(region, _random_order(shares, rng), shares, shape, rng) if rng else None
    return sampled or _first_verified(region, _best_first(shares), shares, shape, None)


def _sampled_place(region: SearchRegion, shares: Shares, shape: Index, rng: np.random.Generator | None) -> Box | None:
    least, best = LEAST_ALLOWED[region.target.location], float(shares.max())
    if best < least:
        return None
    places = np.flatnonzero(shares >= (1.0 if best == 1.0 else max(best - _TIE, least)))
    chosen = places[rng.integers(len(places))] if rng else places[0]
    others = _best_first(shares) if best < 1.0 else ()
    for place in (chosen, *others):
        low = np.array(np.unravel_index(place, shares.shape)) + region.start
        if shares.ravel()[place] >= least and spans_box(region, low, shape):
            return box_at(low, shape)
    return None


def _random_order(shares: Shares, rng: np.random.Generator) -> Int64[np.ndarray, "n"]:
    places = np.flatnonzero(shares >= min(_NEARLY_ALL, float(shares.max()) - _ERROR))
    return rng.choice(places, min(_MOST_VERIFIED, len(places)), replace=False)


def _best_first(shares: Shares) -> Int64[np.ndarray, "n"]:
    return np.argsort(-shares, axis=None, kind="stable")[:_MOST_VERIFIED]


def _first_verified(
    region: SearchRegion, places: Int64[np.ndarray, "n"], shares: Shares, shape: Index, rng: np.random.Generator | None
) -> Box | None:
    """The first position that reaches the expected share on the full grid, else the best of them."""
    least = LEAST_ALLOWED[region.target.location]
    enough = 1.0 if shares.max() >= _NEARLY_ALL else least
    best, best_share = None, 0.0
    for place in places[shares.ravel()[places] >= least - _ERROR]:
        corner = np.array(np.unravel_index(place, shares.shape))
        low = nearest_valid_corner(region, _on_full_grid(region, corner, shape, rng), shape)
        share = allowed_share_at(region, low, shape) if low is not None else FORBIDDEN
        if low is not None and share >= least and share > best_share and spans_box(region, low, shape):
            best, best_share = box_at(low, shape), share
        if best_share >= enough:
            break
    return best


def _on_full_grid(
    region: SearchRegion, place: Int64[np.ndarray, "3"], shape: Index, rng: np.random.Generator | None
) -> Int64[np.ndarray, "3"]:
    """First voxel in the scan of a box at a position of the thinned grid, sampled from the cell around it."""
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
    """The largest size in mm of the same proportions that has a valid position, to 1/256 of the given size.

    The given size is assumed not to fit. None if nothing fits.
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
