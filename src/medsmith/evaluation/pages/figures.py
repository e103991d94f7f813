"""Figures as PNG bytes; equal numbers give equal bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import final

import numpy as np
from jaxtyping import Float, Float64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

REAL, SYNTHETIC, LIMIT = "#3b6ea5", "#d97706", "#9f1239"
READERS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""The palette of Okabe and Ito, distinguishable with color vision deficiency."""
_GUIDE = "#9aa5b4"
_DPI = 110
_BINS = 24


@final
@dataclass(frozen=True)
class Point:
    """A value with an interval, plotted as a dot with an error bar.

    Attributes:
        x: position along the x axis.
        value: the value.
        low: lower end of the interval.
        high: upper end.
    """

    x: float
    value: float
    low: float
    high: float


@final
@dataclass(frozen=True)
class Samples:
    """Real and synthetic values of one measure, for one panel of histograms.

    Attributes:
        title: of the panel.
        real: values of the real cases.
        synthetic: values of the synthetic cases.
    """

    title: str
    real: Float[np.ndarray, " n"]
    synthetic: Float[np.ndarray, " m"]


@final
@dataclass(frozen=True)
class Roc:
    """An ROC curve.

    Attributes:
        name: in the legend.
        points: false and true positive rates from (0, 0) to (1, 1).
    """

    name: str
    points: Sequence[tuple[float, float]]


def histograms(panels: Sequence[Samples], columns: int = 3) -> bytes:
    """One panel per measure: real and synthetic histograms over the same bins, as proportions of the cases."""
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.3 * rows))
    figure.subplots_adjust(0.06, 0.12 / rows, 0.99, 1 - 0.1 / rows, 0.2, 0.35)
    for index, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        _paired_histogram(axes, panel)
        if index == 0:
            axes.legend(fontsize=7, frameon=False)
    return _png(figure)


def _paired_histogram(axes: Axes, panel: Samples) -> None:
    pooled = np.concatenate([panel.real, panel.synthetic])
    low, high = float(pooled.min()), float(pooled.max())
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    for values, color, name in ((panel.real, REAL, "real"), (panel.synthetic, SYNTHETIC, "synthetic")):
        _steps(axes, values, edges, color, name)
    axes.set_ylim(bottom=0)
    axes.set_title(panel.title, fontsize=8)
    _style_axes(axes)


def _steps(
    axes: Axes, values: Float[np.ndarray, " n"], edges: Float64[np.ndarray, " ends"], color: str, name: str
) -> None:
    """Proportion of the values per bin, filled and outlined."""
    shares = np.histogram(values, edges)[0] / max(len(values), 1)
    axes.stairs(shares, edges, fill=True, color=color, alpha=0.3, label=name)
    axes.stairs(shares, edges, color=color)


