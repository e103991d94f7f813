"""The picture of the loop: Dice of each turn beside the control, and unlabeled slices with their labels."""

from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from medsmith.annotation.result import Annotation
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.display import displayed
from medsmith.evaluation.pages.figures import REAL, SYNTHETIC

# The palette of Okabe and Ito, distinguishable with color vision deficiency.
_COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2")
_SLICES, _COLUMNS, _DPI = 8, 4, 110


def draw_picture(annotation: Annotation, annotated: Cohort) -> bytes:
    """The picture as PNG; equal results give equal bytes.

    Args:
        annotation: the result.
        annotated: the unlabeled cases with their labels.
    """
    figure = Figure(figsize=(12.5, 5.2))
    grid = GridSpec(
        1, 2, figure=figure, width_ratios=(1, 1.55), left=0.05, right=0.995, top=0.9, bottom=0.2, wspace=0.06
    )
    _draw_curves(figure.add_subplot(grid[0]), annotation)
    chosen = np.unique(np.linspace(0, len(annotated) - 1, _SLICES).round().astype(int))
    panels = grid[1].subgridspec(-(-len(chosen) // _COLUMNS), _COLUMNS, hspace=0.12, wspace=0.03)
    for place, index in enumerate(chosen):
        axes = figure.add_subplot(panels[place // _COLUMNS, place % _COLUMNS])
        _draw_slice(axes, annotated[annotated.ids[index]], len(annotation.best.labels))
    source = f"turn {annotation.chosen}" if annotation.chosen else "control"
    figure.text(0.41, 0.955, f"Unlabeled slices with predicted labels ({source})", fontsize=9)
    buffer = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _draw_curves(axes: Axes, annotation: Annotation) -> None:
    turns = [turn.number for turn in annotation.turns]
    control = annotation.control.measured
    names = control.counted
    for name in names if len(names) > 1 else ():
        color = _color(control.labels.index(name) + 1)
        values = [turn.measured.label_estimates[name].value for turn in annotation.turns]
        axes.plot(turns, values, "o-", color=color, linewidth=1, markersize=3, label=name)
        axes.axhline(control.label_estimates[name].value, color=color, linewidth=0.8, linestyle=":")
    level = control.estimate
    axes.axhspan(level.low, level.high, color=REAL, alpha=0.12, linewidth=0)
    axes.axhline(level.value, color=REAL, linestyle="--", label="mean of the control")
    found = [turn.measured.estimate for turn in annotation.turns]
    errors = [[max(each.value - each.low, 0) for each in found], [max(each.high - each.value, 0) for each in found]]
    means = [each.value for each in found]
    axes.errorbar(turns, means, yerr=errors, fmt="o-", color=SYNTHETIC, capsize=4, label="mean of the turn")
    axes.set_xticks(turns)
    axes.set_xlim(turns[0] - 0.4, turns[-1] + 0.4)
    axes.set_xlabel("turn", fontsize=8)
    axes.set_ylabel(f"Dice on withheld cases (95 % interval over {control.unit})", fontsize=8)
    axes.set_title("Dotted: the control, label by label", fontsize=8)
    axes.legend(fontsize=7, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_slice(axes: Axes, case: Case, labels: int) -> None:
    oriented = case.geometry.spacing_known
    image = displayed(case.require_image()[0, :, :, 0], oriented).T
    found = displayed(case.require_labels()[:, :, 0], oriented).T
    low, high = np.percentile(image, (0.5, 99.5))
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6))
    shown = np.ma.masked_equal(found, 0)
    colors = ListedColormap([_color(value) for value in range(1, labels + 1)])
    axes.imshow(shown, cmap=colors, vmin=1, vmax=max(labels, 2), alpha=0.35, interpolation="nearest")
    for value in np.unique(found[found > 0]):
        axes.contour(found == value, levels=[0.5], colors=[_color(int(value))], linewidths=0.9)
    axes.set_axis_off()
    axes.set_title(case.id if len(case.id) <= 22 else f"{case.id[:9]}..{case.id[-10:]}", fontsize=6, pad=2)


def _color(value: int) -> str:
    return _COLORS[(value - 1) % len(_COLORS)]
