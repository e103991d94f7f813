"""The HTML page of the utility experiment: sentences, what cannot be said, the plot of every arm, and tables."""

from medsmith.errors import counted
from medsmith.evaluation.downstream.measures import FALSE_ALARMS, MEASURES
from medsmith.evaluation.downstream.result import ArmResult, Comparison, SizeResult, Utility
from medsmith.evaluation.downstream.wording import ARMS, METHOD, limits_of, size_lines
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.pages.figures import READERS, Point, interval_rows
from medsmith.evaluation.pages.page import Page, Picture, Section, Table

_DISTANCE = "hd95"


def utility_page(utility: Utility) -> Page:
    """The report of a utility experiment."""
    lines = [line for size in utility.sizes for line in limits_of(size, utility)]
    limits = Section("What cannot be said", [*lines, *utility.notes])
    sections = [
        Section("Every arm", (), (), (_picture(utility),)),
        limits,
        *[_size_section(size, utility) for size in utility.sizes],
        Section("Methods", METHOD),
    ]
    return Page("Do the synthetic cases help a segmentation network?", summary_lines(utility), sections, utility.facts)


def summary_lines(utility: Utility) -> list[str]:
    """The names of the arms, then the main results, a sentence each."""
    return [ARMS, *(line for size in utility.sizes for line in size_lines(size, utility.gain))]


def _picture(utility: Utility) -> Picture:
    names = [result.arm.name for result in utility.sizes[0].arms]
    dice = [[_point(row, arm.dice.value) for row, arm in enumerate(size.arms)] for size in utility.sizes]
    gains = [
        [_point(row, arm.dice.gain, 100) for row, arm in enumerate(size.arms) if arm.dice.gain]
        + [_point(len(names), size.convergence.rise, 100)]
        for size in utility.sizes
    ]
    panels = [("Dice on real test patients", None, dice), ("points of Dice gained over R", 0.0, gains)]
    legend = {size.name: READERS[row % len(READERS)] for row, size in enumerate(utility.sizes)}
    caption = "Means with 95 % intervals over subsets of real cases, seeds and test patients."
    return Picture(interval_rows(panels, [*names, "R, twice the steps"]), caption, legend)


def _point(row: int, estimate: Estimate, scale: float = 1) -> Point:
    return Point(row, *(scale * end for end in (estimate.value, estimate.low, estimate.high)))


def _size_section(size: SizeResult, utility: Utility) -> Section:
    tables = [
        _gains(size, utility),
        _values(size, utility),
        _structures(size),
        _lesions(size),
    ]
    return Section(size.name.capitalize(), (), [table for table in tables if table.rows])


def _gains(size: SizeResult, utility: Utility) -> Table:
    """Dice, gain, and what a gain would take."""
    wanted = f"test patients for {utility.gain:g} points"
    head = ("arm", "Dice", "gain over R, points", "verdict", "least gain seen, points", wanted)
    rows = [
        [
            result.arm.name,
            _text(result.dice.value),
            _points(result.dice.gain),
            result.verdict,
            "" if result.least_gain is None else f"{100 * result.least_gain:.1f}",
            _needed(result),
        ]
        for result in size.arms
    ]
    caption = (
        f"{counted(len(size.cases), 'subset')}, {counted(size.seeds, 'seed')} each, {size.patients} test patients. "
        "Least gain seen, and test patients: 80 % power at 5 %."
    )
    return Table(head, rows, caption)


def _needed(result: ArmResult) -> str:
    if result.least_gain is None:
        return ""
    return "no number: more subsets" if result.patients_needed is None else f"{result.patients_needed}"


def _values(size: SizeResult, utility: Utility) -> Table:
    """All measures of all arms."""
    names = {**MEASURES, FALSE_ALARMS: "false alarms"}
    shown = [key for key in names if key in size.arms[0].measures]
    units = {"nsd": f" at {utility.tolerance:g} {utility.unit}", _DISTANCE: f", {utility.unit}"}
    rows = [
        [result.arm.name, *(_both(result.measures[key], 1 if key == _DISTANCE else 100) for key in shown)]
        for result in size.arms
    ]
    caption = (
        "Mean (gain over R with its interval), per cent and points; HD95 in its unit, where less is better, as for "
        "false alarms."
    )
    return Table(("arm", *(names[key] + units.get(key, "") for key in shown)), rows, caption)


def _structures(size: SizeResult) -> Table:
    rows = [
        [result.arm.name, name, _both(found), _p_value(found.corrected), found.verdict]
        for result in size.arms
        if result.dice.gain is not None
        for name, found in result.structures.items()
    ]
    head = ("arm", "structure", "Dice, % (gain, points)", "p, Holm", "alone")
    return Table(
        head, rows if len(size.arms[0].structures) > 1 else [], "Each structure, p corrected for their number."
    )


def _lesions(size: SizeResult) -> Table:
    classes = list(size.arms[0].lesions)
    rows = [[result.arm.name, *(_both(result.lesions[name]) for name in classes)] for result in size.arms]
    head = ("arm", *(f"{name} (n {size.lesions[name]})" for name in classes))
    return Table(head, rows if classes else [], "F1 of lesions by equivalent diameter, per cent (gain, points).")


def _text(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _points(gain: Estimate | None, scale: float = 100) -> str:
    if gain is None:
        return ""
    value, low, high = (f"{scale * end:+.1f}" for end in (gain.value, gain.low, gain.high))
    return f"{value} ({low} to {high})"


def _both(found: Comparison, scale: float = 100) -> str:
    gain = f" ({_points(found.gain, scale).replace(' (', ', ')}" if found.gain else ""
    return f"{scale * found.value.value:.1f}{gain}"


def _p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
