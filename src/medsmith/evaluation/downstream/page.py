"""The HTML page of the utility experiment: sentences, a table and a curve."""

from medsmith.evaluation.downstream.result import ArmResult, Utility
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.pages.figures import Point, curve
from medsmith.evaluation.pages.page import Page, Picture, Section, Table

_HEAD = ("arm", "real", "synthetic", "Dice", "gain over real alone", "gain without near-duplicates", "Dice by seed")


def utility_page(utility: Utility) -> Page:
    """The report of a utility experiment."""
    baseline, *others = utility.arms
    points = [_point(index, result.dice) for index, result in enumerate(others)]
    ticks = [result.arm.name for result in others]
    figure = curve(points, ticks, _point(0, baseline.dice), ("training data", "Dice on real test cases"))
    table = Table(_HEAD, [_row(result) for result in utility.arms], _caption(utility))
    sections = [
        Section("Dice on real test cases", (), (table,), (Picture(figure, "Mean Dice with 95 % intervals."),)),
        Section("Methods", _method(utility)),
    ]
    return Page("Utility of the synthetic cases for segmentation", summary_lines(utility), sections, utility.facts)


def summary_lines(utility: Utility) -> list[str]:
    """The main results, one sentence per arm."""
    return [_sentence(result) for result in utility.arms[1:]]


def _caption(utility: Utility) -> str:
    count = utility.near_duplicates.n
    without = count - round(utility.near_duplicates.value * count)
    return (
        f"Over {count} test cases ({without} without near-duplicates); gains are paired differences of Dice per case."
    )


def _point(x: float, estimate: Estimate) -> Point:
    return Point(x, estimate.value, estimate.low, estimate.high)


def _row(result: ArmResult) -> list[str]:
    seeds = ", ".join(f"{mean:.3f}" for mean in result.seeds)
    counts = [str(result.arm.real), str(result.arm.synthetic)]
    estimates = (result.dice, result.gain, result.gain_without_near_duplicates)
    return [result.arm.name, *counts, *map(_text, estimates), seeds]


def _text(estimate: Estimate | None) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})" if estimate else ""


def _sentence(result: ArmResult) -> str:
    gain = result.gain
    if gain is None:
        return f"{result.arm.name}: nothing to compare."
    points, low, high = (f"{100 * end:+.1f}" for end in (gain.value, gain.low, gain.high))
    return f"{result.arm.name}: {points} points of Dice over real alone ({low} to {high}): {result.verdict}."


def _method(utility: Utility) -> list[str]:
    return [
        "All arms use the same network, gradient steps, batch size, schedule and seeds. The last weights are tested; "
        "no checkpoint is selected. Synthetic then real: half of the steps on each. A larger ratio contains the cases "
        "of the smaller ones. Gain: paired difference per test case, averaged over seeds, with a BCa bootstrap over "
        "test cases.",
        "Dice is computed on each test case's own grid and averaged over labels. A label absent from both reference "
        "and prediction scores 1; a label present in only one of them scores 0.",
        f"{100 * utility.near_duplicates.value:.0f} % of the {utility.near_duplicates.n} test cases have a "
        f"near-duplicate among the real training cases, which favors every arm trained on it; one column leaves them "
        f"out. No image is in both sets.",
        "There is one split: the intervals cover the choice of test cases, not of training cases or seeds. A gain or a "
        "loss is reported only if the interval excludes 0 and every single seed agrees.",
    ]
