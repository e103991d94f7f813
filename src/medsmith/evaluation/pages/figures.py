"""Figures as PNG bytes: the same numbers give the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import final

import numpy as np
from jaxtyping import Float, Float64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

REAL, SYNTHETIC, LIMIT = "#3b6ea5", "#d97706", "#9f1239"
_DPI = 110
_BINS = 24


@final
@dataclass(frozen=True)
class Point:
    """A number with an interval, drawn as a dot with a bar.

    Attributes:
        x: where along the axis.
        value: the number.
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
    """Two samples of one measure for a panel of histograms.

    Attributes:
        title: of the panel.
        real: values of the real cases.
        synthetic: values of the synthetic cases.
    """

    title: str
    real: Float[np.ndarray, " n"]
    synthetic: Float[np.ndarray, " m"]


def histograms(panels: Sequence[Samples], columns: int = 3) -> bytes:
    """One panel per measure, real and synthetic as shares of their cases over the same bins."""
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
    every = np.concatenate([panel.real, panel.synthetic])
    low, high = float(every.min()), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    for values, colour, name in ((panel.real, REAL, "real"), (panel.synthetic, SYNTHETIC, "synthetic")):
        _steps(axes, values, edges, colour, name)
    axes.set_title(panel.title, fontsize=8)
    _quiet(axes)


def _steps(
    axes: Axes, values: Float[np.ndarray, " n"], edges: Float64[np.ndarray, " ends"], colour: str, name: str
) -> None:
    """Shares of the values per bin, filled and outlined."""
    shares = np.histogram(values, edges)[0] / max(len(values), 1)
    axes.stairs(shares, edges, fill=True, color=colour, alpha=0.3, label=name)
    axes.stairs(shares, edges, color=colour)
    axes.set_ylim(bottom=0)


def histogram_with_limit(values: Float[np.ndarray, " n"], limit: float, label: str) -> bytes:
    """The distribution of a similarity with the threshold above which a case counts as a copy."""
    figure = Figure(figsize=(6.2, 2.6))
    figure.subplots_adjust(0.1, 0.2, 0.98, 0.96)
    axes = figure.add_subplot()
    _steps(axes, values, np.linspace(min(0.0, float(values.min())), 1, 51), SYNTHETIC, "synthetic")
    axes.axvline(limit, color=LIMIT, linestyle="--", label=f"counts as a copy above {limit:.2f}")
    axes.set_xlabel(label, fontsize=8)
    axes.set_ylabel("share of cases", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    _quiet(axes)
    return _png(figure)


def against_floor(panels: Sequence[tuple[str, Point, Point]]) -> bytes:
    """One panel per statistic: real against real (the floor), and real against synthetic."""
    figure = Figure(figsize=(2.1 * len(panels), 2.5))
    figure.subplots_adjust(0.07, 0.1, 0.99, 0.9, 0.4)
    for index, (title, floor, synthetic) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        for place, (point, colour) in enumerate(((floor, REAL), (synthetic, SYNTHETIC))):
            _dot(axes, Point(place, point.value, point.low, point.high), colour)
        axes.set_xlim(-0.6, 1.6)
        axes.set_xticks([0, 1], ["real", "synthetic"])
        axes.set_title(title, fontsize=8)
        _quiet(axes)
    return _png(figure)


def curve(points: Sequence[Point], ticks: Sequence[str], baseline: Point, labels: tuple[str, str]) -> bytes:
    """Numbers with intervals along an axis, and the band of a baseline behind them.

    Args:
        points: in the order of their x.
        ticks: one word per point.
        baseline: drawn as a band; its x does not count.
        labels: of the x and y axes.
    """
    figure = Figure(figsize=(6.2, 3.1))
    figure.subplots_adjust(0.11, 0.16, 0.98, 0.96)
    axes = figure.add_subplot()
    axes.axhspan(baseline.low, baseline.high, color=REAL, alpha=0.15, linewidth=0)
    axes.axhline(baseline.value, color=REAL, label="real alone")
    for point in points:
        _dot(axes, point, SYNTHETIC)
    axes.set_xticks([point.x for point in points], ticks)
    axes.set_xlabel(labels[0], fontsize=8)
    axes.set_ylabel(labels[1], fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    _quiet(axes)
    return _png(figure)


def _dot(axes: Axes, point: Point, colour: str) -> None:
    reach = [[max(point.value - point.low, 0)], [max(point.high - point.value, 0)]]
    axes.errorbar([point.x], [point.value], yerr=reach, fmt="o", color=colour, capsize=4, markersize=5)


def _quiet(axes: Axes) -> None:
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    memory = BytesIO()
    figure.savefig(memory, format="png", dpi=_DPI, metadata={"Software": None})
    return memory.getvalue()
