"""The most similar pairs as pictures: synthetic case, the same moved onto its training case, that case, difference."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from medsmith.cases.display import displayed
from medsmith.data.copies import Match, overlaid
from medsmith.evaluation.pages.sheets import Tile, contact_sheet

PAIRS_ACROSS = 2
_MIDDLE = 127.5
Volume = Float32[np.ndarray, "x y z"]
ImageOf = Callable[[str, str], tuple[Volume, bool]]
Plane = Float32[np.ndarray, "x y"]


def pair_sheet(pairs: Sequence[tuple[str, str, Match]], image_of: ImageOf) -> bytes:
    """A PNG of pairs, four tiles each; of volumes, the middle axial slice.

    Args:
        pairs: id of the synthetic case, id of the training case, and their match.
        image_of: from "synthetic" or "training" and an id to gray values on the common grid and whether the case's
            orientation is known.
    """
    tiles: list[list[Tile]] = []
    for ours, theirs, match in pairs:
        image, oriented = image_of("synthetic", ours)
        origin, origin_oriented = image_of("training", theirs)
        fitted = _fitted(overlaid(image, match.move), origin)
        tiles.append(
            [
                _tile(image, oriented, f"{match.similarity:.3f} {ours}"),
                _tile(fitted, origin_oriented, "moved and fitted"),
                _tile(origin, origin_oriented, theirs),
                _tile(_MIDDLE + (fitted - origin) / 2, origin_oriented, "difference"),
            ]
        )
    rows = [
        [tile for pair in tiles[start : start + PAIRS_ACROSS] for tile in pair]
        for start in range(0, len(tiles), PAIRS_ACROSS)
    ]
    return contact_sheet(rows)


def _fitted(image: Volume, origin: Volume) -> Volume:
    """Gray values scaled and shifted to those of the training case by least squares."""
    x = image.astype(np.float64) - image.mean(dtype=np.float64)
    slope = float((x * origin).sum() / max(float((x**2).sum()), 1e-9))
    fitted: Volume = (slope * x + origin.mean(dtype=np.float64)).astype(np.float32)
    return fitted


def _tile(image: Volume, oriented: bool, title: str) -> Tile:
    plane: Plane = displayed(image[:, :, image.shape[2] // 2], oriented)
    return Tile(plane, np.zeros(plane.shape, np.uint8), title)


def gray(image: Volume) -> Volume:
    """Gray values from 0 to 255."""
    low, high = float(image.min()), float(image.max())
    scaled: Volume = ((image - low) * (255 / max(high - low, 1e-6))).astype(np.float32)
    return scaled
