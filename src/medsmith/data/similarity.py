"""How much one image looks like another: the copy check's only measure.

The similarity of a query and a gallery image is the largest normalised cross-correlation of their thumbnails
over all shifts of up to an eighth of the field of view along each axis and over the symmetries of the grid
(eight flips and quarter turns in 2-D, eight flips in 3-D). It is 1 for a copy, whatever its brightness and
contrast. Thumbnails are freed of slow brightness changes, which all images of one organ share: without that,
slices of different patients' chests correlate at .90 in the median and near-duplicates hide among them.
Nothing is learnt, so nothing can be over-fitted (Dar et al., arXiv:2402.01054, compare learnt embeddings
instead; their frame of a threshold taken from real pairs is kept).

The central part of a gallery thumbnail, which stays in sight at every shift, is the template; the query is
moved and turned. All moves of one query against the whole gallery are then one matrix product: exact and,
for so few shifts, cheaper than the Fourier transform.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Int
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter
from scipy.sparse.csgraph import connected_components

from medsmith.data.resizing import resize

EDGE_2D = 32
"""Thumbnail edge in pixels for pictures; shifts go to 4 pixels."""
EDGE_3D = 16
"""Thumbnail edge in voxels for volumes; shifts go to 2 voxels."""
_SHIFTS_PER_EDGE = 8
_COARSE, _FINE = 1 / 16, 1 / 45
"""Band that is compared, as Gaussian widths in thumbnail edges: slower changes are shared by all images of one
organ; faster ones would tell a copy from its original by a shift of half a thumbnail pixel."""
TWIN = 0.88
"""Real images this much alike show the same scene: one picture saved twice, or neighbours in one patient."""
LEAST_COPY = 0.5
"""Images less alike than this share less than a quarter of their detail (r squared): no copy in any set."""
_QUANTILE = 0.99
_FLAT = 1e-5
"""Detail below this share of an image's largest value is rounding: the image counts as flat."""


def thumbnails(
    images: Iterable[Float32[np.ndarray, "c x y z"]], edge: int | None = None
) -> Float32[np.ndarray, "n ex ey ez"]:
    """Shrink images of any size to one small square (z == 1) or cube, channels averaged.

    Args:
        images: all 2-D or all 3-D; sizes may differ, the field of view is stretched to the square.
        edge: thumbnail edge in voxels, a multiple of 8; default 32 in 2-D and 16 in 3-D.
    """
    small = [_thumbnail(image, edge) for image in images]
    return np.stack(small) if small else np.zeros((0, EDGE_2D, EDGE_2D, 1), np.float32)


def _thumbnail(image: Float32[np.ndarray, "c x y z"], edge: int | None) -> Float32[np.ndarray, "ex ey ez"]:
    flat = image.shape[-1] == 1
    side = edge or (EDGE_2D if flat else EDGE_3D)
    small = resize(image.mean(axis=0, dtype=np.float32), (side, side, 1 if flat else side))
    axes = (0, 1) if flat else (0, 1, 2)
    fine, coarse = (gaussian_filter(small, side * w, mode="nearest", axes=axes) for w in (_FINE, _COARSE))
    band: Float32[np.ndarray, "ex ey ez"] = fine - coarse
    return band if np.abs(band).max() > _FLAT * np.abs(small).max() else np.zeros_like(band)


def nearest(
    queries: Float32[np.ndarray, "q ex ey ez"], gallery: Float32[np.ndarray, "n ex ey ez"]
) -> tuple[Float32[np.ndarray, " q"], Int[np.ndarray, " q"]]:
    """The most similar gallery image of every query.

    Args:
        queries: thumbnails to be looked up.
        gallery: thumbnails to be looked through, at least one.

    Returns:
        similarity in [-1, 1] and index into the gallery, per query.
    """
    scores = similarities(queries, gallery)
    index = scores.argmax(axis=1)
    return scores[np.arange(len(scores)), index], index


