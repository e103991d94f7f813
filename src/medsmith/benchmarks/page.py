"""The page of a run: ours beside the paper's figures, and what of its order holds."""

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from medsmith.benchmarks.papers import PublishedTable
from medsmith.benchmarks.result import BenchResult, Order, RowResult, value_of
from medsmith.cases.cohort import Cohort
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.pages.page import Page, Picture, Section, Table
from medsmith.evaluation.pages.preview_grid import preview_grid

_SHOWN, _COLUMNS = 8, 4
NOT_COMPARABLE = (
    "The figures of the paper were measured on other images, sizes and numbers of cases ({}): they cannot be compared "
    "with ours. Whether the order of the rows is the same can be."
)

_TRIAL = (
    "Scale smoke trains every row for a few steps, to see that it runs: its images may be noise, and none of its "
    "figures says anything of a method. --scale cpu, in another folder, measures."
)


def bench_page(result: BenchResult, cases: Mapping[str, Path]) -> Page:
    """The page.

    Args:
        result: what was found.
        cases: row -> folder of its cases; a row without one has no picture.
    """
    sections = [*(_published(result, table) for table in result.paper.tables), _distances(result), _utility(result)]
    return Page(result.paper.title, summary_lines(result), [*sections, *_pictures(result, cases)], result.facts)


def summary_lines(result: BenchResult) -> list[str]:
    """What holds of each table, one line per rival; of a trial first that it says nothing of the methods."""
    lines = [
        f"{table.title}: that {result.paper.own} is better than {order.rival} {_in_words(order, table)}."
        for table in result.paper.tables
        for order in result.orders(table)
    ]
    missing = [f"{row.row}: nothing was made: {row.missing}" for row in result.rows if row.missing]
    trial = [_TRIAL] if result.facts.get("scale") == "smoke" else []
    return [*trial, *lines, *missing]


def _in_words(order: Order, table: PublishedTable) -> str:
    if order.found is None:
        return "was not measured"
    own, rival = (_as_published(each, table) for each in order.found)
    return f"{order.finding} here ({own} against {rival})"


def _as_published(found: Estimate | None, table: PublishedTable) -> str:
    """An estimate in the unit of the table: Dice in per cent."""
    if found is None:
        return ""
    return _in_percent(found) if table.measure == "utility" else str(found)


def _in_percent(found: Estimate) -> str:
    return f"{100 * found.value:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _gain(found: Estimate | None) -> str:
    if found is None:
        return ""
    return f"{100 * found.value:+z.1f} ({100 * found.low:+z.1f} to {100 * found.high:+z.1f})"


def _published(result: BenchResult, table: PublishedTable) -> Section:
    rows = [_row_of(result, table, row) for row in result.rows]
    if table.baseline is not None:
        real = next((row.dice["R"] for row in result.rows if "R" in row.dice), None)
        n = "" if real is None else str(real.n)
        rows.insert(0, ["real cases alone", f"{table.baseline:g}", _as_published(real, table), n, ""])
    head = ["", "paper", "here", "n here", "order, against " + result.paper.own]
    return Section(table.title, [NOT_COMPARABLE.format(table.settings), _ours(result, table)], (Table(head, rows),))


def _ours(result: BenchResult, table: PublishedTable) -> str:
    """What stands in the column of ours."""
    if table.measure == "utility":
        trained = "synthetic cases alone" if table.arm == "S" else "real and synthetic cases"
        return f"Here: Dice in per cent of networks trained on {trained}, with 95 % interval; n: test patients."
    extractor = next((name for row in result.rows for name in row.distances), None)
    by = "" if extractor is None else f" by {extractor}"
    return (
        f"Here: Fréchet distance{by} of all cases (n of each cohort), with 95 % interval. Further below stand those of "
        "fewer cases, which have a floor; a distance depends on n, and the two are not compared."
    )


def _row_of(result: BenchResult, table: PublishedTable, row: RowResult) -> list[str]:
    findings = {order.rival: order.finding for order in result.orders(table)}
    figure = table.figures.get(row.row)
    ours = value_of(row, table)
    published, n = "" if figure is None else f"{figure:g}", "" if ours is None else str(ours.n)
    return [row.row, published, _as_published(ours, table), n, findings.get(row.row, "")]


def _distances(result: BenchResult) -> Section:
    rows = [
        [row.row, extractor, str(each.synthetic), str(each.floor), str(each.excess), str(each.synthetic.n)]
        for row in result.rows
        for extractor, each in row.distances.items()
    ]
    head = ["", "extractor", "Fréchet distance", "floor: real against real", "excess", "n"]
    sentence = "Distances to test cases that nothing learned from; smaller is better; 95 % intervals."
    return Section("Distances", [sentence], (Table(head, rows),))


def _utility(result: BenchResult) -> Section:
    rows = [
        [row.row, arm, _in_percent(dice), str(dice.n), _gain(row.gains.get(arm)), row.verdicts.get(arm, "")]
        for row in result.rows
        for arm, dice in row.dice.items()
    ]
    sentence = (
        "Dice, in per cent, of segmentation networks on the test cases; gains, in points, are paired, over real cases "
        "with strong augmentation at equal steps. 95 % intervals; n: test patients. R is a random half of the cases to "
        "learn from, and the generators learned from all of them: a gain includes what the other half taught them."
    )
    return Section("Utility", [sentence], (Table(["", "trained on", "Dice", "n", "gain", "verdict"], rows),))


def _pictures(result: BenchResult, cases: Mapping[str, Path]) -> Iterator[Section]:
    made = [row for row in result.rows if row.row in cases and not row.missing]
    pictures = [Picture(_sheet(cases[row.row]), f"{row.row}: the first cases, not chosen") for row in made]
    if pictures:
        yield Section("Cases", (), (), pictures)


def _sheet(folder: Path) -> bytes:
    cohort, data = Cohort.open(folder), BytesIO()
    shown: Sequence[str] = cohort.ids[:_SHOWN]
    Image.fromarray(preview_grid([cohort[id] for id in shown], _COLUMNS)).save(data, "PNG", optimize=True)
    return data.getvalue()
