"""Places for a structure in a template: whole within what is allowed, and in surroundings like its own.

Axes: c channels, n places, v voxels of a structure, x y z of the template, u v w of a patch, canonical.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from scipy.spatial.distance import cdist

from medsmith.methods.copypaste.patch import Patch
from medsmith.methods.copypaste.rings import Gray, gray_of

TRIES = 3000
"""Places that are tried for one structure."""
COMPARED = 40
"""Places where it fits whose surroundings are compared with its own."""
_BANDWIDTH = 0.08
"""Standard deviation of the kernel about each training structure's center, as a share of the field of view."""
_FLOOR, _SMALLEST = 0.01, 1e-12
"""Density far from all of them, as a share of the largest."""
_EXTREMES = 64
Place = tuple[int, int, int]


@final
@dataclass(frozen=True, eq=False)
class Density:
    """Where structures of the training cohort lie.

    Attributes:
        centers: as shares of the field of view.
    """

    centers: Float64[np.ndarray, "n 3"]

    def __call__(self, at: Float64[np.ndarray, "m 3"]) -> Float64[np.ndarray, "m"]:
        """Density at some places, relative to the largest of them."""
        kernels = np.exp(-0.5 * (cdist(at, self.centers) / _BANDWIDTH) ** 2).sum(1)
        return np.asarray(kernels / max(float(kernels.max()), _SMALLEST) + _FLOOR)


def find_place(
    patch: Patch,
    image: Float32[np.ndarray, "c x y z"],
    allowed: Bool[np.ndarray, "x y z"],
    ring: Bool[np.ndarray, "u v w"],
    density: Density | None,
    rng: np.random.Generator,
) -> Place | None:
    """The first voxel of the patch in the template, where the structure lies whole in what is allowed.

    Of the first ``COMPARED`` places where it fits, the one whose ring is most like the structure's own.

    Args:
        patch: with the structure.
        image: of the template.
        allowed: where voxels of the structure may lie.
        ring: of the patch, around the structure.
        density: of places; None draws them evenly.
        rng: source of the places.

    Returns:
        None where it does not fit, of the places that were tried.
    """
    voxels = np.argwhere(patch.inside)
    anchor = voxels[int(np.linalg.norm(voxels - voxels.mean(0), axis=1).argmin())]
    tried = _drawn(allowed, density, rng)
    offsets = voxels - anchor
    extremes = offsets[_extremes(offsets)]
    tried = tried[_fits(tried, extremes, allowed)]
    fitting: list[Int64[np.ndarray, "3"]] = []
    for place in tried:
        if _fits(place[None], offsets, allowed)[0]:
            fitting.append(place)
        if len(fitting) == COMPARED:
            break
    if not fitting:
        return None
    own, around = gray_of(patch.image, ring & patch.around), np.argwhere(ring)
    starts = [place - anchor for place in fitting]
    best = min(range(len(starts)), key=lambda each: _unlikeness(own, image, around + starts[each]))
    x, y, z = (int(index) for index in starts[best])
    return x, y, z


def _drawn(
    allowed: Bool[np.ndarray, "x y z"], density: Density | None, rng: np.random.Generator
) -> Int64[np.ndarray, "n 3"]:
    """Different voxels of a mask in random order, those of high density rather first."""
    flat = np.flatnonzero(allowed)
    if not len(flat):
        return np.empty((0, 3), np.int64)
    chosen = np.unique(flat[rng.integers(0, len(flat), TRIES)])
    places = np.stack(np.unravel_index(chosen, allowed.shape), axis=-1).astype(np.int64)
    keys = rng.random(len(places))
    if density is not None:
        keys = keys ** (1 / density((places + 0.5) / allowed.shape))  # weighted order of Efraimidis & Spirakis 2006
    return places[np.argsort(-keys, kind="stable")]


def _extremes(offsets: Int64[np.ndarray, "v 3"]) -> Int64[np.ndarray, " e"]:
    """The outermost voxels in many directions, which leave a mask first."""
    steps = np.arange(_EXTREMES) + 0.5
    polar, turn = np.arccos(1 - 2 * steps / _EXTREMES), np.pi * (1 + 5**0.5) * steps
    directions = np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)])
    return np.unique((offsets @ directions).argmax(0))


def _fits(
    places: Int64[np.ndarray, "n 3"], offsets: Int64[np.ndarray, "v 3"], allowed: Bool[np.ndarray, "x y z"]
) -> Bool[np.ndarray, "n"]:
    """Whether all voxels at offsets from a place are allowed."""
    shape = np.array(allowed.shape)
    low, high = places + offsets.min(0), places + offsets.max(0)
    fits = ((low >= 0) & (high < shape)).all(1)
    within = np.flatnonzero(fits)
    at = places[within][:, None] + offsets
    fits[within] = allowed[at[..., 0], at[..., 1], at[..., 2]].all(1)
    return np.asarray(fits)


def _unlikeness(own: Sequence[Gray], image: Float32[np.ndarray, "c x y z"], voxels: Int64[np.ndarray, "n 3"]) -> float:
    """How far the gray values of a ring are from a structure's own, in deviations, over all channels."""
    inside = voxels[((voxels >= 0) & (voxels < image.shape[1:])).all(1)]
    if not own or not len(inside):
        return np.inf
    there = image[:, inside[:, 0], inside[:, 1], inside[:, 2]]
    return sum(gray.unlike(Gray.of(values)) for gray, values in zip(own, there, strict=True))