@final
@dataclass(frozen=True, eq=False)
class Scenes:
    """How alike the images of a set are among themselves.

    Attributes:
        threshold: similarity above which a new image counts as a copy of one of the set.
        groups: number of each image's scene: images linked by chains of twins share one. A cohort must be split by
            these numbers and not by image, or the test set has been seen in training.
    """

    threshold: float
    groups: Int[np.ndarray, " n"]


def find_scenes(gallery: Float32[np.ndarray, "n ex ey ez"]) -> Scenes:
    """Compares a set of real images with itself.

    The threshold is the 99th percentile of the nearest similarity between different scenes, and at least .5. Twins are
    left out of it: public cohorts hold many (a third of the breast ultrasounds of Al-Dhabyani et al. 2020 have one),
    and a percentile over them would be 1 and find no copy at all.

    Args:
        gallery: thumbnails; fewer than two leave the threshold at ``TWIN``.
    """
    scores = similarities(gallery, gallery)
    _, groups = connected_components(scores >= TWIN, directed=False)
    np.fill_diagonal(scores, -1)
    different = np.where(scores < TWIN, scores, -1).max(axis=1, initial=-1)
    different = different[different > -1]
    threshold = float(np.quantile(different, _QUANTILE)) if len(different) else TWIN
    return Scenes(max(threshold, LEAST_COPY), groups)


def copy_threshold(gallery: Float32[np.ndarray, "n ex ey ez"]) -> float:
    """Similarity above which an image counts as a copy of one of these real ones (see ``find_scenes``)."""
    return find_scenes(gallery).threshold


def similarities(
    queries: Float32[np.ndarray, "q ex ey ez"], gallery: Float32[np.ndarray, "n ex ey ez"]
) -> Float32[np.ndarray, "q n"]:
    """Largest normalised cross-correlation of every query with every gallery thumbnail.

    Args:
        queries: thumbnails that are moved and turned.
        gallery: thumbnails whose central part is looked for.
    """
    shift = tuple(edge // _SHIFTS_PER_EDGE if edge > 1 else 0 for edge in gallery.shape[1:])
    window = tuple(edge - 2 * s for s, edge in zip(shift, gallery.shape[1:], strict=True))
    core = tuple(slice(s, s + w) for s, w in zip(shift, window, strict=True))
    templates = gallery[:, *core].reshape(len(gallery), int(np.prod(window)))
    templates = templates - templates.mean(axis=1, keepdims=True)
    templates = templates * _inverse(np.linalg.norm(templates, axis=1, keepdims=True))
    scores = np.empty((len(queries), len(gallery)), np.float32)
    for row, query in zip(scores, queries, strict=True):
        windows = _windows(query, window)
        # The templates have mean 0, so that a window's own mean drops out of the product.
        spread = np.maximum(np.einsum("mv,mv->m", windows, windows) - windows.sum(axis=1) ** 2 / windows.shape[1], 0)
        row[:] = (templates @ windows.T * _inverse(np.sqrt(spread))).max(axis=1)
    return scores


def _windows(query: Float32[np.ndarray, "ex ey ez"], window: tuple[int, ...]) -> Float32[np.ndarray, "moves voxels"]:
    """Every shifted and turned view of a query."""
    voxels = int(np.prod(window))
    return np.concatenate([sliding_window_view(turned, window).reshape(-1, voxels) for turned in _turned(query)])


def _turned(query: Float32[np.ndarray, "ex ey ez"]) -> Iterator[Float32[np.ndarray, "ex ey ez"]]:
    """The eight symmetries of the square, or the eight flips of the cube."""
    sides = (query, query.swapaxes(0, 1)) if query.shape[2] == 1 else (query, query[:, :, ::-1])
    for side in sides:
        yield from (side, side[::-1], side[:, ::-1], side[::-1, ::-1])


def _inverse(norms: Float32[np.ndarray, "*n"]) -> Float32[np.ndarray, "*n"]:
    """1 / norm; 0 for what is flat, which resembles nothing."""
    flat = norms == 0
    inverse: Float32[np.ndarray, "*n"] = np.where(flat, 0, 1 / np.where(flat, 1, norms))
    return inverse
