"""Contact sheets: many pictures with their mask outlines in one PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import final

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

TILE = 144
_GAP, _TITLE = 6, 16
_PAPER, _INK = (255, 255, 255), (40, 48, 60)
# Okabe and Ito's colours, told apart by colour-blind readers too.
_OUTLINES = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0))


@final
@dataclass(frozen=True, eq=False)
class Tile:
    """A picture and the labels drawn on it.

    Attributes:
        image: grey values from 0 to 255, x along the columns.
        labels: on the same grid; all zero draws nothing.
        title: a few words above it.
    """

    image: Float32[np.ndarray, "x y"]
    labels: UInt8[np.ndarray, "x y"]
    title: str = ""


def contact_sheet(rows: Sequence[Sequence[Tile]]) -> bytes:
    """Tiles in rows, all at one size, as a PNG.

    Args:
        rows: at least one tile; rows may differ in length.
    """
    columns = max(len(row) for row in rows)
    step_x, step_y = TILE + _GAP, TILE + _TITLE + _GAP
    sheet = Image.new("RGB", (columns * step_x - _GAP, len(rows) * step_y - _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        for column, tile in enumerate(row):
            corner = (column * step_x, number * step_y)
            pen.text((corner[0] + 2, corner[1] + 2), _shortened(tile.title), fill=_INK)
            sheet.paste(_drawn(tile), (corner[0], corner[1] + _TITLE))
    memory = BytesIO()
    sheet.save(memory, "PNG")
    return memory.getvalue()


def _shortened(title: str) -> str:
    """What fits above a tile, in characters that the built-in font has."""
    plain = title.encode("latin-1", "replace").decode("latin-1")
    return plain if len(plain) <= 24 else plain[:11] + ".." + plain[-11:]


def _drawn(tile: Tile) -> Image.Image:
    """The tile in its final size, outlines one pixel wide at that size."""
    edge = (TILE, TILE)
    grey = Image.fromarray(np.rint(np.clip(tile.image, 0, 255)).astype(np.uint8).T)
    pixels = np.array(grey.resize(edge, Image.Resampling.BICUBIC).convert("RGB"))
    labels = np.array(Image.fromarray(tile.labels.T).resize(edge, Image.Resampling.NEAREST))
    for value in np.unique(labels[labels > 0]):
        inside = labels == value
        pixels[inside & ~binary_erosion(inside)] = _OUTLINES[(int(value) - 1) % len(_OUTLINES)]
    return Image.fromarray(pixels)
