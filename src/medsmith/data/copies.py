"""Copies among images: a search over thumbnails, then a comparison of the candidates in finer detail.

The search (``data.similarity``) ranks all pairs by coarse structure, which different images of one organ share: axial
CT slices of different patients reach .9. The candidates of each query are therefore compared on a grid of twice the
resolution, with finer detail in the pass band, after the move that the search found has been refined: zoom to 1.5 %,
shifts to one voxel of that grid. The similarity is the largest normalized cross-correlation. It is 1 for a copy,
whatever its brightness, its contrast and the sign of that. Few shifts are compared, so that a matrix product is cheaper
than a Fourier transform.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import final

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import gaussian_filter, shift

from medsmith.data.resizing import resize
from medsmith.data.similarity import (
    EXACT,
    Move,
    best_moves,
    correlations,
    search,
    symmetries,
    template_box,
    thumbnails,
    within_reach,
    zoomed,
)

FINE_2D, FINE_3D = 64, 32
"""Edges of the fine grid; twice those of thumbnails."""
CANDIDATES = 8
"""Gallery images that are compared with a query in fine detail."""
_COARSE, _FINE = 1 / 16, 1 / 90
"""Pass band on the fine grid, as in ``data.similarity``: twice the frequency at its upper end."""
_ZOOM_STEPS = (-0.06, -0.03, 0.0, 0.03, 0.06)
"""Of the refinement, relative to the zoom of the search."""
_REACH = 2
"""Largest shift of the refinement, voxels of the fine grid."""
_FLAT = 1e-5
_Pair = tuple[float, Move]
_Zoom = Callable[[float], Float32[np.ndarray, "fx fy fz"]]


@final
@dataclass(frozen=True, eq=False)
class Searchable:
    """Images prepared for the search: 20 KiB for each picture, 144 KiB for each volume.

    Attributes:
        coarse: thumbnails, for the search.
        fine: on the fine grid, band-passed.
    """

    coarse: Float32[np.ndarray, "n ex ey ez"]
    fine: Float32[np.ndarray, "n fx fy fz"]

    def __len__(self) -> int:
        return len(self.coarse)

    @classmethod
    def of(cls, images: Iterable[Float32[np.ndarray, "c x y z"]]) -> "Searchable":
        """From images of any size, all 2-D or all 3-D; channels are averaged, the view stretched to a square."""
        coarse, fine = [], []
        for image in images:
            coarse.append(thumbnails([image])[0])
            fine.append(_fine(image))
        return cls(np.stack(coarse), np.stack(fine)) if coarse else cls(*(np.zeros((0, 1, 1, 1), np.float32),) * 2)

    def take(self, rows: Sequence[int]) -> "Searchable":
        """Some of the images."""
        return Searchable(self.coarse[list(rows)], self.fine[list(rows)])


def joined(parts: Sequence[Searchable]) -> Searchable:
    """The images of several, at least one of which has some."""
    filled = [part for part in parts if len(part)]
    return Searchable(np.concatenate([part.coarse for part in filled]), np.concatenate([part.fine for part in filled]))


def _fine(image: Float32[np.ndarray, "c x y z"]) -> Float32[np.ndarray, "fx fy fz"]:
    flat = image.shape[-1] == 1
    edge = FINE_2D if flat else FINE_3D
    small = resize(within_reach(image).mean(axis=0, dtype=np.float32), (edge, edge, 1 if flat else edge))
    axes = (0, 1) if flat else (0, 1, 2)
    fine, coarse = (gaussian_filter(small, edge * w, mode="nearest", axes=axes) for w in (_FINE, _COARSE))
    band: Float32[np.ndarray, "fx fy fz"] = fine - coarse
    return band if np.abs(band).max() > _FLAT * np.abs(small).max() else np.zeros_like(band)


@final
@dataclass(frozen=True)
class Match:
    """The gallery image that a query is most similar to in fine detail.

    Attributes:
        index: of the gallery image.
        similarity: in fine detail, from -1 to 1.
        searched: largest similarity of the query to any gallery image in the search: that of the synthesis check.
        move: of the query onto the gallery image; its start counts voxels of the fine grid.
    """

    index: int
    similarity: float
    searched: float
    move: Move

    @property
    def is_exact(self) -> bool:
        """Whether the similarity is 1 within rounding."""
        return self.similarity >= EXACT

    def as_json(self) -> Mapping[str, object]:
        """The match as JSON values."""
        move = self.move
        return {
            "index": self.index,
            "similarity": self.similarity,
            "searched": self.searched,
            "zoom": move.zoom,
            "symmetry": move.symmetry,
            "inverted": move.inverted,
            "start": list(move.start),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "Match":
        """The match of ``as_json``."""
        start: Sequence[int] = values["start"]  # type: ignore[assignment]
        move = Move(
            float(str(values["zoom"])),
            int(str(values["symmetry"])),
            values["inverted"] is True,
            (int(start[0]), int(start[1]), int(start[2])),
        )
        similarity, searched = (float(str(values[name])) for name in ("similarity", "searched"))
        return cls(int(str(values["index"])), similarity, searched, move)


@final
@dataclass(frozen=True, eq=False)
class Found:
    """Matches of queries in a gallery.

    Attributes:
        matches: one for each query.
        reached: of each gallery image, the largest similarity to any query in the search.
    """

    matches: tuple[Match, ...]
    reached: Float32[np.ndarray, " n"]


def find_matches(queries: Searchable, gallery: Searchable, own: Sequence[int] | None = None) -> Found:
    """The most similar gallery image of every query.

    Args:
        queries: at least one.
        gallery: at least one, or two with ``own``.
        own: for each query, the gallery image that is not compared with it: itself.
    """
    scores = search(queries.coarse, gallery.coarse)
    if own is not None:
        scores[np.arange(len(scores)), list(own)] = -1
    return Found(tuple(_match(queries, row, gallery, each) for row, each in enumerate(scores)), scores.max(axis=0))


def _match(queries: Searchable, row: int, gallery: Searchable, scores: Float32[np.ndarray, " n"]) -> Match:
    """The best of the candidates of a query."""
    order = np.argsort(-scores, kind="stable")[:CANDIDATES]
    candidates = order[scores[order] > -1]
    ratio = [f // c for f, c in zip(gallery.fine.shape[1:], gallery.coarse.shape[1:], strict=True)]
    best, found = (-1.0, Move(1.0, 0, False, (0, 0, 0))), int(candidates[0])
    # Candidates begin at few zooms, and zooming takes as long as comparing.
    zoom_of_query = cache(partial(_zoomed, queries.fine[row]))
    for index, move in zip(candidates, best_moves(queries.coarse[row], gallery.coarse[candidates]), strict=True):
        x, y, z = (start * r for start, r in zip(move.start, ratio, strict=True))
        pair = _compared(zoom_of_query, gallery.fine[index], replace(move, start=(x, y, z)))
        if pair[0] > best[0]:
            best, found = pair, int(index)
    return Match(found, best[0], float(scores.max()), best[1])


def _compared(zoom_of_query: _Zoom, image: Float32[np.ndarray, "fx fy fz"], begin: Move) -> _Pair:
    """Similarity and move of a pair in fine detail, beginning at a move of the search, in voxels of the fine grid."""
    low, size = template_box(image.shape)
    template = _part(image, low, size)[None]
    first = tuple(max(0, start - (_REACH if s else 0)) for start, s in zip(begin.start, low, strict=True))
    last = tuple(min(2 * s, start + (_REACH if s else 0)) for start, s in zip(begin.start, low, strict=True))
    reached = tuple(n + b - a for n, a, b in zip(size, first, last, strict=True))
    best: _Pair = (-1.0, begin)
    for step in _ZOOM_STEPS:
        trial = replace(begin, zoom=begin.zoom + step)
        found = correlations(_part(_turned(zoom_of_query(trial.zoom), trial), first, reached), template)[0]
        place = int(found.argmax())
        if found[place] > best[0]:
            shape = tuple(b - a + 1 for a, b in zip(first, last, strict=True))
            x, y, z = (a + int(p) for a, p in zip(first, np.unravel_index(place, shape), strict=True))
            best = float(min(found[place], 1.0)), replace(trial, start=(x, y, z))
    return best


def _part(
    image: Float32[np.ndarray, "fx fy fz"], start: Sequence[int], size: Sequence[int]
) -> Float32[np.ndarray, "u v w"]:
    return image[*(slice(s, s + n) for s, n in zip(start, size, strict=True))]


def moved(image: Float32[np.ndarray, "x y z"], move: Move) -> Float32[np.ndarray, "x y z"]:
    """An image zoomed, flipped or turned, and inverted by a move, but not shifted."""
    return _turned(_zoomed(image, move.zoom), move)


def _zoomed(image: Float32[np.ndarray, "x y z"], zoom: float) -> Float32[np.ndarray, "x y z"]:
    found: Float32[np.ndarray, "x y z"] = zoomed(np.asarray(image, np.float32)[None], zoom)[0]
    return found


def _turned(image: Float32[np.ndarray, "x y z"], move: Move) -> Float32[np.ndarray, "x y z"]:
    """A zoomed image, flipped or turned, and inverted by a move."""
    view = list(symmetries(image))[move.symmetry]
    return -view if move.inverted else view


def overlaid(image: Float32[np.ndarray, "x y z"], move: Move) -> Float32[np.ndarray, "x y z"]:
    """An image on the grid of the gallery image that it was moved onto, with any number of voxels per edge.

    Args:
        image: a square or a cube with the field of view of the query.
        move: of a match.
    """
    fine = tuple(1 if edge == 1 else FINE_2D if image.shape[2] == 1 else FINE_3D for edge in image.shape)
    low, _ = template_box(fine)
    voxels = [(s - a) * edge / f for s, a, edge, f in zip(low, move.start, image.shape, fine, strict=True)]
    found: Float32[np.ndarray, "x y z"] = shift(moved(image, move), voxels, order=1, mode="nearest")
    return found
