"""The utility experiment as sentences, a table and a curve."""

from medsmith.evaluation.downstream.result import ArmResult, Utility
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.pages.figures import Point, curve
from medsmith.evaluation.pages.page import Page, Picture, Section, Table

_HEAD = ("arm", "real", "synthetic", "Dice", "gain over real alone", "gain without twins", "Dice by seed")


def utility_page(utility: Utility) -> Page:
    """The report of a utility experiment."""
    baseline, *others = utility.arms
    points = [_point(place, result.dice) for place, result in enumerate(others)]
    ticks = [result.arm.name for result in others]
    figure = curve(points, ticks, _point(0, baseline.dice), ("what the network learnt from", "Dice on real test cases"))
    table = Table(_HEAD, [_row(result) for result in utility.arms], _caption(utility))
    sections = [
        Section("Dice on real test cases", (), (table,), (Picture(figure, "Mean Dice with 95 % intervals."),)),
        Section("How it was compared", _method(utility)),
    ]
    return Page("Are the synthetic cases of use?", summary_lines(utility), sections, utility.facts)


def summary_lines(utility: Utility) -> list[str]:
    """The findings, a sentence each."""
    return [_sentence(result) for result in utility.arms[2:]]


def _caption(utility: Utility) -> str:
    count = utility.twins.n
    without = count - round(utility.twins.value * count)
    return f"Over {count} test cases ({without} without twins); gains are paired differences of Dice per case."


def _point(place: float, estimate: Estimate) -> Point:
    return Point(place, estimate.value, estimate.low, estimate.high)


def _row(result: ArmResult) -> list[str]:
    seeds = ", ".join(f"{mean:.3f}" for mean in result.seeds)
    counts = [str(result.arm.real), str(result.arm.synthetic)]
    return [result.arm.name, *counts, *map(_text, (result.dice, result.gain, result.gain_without_twins)), seeds]


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
        "Every arm: the same network, gradient steps, batch, schedule and seeds; the last weights are tested, so that "
        "nothing is selected on any set. Synthetic then real: half of the steps on the one, the other half on the "
        "other. Larger ratios hold the cases of smaller ones. Gain: per test case, averaged over seeds, then a BCa "
        "bootstrap over test cases.",
        "Dice is taken on each test case's own grid, averaged over labels; a label that truth and answer both lack "
        "scores 1, one that only one of them has 0.",
        f"{100 * utility.twins.value:.0f} % of the {utility.twins.n} test cases have a near-duplicate among the real "
        f"training cases. They favour every arm that has seen it; the column without twins leaves them out. No image "
        f"is in both sets.",
        "One split: intervals cover the choice of test cases, not that of training cases or seeds. A gain or a loss is "
        "called so only where every single seed agrees with the interval.",
    ]
