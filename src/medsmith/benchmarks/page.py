"""The page of a run: ours beside the paper's figures, and what of its order holds."""

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from medsmith.benchmarks.paper import PublishedTable
from medsmith.benchmarks.result import REAL, REAL_ALONE, BenchResult, Order, value_of
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
    tables = [_published(result, table) for table in result.paper.tables]
    measured = [_rows(result), _distances(result), _utility(result)]
    sections = [*tables, *_other_results(result), *_patients(result), *measured, *_pictures(result, cases)]
    return Page(result.paper.title, summary_lines(result), sections, result.facts)


def summary_lines(result: BenchResult) -> list[str]:
    """What holds of each table, one line per rival; of a trial first that it says nothing of the methods."""
    lines = [
        f"{table.title}: that {result.paper.own} is better than {order.rival} {_in_words(order, table)}."
        for table in result.paper.tables
        for order in result.orders(table)
    ]
    missing = [f"{row.row}: nothing was made: {row.missing}" for row in result.rows if row.missing]
    trial = [_TRIAL] if result.trial else []
    return [*trial, *lines, *missing]


def _in_words(order: Order, table: PublishedTable) -> str:
    if order.found is None:
        return "was not measured"
    if table.measure == "fidelity" and order.found[0].n != order.found[1].n:
        return f"{order.finding} here: distances of {order.found[0].n} and {order.found[1].n} cases cannot be compared"
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
    findings = {order.rival: order.finding for order in result.orders(table)}
    shown, others = _of_one_count(result, table)
    rows = [
        _cells(row.row, table.figures.get(row.row), shown.get(row.row), table, findings.get(row.row, ""))
        for row in result.rows
    ]
    if table.baseline is not None:
        real = next((row.dice[REAL] for row in result.rows if REAL in row.dice), None)
        rows.insert(0, _cells(REAL_ALONE, table.baseline, real, table, findings[REAL_ALONE]))
    head = ["", "paper", "here", "n here", f"that {result.paper.own} is better"]
    left_out = f"Of this table are not made here: {table.left_out}."
    sentences = [NOT_COMPARABLE.format(table.settings), _ours(result, table), others, table.unlike, left_out]
    return Section(table.title, list(filter(None, sentences)), (Table(head, rows),))


def _of_one_count(result: BenchResult, table: PublishedTable) -> tuple[Mapping[str, Estimate], str]:
    """The figures of ours that may stand in one column, by row, and a sentence on those that may not.

    A Fréchet distance depends on n: those of another n than that of the paper's own method, or of most rows where it
    has none, are named apart.
    """
    found = {row.row: each for row in result.rows if (each := value_of(row, table)) is not None}
    if table.measure == "utility" or not found:
        return found, ""
    counts = [each.n for each in found.values()]
    count = found[result.paper.own].n if result.paper.own in found else max(counts, key=counts.count)
    others = [f"{name} {each} (n {each.n})" for name, each in found.items() if each.n != count]
    apart = f"Of other numbers of cases, and so not comparable with the column: {'; '.join(others)}." if others else ""
    return {name: each for name, each in found.items() if each.n == count}, apart


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


def _cells(name: str, figure: float | None, ours: Estimate | None, table: PublishedTable, finding: str) -> list[str]:
    published = "not there" if figure is None else f"{figure:.{_decimals(table)}f}"
    return [name, published, _as_published(ours, table), "" if ours is None else str(ours.n), finding]


def _decimals(table: PublishedTable) -> int:
    """As the paper prints its figures."""
    return max(len(f"{figure:g}".partition(".")[2]) for figure in table.figures.values())


def _other_results(result: BenchResult) -> Iterator[Section]:
    if result.paper.other_results:
        yield Section("What else the paper measures", [f"Not made here: {result.paper.other_results}"])


def _patients(result: BenchResult) -> Iterator[Section]:
    if result.patients:
        yield Section("Patients", [result.patients])


def _rows(result: BenchResult) -> Section:
    rows = [
        [row.row, row.trained, row.sampler, str(row.cases), str(row.attempts) if row.cases else "", row.missing]
        for row in result.rows
    ]
    head = ["", "generator", "sampler", "cases", "attempts", "why there are none"]
    sentence = "How the cases of each row were made; the checks of synthesis refused the attempts beyond their number."
    return Section("Rows", [sentence], (Table(head, rows),))


def _distances(result: BenchResult) -> Section:
    """A table for each extractor and n: distances of different ones cannot be compared."""
    tables: dict[tuple[str, int], list[list[str]]] = {}
    for row in result.rows:
        for extractor, each in row.distances.items():
            cells = [row.row, str(each.synthetic), str(each.floor), str(each.excess)]
            tables.setdefault((extractor, each.synthetic.n), []).append(cells)
    head = ["", "Fréchet distance", "floor: real against real", "excess"]
    sentence = (
        "Distances to test cases that nothing learned from; smaller is better; 95 % intervals. Those of another "
        "extractor or n stand in another table, since they cannot be compared."
    )
    shown = [Table(head, rows, f"{extractor}, n = {n}.") for (extractor, n), rows in tables.items()]
    return Section("Distances", [sentence], shown)


def _utility(result: BenchResult) -> Section:
    learned = [row for row in result.rows if row.dice]
    real = {arm: row for row in learned for arm in row.dice if not _is_mixed(arm)}
    shown = [(REAL_ALONE, real[arm], arm) for arm in real]
    shown += [(row.row, row, arm) for row in learned for arm in row.dice if _is_mixed(arm)]
    rows = [
        [
            name,
            arm,
            _in_percent(row.dice[arm]),
            str(row.dice[arm].n),
            _gain(row.gains.get(arm)),
            row.verdicts.get(arm, ""),
        ]
        for name, row, arm in shown
    ]
    sentence = (
        "Dice, in per cent, of segmentation networks on the test cases; gains, in points, are paired, over real cases "
        "with strong augmentation at equal steps. 95 % intervals; n: test patients. R is a random half of the cases to "
        "learn from, and the generators learned from all of them: a gain includes what the other half taught them."
    )
    return Section("Utility", [sentence], (Table(["", "trained on", "Dice", "n", "gain", "verdict"], rows),))


def _is_mixed(arm: str) -> bool:
    """Whether synthetic cases are in it, so that it differs from row to row."""
    return "S" in arm.split()


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
