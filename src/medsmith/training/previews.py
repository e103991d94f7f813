"""A grid of cases as a picture."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy.ndimage import binary_dilation

from medsmith.cases.case import Case
from medsmith.formats.atomic import write_bytes
from medsmith.methods.base import Method

COUNT, COLUMNS, TILE = 8, 4, 128
OUTLINE = (255, 160, 0)


def write_samples(method: Method, path: Path) -> None:
    """Previews of a method in training, image beside mask outline."""
    cases = method.preview(COUNT)
    picture = BytesIO()
    Image.fromarray(contact_sheet(cases, COLUMNS)).save(picture, "PNG")
    write_bytes(path, picture.getvalue())


def contact_sheet(cases: Sequence[Case], columns: int) -> UInt8[np.ndarray, "h w 3"]:
    """Cases side by side, each as its image and, to the right, the same with the labels outlined."""
    tiles = [np.concatenate([grey_slice(case), outlined_slice(case)], axis=1) for case in cases]
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[start : start + columns], axis=1) for start in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def grey_slice(case: Case) -> UInt8[np.ndarray, "h w 3"]:
    """The slice with most labelled voxels, its grey values stretched to the case's 0.5-99.5 percentiles.

    Black where there is no image; the middle slice where there are no labels.
    """
    if case.image is None:
        return np.zeros((TILE, TILE, 3), np.uint8)
    plane = case.image[0, :, :, _busiest(case)]
    low, high = np.percentile(case.image[0], (0.5, 99.5))
    grey = np.clip((plane - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    tile = np.asarray(Image.fromarray(grey.T).resize((TILE, TILE), Image.Resampling.BICUBIC))
    return np.repeat(tile[..., None], 3, axis=2)


def outlined_slice(case: Case) -> UInt8[np.ndarray, "h w 3"]:
    """The same slice with the border of every label drawn."""
    tile = grey_slice(case).copy()
    if case.labels is None:
        return tile
    plane = Image.fromarray(case.labels[:, :, _busiest(case)].T)
    labels = np.asarray(plane.resize((TILE, TILE), Image.Resampling.NEAREST))
    for value in np.unique(labels[labels > 0]):
        inside = labels == value
        tile[binary_dilation(inside) & ~inside] = OUTLINE
    return tile


def _busiest(case: Case) -> int:
    if case.labels is None:
        return case.geometry.shape[2] // 2
    return int((case.labels > 0).sum(axis=(0, 1)).argmax())
