"""Similarity of images: the measure of the copy check.

The similarity of a query and a gallery image is the largest normalized cross-correlation of their thumbnails
over all shifts of up to an eighth of the field of view along each axis and over the symmetries of the grid
(eight flips and quarter turns in 2-D, eight flips in 3-D). It is 1 for a copy, whatever its brightness and
contrast. Low frequencies, which all images of one organ share, are removed from thumbnails: with them, slices
of the chests of different patients have a median correlation of .90, which hides near-duplicates. Nothing is
learned, so that nothing can be overfitted (Dar et al., arXiv:2402.01054, compare learned embeddings instead;
their threshold from pairs of real images is used here).

The central part of a gallery thumbnail, which is inside the query at every shift, is the template. All shifts
and flips of one query against the whole gallery are one matrix product: exact and, for so few shifts, cheaper
than a Fourier transform.

``search`` also finds copies that are a little larger or smaller, or of inverted contrast. It is the first step of
``data.copies``, which looks at finer detail, and the check of synthesized cases, which must be fast.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from jaxtyping import Float32, Int, Shaped
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.sparse.csgraph import connected_components

from medsmith.data.resizing import resize

EDGE_2D = 32
"""Thumbnail edge in pixels for pictures; the largest shift is 4 pixels."""
EDGE_3D = 16
"""Thumbnail edge in voxels for volumes; the largest shift is 2 voxels."""
SHIFTS_PER_EDGE = 8
"""The largest shift is the edge divided by this."""
ZOOMS = (0.9, 1.0, 1.1)
"""Magnifications of a query in a search."""
_COARSE, _FINE = 1 / 16, 1 / 45
"""Pass band, as Gaussian widths in thumbnail edges: all images of one organ share lower frequencies; higher ones
would make a copy differ from its original by a shift of half a thumbnail pixel."""
NEAR_DUPLICATE = 0.88
"""Real images with this similarity show the same scene: one picture saved twice, or neighboring slices."""
EXACT = 0.9995
"""Images with this similarity, 1.000 when rounded, are the same but for flips, quarter turns, zoom and gray scale."""
LEAST_COPY = 0.5
"""Images below this similarity share less than a quarter of their variance (r squared): not copies in any set."""
_DUPLICATE = 0.97
"""Median similarity to the nearest image, from which on a set consists of duplicates (neighboring slices: .998)."""
_QUANTILE = 0.99
_ONE_SCENE = 0.9
"""Largest share of a set that near-duplicates may link; above it all its images look alike, and none is a duplicate."""
_FLAT = 1e-5
"""Band-passed values below this share of the largest value are rounding: the image counts as constant."""
_LARGEST = 1e15


def thumbnails(
    images: Iterable[Float32[np.ndarray, "c x y z"]], edge: int | None = None
) -> Float32[np.ndarray, "n ex ey ez"]:
    """Downsample images of any size to a small square (z == 1) or cube, channels averaged, and band-pass them.

    Args:
        images: all 2-D or all 3-D; sizes may differ, the field of view is stretched to the square.
        edge: thumbnail edge in voxels, a multiple of 8; default 32 in 2-D and 16 in 3-D.
    """
    small = [_thumbnail(image, edge) for image in images]
    return np.stack(small) if small else np.zeros((0, EDGE_2D, EDGE_2D, 1), np.float32)


def within_reach(image: Float32[np.ndarray, "c x y z"]) -> Float32[np.ndarray, "c x y z"]:
    """The image, or where squares of its values would exceed float32 the image in other units."""
    largest = float(np.abs(image).max())
    return image if largest <= _LARGEST else image / np.float32(largest)


def _thumbnail(image: Float32[np.ndarray, "c x y z"], edge: int | None) -> Float32[np.ndarray, "ex ey ez"]:
    flat = image.shape[-1] == 1
    side = edge or (EDGE_2D if flat else EDGE_3D)
    small = resize(within_reach(image).mean(axis=0, dtype=np.float32), (side, side, 1 if flat else side))
    axes = (0, 1) if flat else (0, 1, 2)
    fine, coarse = (gaussian_filter(small, side * w, mode="nearest", axes=axes) for w in (_FINE, _COARSE))
    band: Float32[np.ndarray, "ex ey ez"] = fine - coarse
    return band if np.abs(band).max() > _FLAT * np.abs(small).max() else np.zeros_like(band)


def nearest(
    queries: Float32[np.ndarray, "q ex ey ez"], gallery: Float32[np.ndarray, "n ex ey ez"]
) -> tuple[Float32[np.ndarray, " q"], Int[np.ndarray, " q"]]:
    """The most similar gallery image of every query, also if it was zoomed or its contrast inverted.

    Args:
        queries: thumbnails.
        gallery: thumbnails to search, at least one.

    Returns:
        similarity in [0, 1] and index into the gallery, per query.
    """
    scores = search(queries, gallery)
    index = scores.argmax(axis=1)
    return scores[np.arange(len(scores)), index], index


@final
@dataclass(frozen=True, eq=False)
class Scenes:
    """Similarities within a set of images.

    Attributes:
        threshold: similarity above which a new image counts as a copy of one of the set.
        groups: scene number of each image; images linked by chains of near-duplicates share one. A cohort must be split
            by scene and not by image, or test images leak into training.
    """

    threshold: float
    groups: Int[np.ndarray, " n"]


def find_scenes(gallery: Float32[np.ndarray, "n ex ey ez"]) -> Scenes:
    """Compare a set of real images with itself.

    The threshold is the 99th percentile of the largest similarity to an image of another scene, and at least .5.
    Near-duplicates are excluded: public cohorts contain many (a third of the breast ultrasounds of Al-Dhabyani et al.
    2020 have one), and a percentile over them would be 1 and detect no copy. Where chains of near-duplicates link more
    than nine tenths of the set, its images look alike without being duplicates (slices of one kind of phantom: .95);
    then all images count, and each is a scene of its own.

    Args:
        gallery: thumbnails; fewer than two leave the threshold at ``NEAR_DUPLICATE``.
    """
    return _scenes(similarities(gallery, gallery))


def _scenes(scores: Float32[np.ndarray, "n n"]) -> Scenes:
    """From the similarities of a set with itself, which are changed."""
    _, groups = connected_components(scores >= NEAR_DUPLICATE, directed=False)
    np.fill_diagonal(scores, -1)
    if _look_alike(scores, groups):
        return Scenes(max(float(np.quantile(scores.max(axis=1), _QUANTILE)), LEAST_COPY), np.arange(len(groups)))
    different = np.where(scores < NEAR_DUPLICATE, scores, -1).max(axis=1, initial=-1)
    different = different[different > -1]
    threshold = float(np.quantile(different, _QUANTILE)) if len(different) else NEAR_DUPLICATE
    return Scenes(max(threshold, LEAST_COPY), groups)


def _look_alike(scores: Float32[np.ndarray, "n n"], groups: Int[np.ndarray, " n"]) -> bool:
    """Whether near-duplicates link nearly the whole set, though few of its images are duplicates."""
    linked = len(groups) > 1 and np.bincount(groups).max() > _ONE_SCENE * len(groups)
    return bool(linked and np.median(scores.max(axis=1)) < _DUPLICATE)


def copy_threshold(gallery: Float32[np.ndarray, "n ex ey ez"]) -> float:
    """Similarity above which an image counts as a copy of one of these real ones.

    As the threshold of ``find_scenes``, of the measure that queries are compared by (``COPY_MEASURE``): a search over
    zooms and both contrasts finds more similarity by chance.
    """
    return _scenes(COPY_MEASURES[COPY_MEASURE](gallery, gallery)).threshold


def similarities(
    queries: Float32[np.ndarray, "q ex ey ez"], gallery: Float32[np.ndarray, "n ex ey ez"]
) -> Float32[np.ndarray, "q n"]:
    """Largest normalized cross-correlation of every query with every gallery thumbnail.

    Args:
        queries: thumbnails, which are shifted and flipped.
        gallery: thumbnails, whose central part is the template.
    """
    scores = np.empty((len(queries), len(gallery)), np.float32)
    for row, correlations in zip(scores, _correlations(queries, gallery), strict=True):
        row[:] = correlations.max(axis=1)
    return scores


def search(
    queries: Float32[np.ndarray, "q ex ey ez"], gallery: Float32[np.ndarray, "n ex ey ez"]
) -> Float32[np.ndarray, "q n"]:
    """As ``similarities``, also over the zooms ``ZOOMS`` of the queries and over inverted contrast.

    Args:
        queries: thumbnails, which are zoomed, shifted and flipped.
        gallery: thumbnails, whose central part is the template.
    """
    scores = np.zeros((len(queries), len(gallery)), np.float32)
    for zoom in ZOOMS:
        for row, correlations in zip(scores, _correlations(zoomed(queries, zoom), gallery), strict=True):
            np.maximum(row, np.maximum(correlations.max(axis=1), -correlations.min(axis=1)), out=row)
    return scores


COPY_MEASURES: Final = {1: similarities, 2: search}
"""Measures that runs have recorded beside their copy threshold; a threshold is of use with its own measure alone."""
COPY_MEASURE: Final = 2
"""The measure of ``copy_threshold``."""


def zoomed(images: Float32[np.ndarray, "q ex ey ez"], zoom: float) -> Float32[np.ndarray, "q ex ey ez"]:
    """Images magnified about their center, by linear interpolation; the outermost values fill what is missing."""
    if zoom == 1:
        return images
    edges = np.array(images.shape[1:])
    steps = np.where(edges > 1, 1 / zoom, 1.0)
    offset = (edges - 1) / 2 * (1 - steps)
    found: Float32[np.ndarray, "q ex ey ez"] = np.empty(images.shape, np.float32)
    for image, out in zip(images, found, strict=True):
        affine_transform(image, steps, offset, output=out, order=1, mode="nearest")
    return found


def template_box(shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Largest shift and size of the template along each axis of a thumbnail."""
    shift = tuple(edge // SHIFTS_PER_EDGE if edge > 1 else 0 for edge in shape)
    return shift, tuple(edge - 2 * s for s, edge in zip(shift, shape, strict=True))


def _correlations(
    queries: Float32[np.ndarray, "q ex ey ez"], gallery: Float32[np.ndarray, "n ex ey ez"]
) -> Iterator[Float32[np.ndarray, "n moves"]]:
    """Of every query, the correlation of all its shifted and flipped views with every template."""
    shift, window = template_box(gallery.shape[1:])
    core = tuple(slice(s, s + w) for s, w in zip(shift, window, strict=True))
    templates = _normalized(gallery[:, *core])
    for query in queries:
        yield np.concatenate([_products(view, templates, window) for view in symmetries(query)], axis=1)


def correlations(
    view: Float32[np.ndarray, "ux uy uz"], templates: Float32[np.ndarray, "n wx wy wz"]
) -> Float32[np.ndarray, "n shifts"]:
    """Normalized cross-correlation of every template with every part of its size of a view; 0 where one is constant."""
    return _products(view, _normalized(templates), templates.shape[1:])


def _normalized(templates: Float32[np.ndarray, "n wx wy wz"]) -> Float32[np.ndarray, "n voxels"]:
    """Templates of mean 0 and norm 1, or 0 where they are constant."""
    flat = templates.reshape(len(templates), int(np.prod(templates.shape[1:])))
    flat = flat - flat.mean(axis=1, keepdims=True)
    unit: Float32[np.ndarray, "n voxels"] = flat * _inverse(np.linalg.norm(flat, axis=1, keepdims=True))
    return unit


def _products(
    view: Float32[np.ndarray, "ux uy uz"], templates: Float32[np.ndarray, "n voxels"], window: tuple[int, ...]
) -> Float32[np.ndarray, "n shifts"]:
    """The correlations of normalized templates of this shape."""
    windows = sliding_window_view(view, window).reshape(-1, templates.shape[1])
    # Templates have mean 0, so that the mean of a window cancels in the product.
    squares = np.maximum(np.einsum("mv,mv->m", windows, windows) - windows.sum(axis=1) ** 2 / windows.shape[1], 0)
    found: Float32[np.ndarray, "n shifts"] = templates @ windows.T * _inverse(np.sqrt(squares))
    return found


@final
@dataclass(frozen=True)
class Move:
    """How a query is moved onto a gallery image: zoomed, then flipped or turned, then shifted.

    Attributes:
        zoom: magnification about the center.
        symmetry: number of the flip or quarter turn in the order of ``symmetries``.
        inverted: whether its contrast is inverted.
        start: first voxel along each axis of the part of the query that matches the template; without a shift, that
            of the template.
    """

    zoom: float
    symmetry: int
    inverted: bool
    start: tuple[int, int, int]


def best_moves(query: Float32[np.ndarray, "ex ey ez"], images: Float32[np.ndarray, "n ex ey ez"]) -> list[Move]:
    """The move at which a query is most similar to each of some gallery images in a search; all are thumbnails."""
    shift, _ = template_box(images.shape[1:])
    starts = tuple(2 * s + 1 for s in shift)
    rows = np.stack([next(_correlations(zoomed(query[None], zoom), images)) for zoom in ZOOMS], axis=1)
    shape = (len(ZOOMS), rows.shape[2] // int(np.prod(starts)), *starts)
    moves = []
    for row in rows.reshape(len(images), -1):
        place = int(np.abs(row).argmax())
        zoom, symmetry, x, y, z = (int(each) for each in np.unravel_index(place, shape))
        moves.append(Move(ZOOMS[zoom], symmetry, bool(row[place] < 0), (x, y, z)))
    return moves


def symmetries(query: Shaped[np.ndarray, "ex ey ez"]) -> Iterator[Shaped[np.ndarray, "_ _ ez"]]:
    """The eight symmetries of the square, or the eight flips of the cube."""
    sides = (query, query.swapaxes(0, 1)) if query.shape[2] == 1 else (query, query[:, :, ::-1])
    for side in sides:
        yield from (side, side[::-1], side[:, ::-1], side[::-1, ::-1])


def _inverse(norms: Float32[np.ndarray, "*n"]) -> Float32[np.ndarray, "*n"]:
    """1 / norm; 0 for constant images, which are similar to none."""
    constant = norms == 0
    inverse: Float32[np.ndarray, "*n"] = np.where(constant, 0, 1 / np.where(constant, 1, norms))
    return inverse
