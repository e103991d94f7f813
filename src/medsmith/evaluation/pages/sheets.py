"""Contact sheets: images with mask outlines in one PNG."""

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
_BACKGROUND, _TEXT = (255, 255, 255), (40, 48, 60)
# The palette of Okabe and Ito, distinguishable with color vision deficiency.
_OUTLINES = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0))


@final
@dataclass(frozen=True, eq=False)
class Tile:
    """An image with the labels to outline on it.

    Attributes:
        image: gray values from 0 to 255, x to the right and y down; see ``medsmith.cases.display``.
        labels: on the same grid; all zero for no outline.
        title: short text above it.
    """

    image: Float32[np.ndarray, "x y"]
    labels: UInt8[np.ndarray, "x y"]
    title: str = ""


def contact_sheet(rows: Sequence[Sequence[Tile]]) -> bytes:
    """Render tiles in rows, all of one size, as a PNG.

    Args:
        rows: at least one tile; rows may differ in length.
    """
    columns = max(len(row) for row in rows)
    step_x, step_y = TILE + _GAP, TILE + _TITLE + _GAP
    sheet = Image.new("RGB", (columns * step_x - _GAP, len(rows) * step_y - _GAP), _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        for column, tile in enumerate(row):
            corner = (column * step_x, number * step_y)
            pen.text((corner[0] + 2, corner[1] + 2), _shortened(tile.title), fill=_TEXT)
            sheet.paste(_render(tile), (corner[0], corner[1] + _TITLE))
    buffer = BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _shortened(title: str) -> str:
    """The title shortened to the tile's width, in characters of the built-in font."""
    plain = title.encode("latin-1", "replace").decode("latin-1")
    return plain if len(plain) <= 24 else plain[:11] + ".." + plain[-11:]


def _render(tile: Tile) -> Image.Image:
    """The tile at its final size, with outlines one pixel wide."""
    edge = (TILE, TILE)
    gray = Image.fromarray(np.rint(np.clip(tile.image, 0, 255)).astype(np.uint8).T)
    pixels = np.array(gray.resize(edge, Image.Resampling.BICUBIC).convert("RGB"))
    labels = np.array(Image.fromarray(tile.labels.T).resize(edge, Image.Resampling.NEAREST))
    for value in np.unique(labels[labels > 0]):
        inside = labels == value
        pixels[inside & ~binary_erosion(inside)] = _OUTLINES[(int(value) - 1) % len(_OUTLINES)]
    return Image.fromarray(pixels)
