"""A grid of images with a title per row and column and a line of text under each, as PNG bytes."""

from collections.abc import Mapping, Sequence
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Patch

from medsmith.evaluation.pages.sheets import Tile

_EDGE, _LINE = 1.75, 0.13
"""Heights of an image and of a line of text, inches."""
_KEY, _CHARACTER = (0.5, 0.18), 0.07
"""Width of a key of the legend without its name, its height, and the width of a character of the name, inches."""
_DPI = 110


def image_grid(
    rows: Sequence[tuple[str, Sequence[Tile | None]]],
    columns: Sequence[str] = (),
    title: str = "",
    legend: Mapping[str, str] | None = None,
) -> bytes:
    """Draw the grid; equal tiles give equal bytes.

    Args:
        rows: title and tiles of each row; the title of a tile stands under it; None leaves a place empty. Rows may
            differ in length. A column is as wide as its widest tile; all tiles have one height.
        columns: titles above the columns; none by default.
        title: above all.
        legend: name -> color of what is outlined, below all.
    """
    figure, grid = _layout(rows, legend or {})
    figure.suptitle(title, fontsize=9)
    for row, (name, tiles) in enumerate(rows):
        for column, tile in enumerate(tiles):
            axes = figure.add_subplot(grid[row, column])
            if row == 0 and column < len(columns):
                axes.set_title(columns[column], fontsize=8)
            if column == 0:
                axes.set_ylabel(name, fontsize=8)
            _draw(axes, tile)
    if legend:
        _add_legend(figure, legend)
    FigureCanvasAgg(figure)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _layout(rows: Sequence[tuple[str, Sequence[Tile | None]]], legend: Mapping[str, str]) -> tuple[Figure, GridSpec]:
    """A figure with room for all text, and its grid."""
    across = max(len(tiles) for _, tiles in rows)
    aspects = [max(_aspect(tiles[column]) for _, tiles in rows if column < len(tiles)) for column in range(across)]
    text = _LINE * (1 + max(tile.title.count("\n") for _, tiles in rows for tile in tiles if tile is not None))
    left, gap, above = 0.45, 0.1, 0.55
    width = left + sum(aspects) * _EDGE + across * gap
    below = 0.15 + text + _KEY[1] * -(-len(legend) // _keys_across(legend, width))
    height = above + len(rows) * _EDGE + (len(rows) - 1) * (text + gap) + below
    figure = Figure(figsize=(width, height))
    grid = GridSpec(
        len(rows),
        across,
        figure=figure,
        width_ratios=aspects,
        left=left / width,
        right=1 - gap / width,
        bottom=below / height,
        top=1 - above / height,
        wspace=gap * across / (sum(aspects) * _EDGE),
        hspace=(text + gap) / _EDGE,
    )
    return figure, grid


def _aspect(tile: Tile | None) -> float:
    """Width of a tile as a multiple of its height; 0 of an empty place."""
    if tile is None:
        return 0.0
    width, height = (count * size for count, size in zip(tile.image.shape, tile.pixel, strict=True))
    return float(width / height)


def _draw(axes: Axes, tile: Tile | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if tile is None:
        axes.set_frame_on(False)
        return
    aspect = tile.pixel[1] / tile.pixel[0]
    axes.imshow(tile.image.T, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect=aspect)
    for value in sorted({int(value) for value in tile.labels.flat} - {0}):
        color = tile.color(value)
        axes.contour((tile.labels == value).T.astype(float), levels=[0.5], colors=[color], linewidths=0.8)
    axes.set_xlabel(tile.title, fontsize=7)


def _keys_across(legend: Mapping[str, str], width: float) -> int:
    """How many keys of the legend fit side by side, with room for the longest name in each column."""
    longest = max(map(len, legend), default=0)
    return max(1, int(width / (_KEY[0] + _CHARACTER * longest)))


def _add_legend(figure: Figure, legend: Mapping[str, str]) -> None:
    patches = [Patch(facecolor=color, edgecolor="gray", label=name) for name, color in legend.items()]
    across = min(len(patches), _keys_across(legend, figure.get_figwidth()))
    figure.legend(
        handles=patches, loc="lower center", ncols=across, fontsize=8, frameon=False, columnspacing=1, borderaxespad=0.2
    )
