"""Cases as small pictures: a grid of slices, plain and with the labels outlined."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy.ndimage import binary_dilation

from medsmith.cases.case import Case
from medsmith.cases.display import displayed
from medsmith.evaluation.pages.sheets import size_within
from medsmith.geometry import Geometry

TILE = 128
OUTLINE = (255, 160, 0)


def preview_grid(cases: Sequence[Case], columns: int) -> UInt8[np.ndarray, "h w 3"]:
    """A grid of cases: each image and, to the right, the same with the labels outlined, if any case has both.

    Args:
        cases: at least one.
        columns: cases per row.
    """
    views = [draw for _, draw in views_of(cases)]
    tiles = [np.concatenate([draw(case) for draw in views], axis=1) for case in cases]
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[start : start + columns], axis=1) for start in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def views_of(cases: Sequence[Case]) -> list[tuple[str, Callable[[Case], UInt8[np.ndarray, "h w 3"]]]]:
    """What is drawn of each case, in words and by which function."""
    if all(case.labels is None for case in cases):
        return [("image", gray_slice)]
    if all(case.image is None for case in cases):
        return [("label map, outlined", outlined_slice)]
    return [("image", gray_slice), ("image with its labels outlined", outlined_slice)]


def gray_slice(case: Case) -> UInt8[np.ndarray, "h w 3"]:
    """The slice with most labeled voxels, its gray values from the 0.5 to the 99.5 percentile of the case.

    Black where there is no image; the middle slice where there are no labels.
    """
    if case.image is None:
        return np.zeros((TILE, TILE, 3), np.uint8)
    plane = case.image[0, :, :, _slice_index(case)]
    low, high = np.percentile(case.image[0], (0.5, 99.5))
    gray = np.clip((plane - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    return np.repeat(_tile(gray, case.geometry, Image.Resampling.BICUBIC)[..., None], 3, axis=2)


def outlined_slice(case: Case) -> UInt8[np.ndarray, "h w 3"]:
    """The slice of ``gray_slice`` with the outline of every label."""
    tile = gray_slice(case).copy()
    if case.labels is None:
        return tile
    labels = _tile(case.labels[:, :, _slice_index(case)], case.geometry, Image.Resampling.NEAREST)
    for value in np.unique(labels[labels > 0]):
        inside = labels == value
        tile[binary_dilation(inside) & ~inside] = OUTLINE
    return tile


def _tile(plane: UInt8[np.ndarray, "x y"], grid: Geometry, how: Image.Resampling) -> UInt8[np.ndarray, "h w"]:
    """The slice as displayed, with its own proportions in the middle of a tile of zeros."""
    size = size_within(TILE, plane.shape, grid.spacing[:2])
    left, top = ((TILE - length) // 2 for length in size)
    tile = np.zeros((TILE, TILE), np.uint8)
    drawn = Image.fromarray(displayed(plane, grid.spacing_known).T).resize(size, how)
    tile[top : top + size[1], left : left + size[0]] = np.asarray(drawn)
    return tile


def _slice_index(case: Case) -> int:
    if case.labels is None:
        return case.geometry.shape[2] // 2
    return int((case.labels > 0).sum(axis=(0, 1)).argmax())
