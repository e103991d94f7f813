"""A grid of images with a title per row and column and a line of text under each, as PNG bytes."""

from collections.abc import Sequence
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medsmith.evaluation.pages.sheets import Tile

_CELL_INCHES = (1.75, 2.05)
_DPI = 110
# Of Okabe and Ito, as the outlines of contact sheets.
_COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00")


def image_grid(rows: Sequence[tuple[str, Sequence[Tile]]], columns: Sequence[str] = (), title: str = "") -> bytes:
    """Draw the grid; equal tiles give equal bytes.

    Args:
        rows: title and tiles of each row; the title of a tile stands under it. Rows may differ in length.
        columns: titles above the columns; none by default.
        title: above all.
    """
    across = max(len(tiles) for _, tiles in rows)
    width, height = across * _CELL_INCHES[0] + 0.5, len(rows) * _CELL_INCHES[1] + 0.6
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(0.5 / width, 0.25 / height, 1 - 0.05 / width, 1 - 0.55 / height, 0.06, 0.2)
    figure.suptitle(title, fontsize=9)
    for row, (name, tiles) in enumerate(rows):
        for column, tile in enumerate(tiles):
            axes = figure.add_subplot(len(rows), across, row * across + column + 1)
            _draw(axes, tile)
            if row == 0 and column < len(columns):
                axes.set_title(columns[column], fontsize=8)
            if column == 0:
                axes.set_ylabel(name, fontsize=8)
    FigureCanvasAgg(figure)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _draw(axes: Axes, tile: Tile) -> None:
    axes.imshow(tile.image.T, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for value in sorted({int(value) for value in tile.labels.flat} - {0}):
        color = _COLORS[(value - 1) % len(_COLORS)]
        axes.contour((tile.labels == value).T.astype(float), levels=[0.5], colors=[color], linewidths=0.8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(tile.title, fontsize=7)
