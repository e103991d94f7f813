"""A picture of a shape space: the mean anatomy, and the first components at two standard deviations to either side."""

from io import BytesIO

import numpy as np
from jaxtyping import Float32, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from medsmith.anatomy.contours import paint
from medsmith.anatomy.drawing import contours_of, decode
from medsmith.anatomy.record import SpaceRecord
from medsmith.anatomy.shape_space import ShapeSpace
from medsmith.cases.display import displayed

_DEVIATIONS = (-2.0, 0.0, 2.0)
_COMPONENTS = 4
_EDGE = 256
_DPI = 110
_BACKGROUND = (0.08, 0.08, 0.1)
_CONTEXT = ((0.36, 0.36, 0.4), (0.2, 0.27, 0.38), (0.75, 0.73, 0.66))


def draw_components(space: ShapeSpace) -> bytes:
    """A PNG picture: a row per component, columns at -2, 0 and 2 standard deviations; equal spaces give equal bytes.

    Structures are those of the most frequent pattern; see ``medsmith.cases.display`` for the axes.
    """
    record = space.record
    rows = max(1, min(_COMPONENTS, len(record.explained)))
    figure = Figure(figsize=(2.2 * len(_DEVIATIONS), 2.2 * rows + 1.0))
    figure.subplots_adjust(0.07, 0.45 / (2.2 * rows + 1), 0.99, 1 - 0.7 / (2.2 * rows + 1), 0.04, 0.06)
    for row in range(rows):
        for column, deviation in enumerate(_DEVIATIONS):
            axes = figure.add_subplot(rows, len(_DEVIATIONS), row * len(_DEVIATIONS) + column + 1)
            axes.imshow(_as_picture(record, _regions(space, row, deviation)), interpolation="nearest")
            _label(axes, record, row, column)
    figure.suptitle(_title(record), fontsize=9)
    colors = class_colors(record)
    present = [name for name, value in record.region_names.items() if value in record.paint_order]
    patches = [Patch(color=tuple(colors[record.region_names[name]]), label=name) for name in present]
    figure.legend(handles=patches, loc="lower center", ncols=min(len(patches), 6), fontsize=8, frameon=False)
    FigureCanvasAgg(figure)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def class_colors(record: SpaceRecord) -> Float32[np.ndarray, "256 3"]:
    """Value of a class -> red, green, blue in [0, 1]: bright for labels, muted for context."""
    colors = np.zeros((256, 3), dtype=np.float32)
    colors[0] = _BACKGROUND
    bright = colormaps["Set1"].colors  # type: ignore[attr-defined]
    labels = [value for value in record.label_names.values() if value]
    for index, value in enumerate(labels):
        colors[value] = bright[index % len(bright)]
    for index, value in enumerate(record.context_names.values()):
        colors[value] = _CONTEXT[index % len(_CONTEXT)]
    return colors


def _regions(space: ShapeSpace, component: int, deviation: float) -> UInt8[np.ndarray, "x y"]:
    scores = np.zeros(len(space.arrays.components))
    scores[component : component + 1] = deviation
    drawn = decode(space.arrays, np.array(space.record.patterns[0].slots, dtype=np.int64), scores)
    record = space.record
    return paint(contours_of(record, drawn), record.paint_order, (_EDGE, _EDGE), record.within)


def _as_picture(record: SpaceRecord, regions: UInt8[np.ndarray, "x y"]) -> Float32[np.ndarray, "y x 3"]:
    return np.asarray(class_colors(record)[displayed(regions, record.extent_mm is not None).T])


def _label(axes: Axes, record: SpaceRecord, row: int, column: int) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    deviation = _DEVIATIONS[column]
    if row == 0:
        axes.set_title("mean" if deviation == 0 else f"{deviation:+g} sd", fontsize=8)
    if column == 0 and row < len(record.explained):
        axes.set_ylabel(f"component {row + 1}: {record.explained[row]:.0%}", fontsize=8)


def _title(record: SpaceRecord) -> str:
    kept = f"{len(record.explained)} components, {sum(record.explained):.1%} of the variance"
    return f"{record.cases} slices; {kept}\n{record.rejection.rate:.0%} of the drawn anatomies are rejected"
