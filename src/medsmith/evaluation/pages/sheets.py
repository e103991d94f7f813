"""Contact sheets: images with mask outlines in one PNG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import final

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageColor, ImageDraw
from scipy.ndimage import binary_erosion

from medsmith.cases.display import displayed
from medsmith.evaluation.fidelity.extractors import planes
from medsmith.evaluation.fidelity.views import View

TILE = 144
_GAP, _TITLE = 6, 16
_CHARACTER = 6
"""Width of a character of the built-in font, pixels."""
_BACKGROUND, _TEXT = (255, 255, 255), (40, 48, 60)
OUTLINES = (
    *("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00"),
    *("#3b82f6", "#ff6f91", "#b6e36b", "#c4a1ff"),
)
"""Colors of the labels 1, 2, ..., repeated where there are more. The first six are of the palette of Okabe and Ito,
distinguishable with color vision deficiency and on black."""


@final
@dataclass(frozen=True, eq=False)
class Tile:
    """An image with the labels to outline on it.

    Attributes:
        image: gray values from 0 to 255, x to the right and y down; see ``medsmith.cases.display``.
        labels: on the same grid; all zero for no outline.
        title: short text above it.
        colors: of the outlines of the labels 1, 2, ..., repeated where there are more.
        pixel: relative width and height of a pixel.
    """

    image: Float32[np.ndarray, "x y"]
    labels: UInt8[np.ndarray, "x y"]
    title: str = ""
    colors: Sequence[str] = OUTLINES
    pixel: tuple[float, float] = (1.0, 1.0)

    def color(self, label: int) -> str:
        """Color of the outline of a label, as #rrggbb."""
        return self.colors[(label - 1) % len(self.colors)]

    def legend(self, names: Mapping[str, int]) -> dict[str, str]:
        """Name -> color of every label that is outlined.

        Args:
            names: label name -> value.
        """
        present = set(np.unique(self.labels).tolist()) - {0}
        return {name: self.color(value) for name, value in names.items() if value in present}


def size_within(edge: int, shape: tuple[int, ...], pixel: tuple[float, float]) -> tuple[int, int]:
    """Width and height, in pixels, of an image that fills a square as far as its proportions let it.

    Args:
        edge: of the square, pixels.
        shape: number of the image's own pixels along x and y.
        pixel: relative width and height of one of them.
    """
    extent = [count * size for count, size in zip(shape, pixel, strict=True)]
    width, height = (max(1, round(edge * length / max(extent))) for length in extent)
    return width, height


def plane_tiles(view: View) -> list[Tile]:
    """A 2-D view, or the sagittal, coronal and axial slices of a volume (``planes``), as displayed and with its id."""
    voxel = view.proportions
    pixels = [(voxel[0], voxel[1])] if view.image.shape[2] == 1 else [voxel[1:], (voxel[0], voxel[2]), voxel[:2]]
    return [
        Tile(displayed(image, view.oriented), displayed(labels, view.oriented), view.id, pixel=pixel)
        for (image, labels), pixel in zip(planes(view), pixels, strict=True)
    ]


def side_by_side(tiles: Sequence[Tile], title: str) -> Tile:
    """Tiles of one height as one, with white between them, and their outlines.

    Args:
        tiles: at least one; the first gives the colors and the shape of a pixel.
        title: of the whole.
    """
    height = tiles[0].image.shape[1]
    gap = np.zeros((max(1, height // 32), height), np.uint8)
    images, labels = [tiles[0].image], [tiles[0].labels]
    for tile in tiles[1:]:
        images += [gap.astype(np.float32) + 255, tile.image]
        labels += [gap, tile.labels]
    return replace(tiles[0], image=np.concatenate(images), labels=np.concatenate(labels), title=title)


def legend_of(tiles: Sequence[Tile], names: Mapping[str, int]) -> dict[str, str]:
    """Name -> color of every label that is outlined on any tile, in the order of the names.

    Args:
        tiles: with outlines of the same colors.
        names: label name -> value.
    """
    found = {name: color for tile in tiles for name, color in tile.legend(names).items()}
    return {name: found[name] for name in names if name in found}


def contact_sheet(rows: Sequence[Sequence[Tile]], edge: int = TILE) -> bytes:
    """Render tiles in rows as a PNG, each with its own proportions in the middle of a square.

    Args:
        rows: at least one tile; rows may differ in length.
        edge: of the squares, pixels.
    """
    columns = max(len(row) for row in rows)
    step_x, step_y = edge + _GAP, edge + _TITLE + _GAP
    sheet = Image.new("RGB", (columns * step_x - _GAP, len(rows) * step_y - _GAP), _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        for column, tile in enumerate(row):
            corner = (column * step_x, number * step_y)
            pen.text((corner[0] + 2, corner[1] + 2), _shortened(tile.title, edge // _CHARACTER), fill=_TEXT)
            drawn = _render(tile, edge)
            margin = [(edge - length) // 2 for length in drawn.size]
            sheet.paste(drawn, (corner[0] + margin[0], corner[1] + _TITLE + margin[1]))
    buffer = BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _shortened(title: str, most: int) -> str:
    """The title, without its middle where it has too many characters."""
    plain, kept = title.encode("latin-1", "replace").decode("latin-1"), most // 2 - 1
    return plain if len(plain) <= most else plain[:kept] + ".." + plain[-kept:]


def _render(tile: Tile, edge: int) -> Image.Image:
    """The tile at its final size, with outlines one pixel wide."""
    size = size_within(edge, tile.image.shape, tile.pixel)
    gray = Image.fromarray(np.rint(np.clip(tile.image, 0, 255)).astype(np.uint8).T)
    pixels = np.array(gray.resize(size, Image.Resampling.BICUBIC).convert("RGB"))
    labels = np.array(Image.fromarray(tile.labels.T).resize(size, Image.Resampling.NEAREST))
    for value in np.unique(labels[labels > 0]):
        inside = labels == value
        pixels[inside & ~binary_erosion(inside)] = ImageColor.getrgb(tile.color(int(value)))
    return Image.fromarray(pixels)
