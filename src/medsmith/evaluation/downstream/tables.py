"""Tables of the results of arms, for the pages of the experiments that compare them."""

from collections.abc import Mapping, Sequence

from medsmith.evaluation.downstream.measures import FALSE_ALARMS, MEASURES
from medsmith.evaluation.downstream.result import ArmResult, Comparison
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.pages.figures import Point
from medsmith.evaluation.pages.page import Table

_DISTANCE = "hd95"


def point_of(row: int, estimate: Estimate, scale: float = 1) -> Point:
    """An estimate with its interval, for a row of a plot."""
    return Point(row, *(scale * end for end in (estimate.value, estimate.low, estimate.high)))


def points(gain: Estimate, scale: float = 100) -> str:
    """A difference with its interval, in points or as scaled."""
    value, low, high = (f"{scale * end:+z.1f}" for end in (gain.value, gain.low, gain.high))
    return f"{value} ({low} to {high})"


def gains_table(arms: Sequence[ArmResult], gain: float, caption: str) -> Table:
    """Dice, gain, and what a gain would take.

    Args:
        arms: R first.
        gain: in points, that the number of test patients is computed for.
        caption: what the means are over.
    """
    wanted = f"test patients for {gain:g} points"
    head = ("arm", "Dice", "gain over R, points", "verdict", "least gain seen, points", wanted)
    rows = [
        [
            result.arm.name,
            _text(result.dice.value),
            points(result.dice.gain) if result.dice.gain else "",
            result.verdict,
            "" if result.least_gain is None else f"{100 * result.least_gain:.1f}",
            _needed(result),
        ]
        for result in arms
    ]
    caption = f"{caption} Least gain seen, and test patients: 80 % power at 5 %."
    return Table(head, rows, caption)


def _needed(result: ArmResult) -> str:
    if result.least_gain is None:
        return ""
    return "no number: more networks" if result.patients_needed is None else f"{result.patients_needed}"


def values_table(arms: Sequence[ArmResult], unit: str, tolerance: float) -> Table:
    """All measures of all arms.

    Args:
        arms: R first.
        unit: of distances.
        tolerance: of the surface Dice, in this unit.
    """
    names = {**MEASURES, FALSE_ALARMS: "false alarms"}
    shown = [key for key in names if key in arms[0].measures]
    units = {"nsd": f" at {tolerance:g} {unit}", _DISTANCE: f", {unit}"}
    rows = [
        [result.arm.name, *(_both(result.measures[key], 1 if key == _DISTANCE else 100) for key in shown)]
        for result in arms
    ]
    caption = (
        "Mean (gain over R with its interval), per cent and points; HD95 in its unit, where less is better, as for "
        "false alarms."
    )
    return Table(("arm", *(names[key] + units.get(key, "") for key in shown)), rows, caption)


def structures_table(arms: Sequence[ArmResult]) -> Table:
    """The Dice of each structure of every arm but R; without rows where there is one structure."""
    rows = [
        [result.arm.name, name, _both(found), _p_value(found.corrected), found.verdict]
        for result in arms
        if result.dice.gain is not None
        for name, found in result.structures.items()
    ]
    head = ("arm", "structure", "Dice, % (gain, points)", "p, Holm", "alone")
    return Table(head, rows if len(arms[0].structures) > 1 else [], "Each structure, p corrected for their number.")


def lesions_table(arms: Sequence[ArmResult], lesions: Mapping[str, int]) -> Table:
    """F1 of lesions; without rows where there are none.

    Args:
        arms: R first.
        lesions: size class -> lesions in the reference.
    """
    classes = list(arms[0].lesions)
    rows = [[result.arm.name, *(_both(result.lesions[name]) for name in classes)] for result in arms]
    head = ("arm", *(f"{name} (n {lesions[name]})" for name in classes))
    return Table(head, rows if classes else [], "F1 of lesions by equivalent diameter, per cent (gain, points).")


def _text(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _both(found: Comparison, scale: float = 100) -> str:
    gain = f" ({points(found.gain, scale).replace(' (', ', ')}" if found.gain else ""
    return f"{scale * found.value.value:.1f}{gain}"


def _p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