def histogram_with_limit(values: Float[np.ndarray, " n"], limit: float, label: str) -> bytes:
    """Histogram of similarities with the threshold above which a case counts as a copy."""
    figure = Figure(figsize=(6.2, 2.6))
    figure.subplots_adjust(0.1, 0.2, 0.98, 0.96)
    axes = figure.add_subplot()
    _steps(axes, values, np.linspace(min(0.0, float(values.min())), 1, 51), SYNTHETIC, "synthetic")
    axes.set_ylim(bottom=0)
    axes.axvline(limit, color=LIMIT, linestyle="--", label=f"counts as a copy above {limit:.2f}")
    axes.set_xlabel(label, fontsize=8)
    axes.set_ylabel("proportion of cases", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    _style_axes(axes)
    return _png(figure)


def against_floor(panels: Sequence[tuple[str, Point, Point]]) -> bytes:
    """One panel per statistic: real against real (the floor), and real against synthetic."""
    figure = Figure(figsize=(2.1 * len(panels), 2.5))
    figure.subplots_adjust(0.07, 0.1, 0.99, 0.9, 0.4)
    for index, (title, floor, synthetic) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        for x, (point, color) in enumerate(((floor, REAL), (synthetic, SYNTHETIC))):
            _dot(axes, Point(x, point.value, point.low, point.high), color)
        axes.set_xlim(-0.6, 1.6)
        axes.set_xticks([0, 1], ["real", "synthetic"])
        axes.set_title(title, fontsize=8)
        _style_axes(axes)
    return _png(figure)


def interval_rows(panels: Sequence[tuple[str, float | None, Sequence[Sequence[Point]]]], names: Sequence[str]) -> bytes:
    """Panels that share their rows: dots with intervals along x, a row for each name, the first on top.

    Args:
        panels: label of the x axis; where a line is drawn; and series of points, whose x is the number of the row. The
            dots of several series lie one below the other.
        names: of the rows.
    """
    series = max(len(found) for _, _, found in panels)
    height = 0.75 + len(names) * (0.2 + 0.13 * series)
    left = 0.3 + 0.075 * max(map(len, names))
    figure = Figure(figsize=(left + 3.4 * len(panels), height))
    width = left + 3.4 * len(panels)
    figure.subplots_adjust(left / width, 0.5 / height, 1 - 0.1 / width, 1 - 0.1 / height, 0.08)
    for index, (label, line, found) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        if line is not None:
            axes.axvline(line, color=_GUIDE, linewidth=0.8)
        for number, points in enumerate(found):
            below = 0.6 * ((number + 0.5) / series - 0.5)
            _across(axes, points, below, READERS[number % len(READERS)])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_yticks(range(len(names)), names if index == 0 else [""] * len(names))
        axes.set_xlabel(label, fontsize=8)
        _style_axes(axes)
    return _png(figure)


def _across(axes: Axes, points: Sequence[Point], below: float, color: str) -> None:
    rows, values = [point.x + below for point in points], [point.value for point in points]
    errors = [[max(p.value - p.low, 0) for p in points], [max(p.high - p.value, 0) for p in points]]
    axes.errorbar(values, rows, xerr=errors, fmt="o", color=color, capsize=3, markersize=4)


def curves(series: Mapping[str, Sequence[Point]], labels: tuple[str, str]) -> bytes:
    """Lines through points with intervals, over a logarithmic x axis.

    Args:
        series: name in the legend -> points, all with the same positions, which are above 0.
        labels: of the x axis and of the y axis.
    """
    figure = Figure(figsize=(7.2, 3.6))
    figure.subplots_adjust(0.09, 0.14, 0.7, 0.97)
    axes = figure.add_subplot()
    for number, (name, points) in enumerate(series.items()):
        aside = 1 + 0.02 * (number - (len(series) - 1) / 2)  # side by side, so that no interval hides another
        positions, values = [point.x * aside for point in points], [point.value for point in points]
        errors = [[max(p.value - p.low, 0) for p in points], [max(p.high - p.value, 0) for p in points]]
        color, style = READERS[number % len(READERS)], "o-" if number < len(READERS) else "s--"
        axes.errorbar(positions, values, yerr=errors, fmt=style, color=color, capsize=3, markersize=4, label=name)
    ticks = sorted({point.x for points in series.values() for point in points})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(labels[0], fontsize=8)
    axes.set_ylabel(labels[1], fontsize=8)
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _style_axes(axes)
    return _png(figure)


def reader_panels(
    curves: Sequence[Roc], reference: Roc, readers: Sequence[tuple[str, float, float]], labels: tuple[str, str]
) -> bytes:
    """Two panels of a reader study: ROC curves, and criterion c against sensitivity d'.

    Args:
        curves: one per reader; without any, the second panel stands alone.
        reference: drawn dashed.
        readers: name, d' and c.
        labels: of the axes of d' and c.
    """
    count = 2 if curves else 1
    figure = Figure(figsize=(4.5 * count, 4.4))
    figure.subplots_adjust(0.13 / count, 0.12, 1 - 0.03 / count, 0.97, 0.25)
    if curves:
        _roc_panel(figure.add_subplot(1, 2, 1), curves, reference)
    _bias_panel(figure.add_subplot(1, count, count), readers, labels)
    return _png(figure)


def _roc_panel(axes: Axes, curves: Sequence[Roc], reference: Roc) -> None:
    axes.plot([0, 1], [0, 1], color=_GUIDE, linewidth=0.8)
    for index, curve in enumerate(curves):
        color = READERS[index % len(READERS)]
        axes.plot(*zip(*curve.points, strict=True), color=color, marker="o", markersize=3, label=curve.name)
    axes.plot(*zip(*reference.points, strict=True), color=LIMIT, linestyle="--", label=reference.name)
    axes.set_xlabel("real images called synthetic", fontsize=8)
    axes.set_ylabel("synthetic images called synthetic", fontsize=8)
    axes.set_aspect("equal")
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    _style_axes(axes)


def _bias_panel(axes: Axes, readers: Sequence[tuple[str, float, float]], labels: tuple[str, str]) -> None:
    axes.axhline(0, color=_GUIDE, linewidth=0.8)
    axes.axvline(0, color=_GUIDE, linewidth=0.8)
    for index, (name, sensitivity, criterion) in enumerate(readers):
        axes.plot([sensitivity], [criterion], "o", color=READERS[index % len(READERS)], label=name)
    reach = 0.3 + max(1.2, *(abs(value) for _, *pair in readers for value in pair))
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_xlabel(labels[0], fontsize=8)
    axes.set_ylabel(labels[1], fontsize=8)
    axes.set_aspect("equal")
    axes.legend(fontsize=7, frameon=False, loc="lower left")
    _style_axes(axes)


def _dot(axes: Axes, point: Point, color: str) -> None:
    errors = [[max(point.value - point.low, 0)], [max(point.high - point.value, 0)]]
    axes.errorbar([point.x], [point.value], yerr=errors, fmt="o", color=color, capsize=4, markersize=5)


def _style_axes(axes: Axes) -> None:
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
