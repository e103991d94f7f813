"""The HTML page of the utility experiment: sentences, what cannot be said, the plot of every arm, and tables."""

from collections.abc import Iterator
from dataclasses import replace

from medsmith.errors import counted
from medsmith.evaluation.downstream.answer import useful
from medsmith.evaluation.downstream.result import SizeResult, Utility
from medsmith.evaluation.downstream.tables import (
    gains_table,
    lesions_table,
    point_of,
    structures_table,
    values_table,
)
from medsmith.evaluation.downstream.wording import ARMS, METHOD, limits_of, size_lines
from medsmith.evaluation.pages.figures import READERS, Point, curves, interval_rows
from medsmith.evaluation.pages.page import Page, Picture, Section


def utility_page(utility: Utility) -> Page:
    """The report of a utility experiment."""
    lines = [line for size in utility.sizes for line in limits_of(size, utility)]
    limits = Section("What cannot be said", [*lines, *utility.notes])
    sections = [
        Section("Every arm", (), (), (_picture(utility), *_curves(utility))),
        limits,
        *[_size_section(size, utility) for size in utility.sizes],
        Section("Methods", METHOD),
    ]
    return Page("Do the synthetic cases help a segmentation network?", summary_lines(utility), sections, utility.facts)


def summary_lines(utility: Utility) -> list[str]:
    """The answer, the names of the arms, then the main results, a sentence each."""
    return [useful(utility), ARMS, *(line for size in utility.sizes for line in size_lines(size, utility.gain))]


def _picture(utility: Utility) -> Picture:
    names = [result.arm.name for result in utility.sizes[0].arms]
    dice = [[point_of(row, arm.dice.value) for row, arm in enumerate(size.arms)] for size in utility.sizes]
    gains = [
        [point_of(row, arm.dice.gain, 100) for row, arm in enumerate(size.arms) if arm.dice.gain]
        + [point_of(len(names), size.convergence.rise, 100)]
        for size in utility.sizes
    ]
    panels = [("Dice on real test patients", None, dice), ("points of Dice gained over R", 0.0, gains)]
    legend = {size.name: READERS[row % len(READERS)] for row, size in enumerate(utility.sizes)}
    caption = "Means with 95 % intervals over subsets of real cases, seeds and test patients."
    return Picture(interval_rows(panels, [*names, "R, twice the steps"]), caption, legend)


def _curves(utility: Utility) -> Iterator[Picture]:
    """Dice over the number of real cases, where there are several; all arms but the one that has further real cases."""
    if len(utility.sizes) < 2:
        return
    series: dict[str, list[Point]] = {}
    for size in utility.sizes:
        for result in size.arms:
            if not result.arm.more:
                of_arm = series.setdefault(result.arm.name, [])
                of_arm.append(replace(point_of(0, result.dice.value), x=sum(size.cases) / len(size.cases)))
    yield Picture(curves(series, ("real cases", "Dice on real test patients")), "Dice over the number of real cases.")


def _size_section(size: SizeResult, utility: Utility) -> Section:
    caption = (
        f"{counted(len(size.cases), 'subset')}, {counted(size.seeds, 'seed')} each, {size.patients} test patients."
    )
    tables = [
        gains_table(size.arms, utility.gain, caption),
        values_table(size.arms, utility.unit, utility.tolerance),
        structures_table(size.arms),
        lesions_table(size.arms, size.lesions),
    ]
    return Section(size.name.capitalize(), (), [table for table in tables if table.rows])
