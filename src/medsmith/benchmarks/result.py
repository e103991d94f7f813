"""What a run found, and what of a paper's order of rows holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

from medsmith.benchmarks.paper import Paper, PublishedTable
from medsmith.evaluation.downstream.result import GAIN, LOSS, WITHHELD
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.comparison import Comparison
from medsmith.evaluation.pages.page import WARNING

REAL, REAL_ALONE = "R", "real cases alone"
"""Arm of the utility experiment that every gain is over, and its name in the papers' tables."""
TRIAL = "smoke"
"""Name of the scale whose figures say nothing of a method."""
Finding = Literal["holds", "is reversed", "cannot be told", "was not measured"]


@final
@dataclass(frozen=True)
class RowResult:
    """What one synthetic cohort scores.

    Attributes:
        row: its name.
        distances: extractor -> Fréchet distance to the test cases, with its floor.
        dice: arm -> Dice on the test cases; empty where the cases have no labels.
        gains: arm -> paired gain over real cases with strong augmentation.
        verdicts: arm -> what the gain shows.
        trained: what its generator learned, in words.
        sampler: solver and steps; "" where no network made the cases.
        attempts: of all cases.
        cases: that were made.
        missing: why nothing was made or measured; "" where all was.
    """

    row: str
    distances: Mapping[str, Comparison] = field(default_factory=dict)
    dice: Mapping[str, Estimate] = field(default_factory=dict)
    gains: Mapping[str, Estimate] = field(default_factory=dict)
    verdicts: Mapping[str, str] = field(default_factory=dict)
    trained: str = ""
    sampler: str = ""
    attempts: int = 0
    cases: int = 0
    missing: str = ""

    def as_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "row": self.row,
            "trained": self.trained,
            "sampler": self.sampler,
            "frechet_distance": {name: each.as_json() for name, each in self.distances.items()},
            "dice": {name: each.as_json() for name, each in self.dice.items()},
            "gain": {name: each.as_json() for name, each in self.gains.items()},
            "verdict": dict(self.verdicts),
            "cases": self.cases,
            "attempts": self.attempts,
            "missing": self.missing,
        }


@final
@dataclass(frozen=True)
class Order:
    """Whether the paper's own method is better than a rival here as it is there.

    Attributes:
        rival: the row that it is compared with, or ``REAL_ALONE``.
        published: figures of the own method and of the rival.
        found: values of both; None where one was not measured.
        finding: "cannot be told" where the intervals overlap, the numbers of cases behind distances differ, networks
            were not trained long enough, or the run was a trial. Against real cases alone the verdict on the paired
            gain decides, not the two intervals.
    """

    rival: str
    published: tuple[float, float]
    found: tuple[Estimate, Estimate] | None
    finding: Finding


@final
@dataclass(frozen=True)
class BenchResult:
    """Everything that a run found.

    Attributes:
        paper: whose tables are made.
        rows: in its order.
        facts: data, scale, machine, versions.
        patients: whose cases were given, and what counts them; "" of phantoms, which are one patient each.
    """

    paper: Paper
    rows: tuple[RowResult, ...]
    facts: Mapping[str, str]
    patients: str = ""

    @property
    def trial(self) -> bool:
        """Whether the figures say nothing of a method."""
        return self.facts.get("scale") == TRIAL

    def orders(self, table: PublishedTable) -> Sequence[Order]:
        """The own method against each rival of a table, and against real cases alone where the table has them."""
        rows = {row.row: row for row in self.rows}
        own = rows.get(self.paper.own)
        figure = table.figures[self.paper.own]
        rivals = [(name, each) for name, each in table.figures.items() if name != self.paper.own]
        found = [_order(name, (figure, each), (own, rows.get(name)), table) for name, each in rivals]
        if table.baseline is not None:
            found.insert(0, _over_real(own, (figure, table.baseline), table))
        return [_untold(each) for each in found] if self.trial else found

    def as_json(self) -> dict[str, Any]:
        """All results as JSON values."""
        return {
            "warning": WARNING,
            "paper": self.paper.title,
            "rows": [row.as_json() for row in self.rows],
            "tables": [self._table_as_json(table) for table in self.paper.tables],
            "not_made": self.paper.other_results,
            "patients": self.patients,
            "facts": dict(self.facts),
        }

    def _table_as_json(self, table: PublishedTable) -> dict[str, Any]:
        return {
            "title": table.title,
            "measure": table.measure if table.measure == "fidelity" else f"Dice of {table.arm}",
            "published": dict(table.figures),
            "published_real_alone": table.baseline,
            "published_on": table.settings,
            "unlike": table.unlike,
            "left_out": table.left_out,
            "order": {each.rival: each.finding for each in self.orders(table)},
        }


def value_of(row: RowResult, table: PublishedTable) -> Estimate | None:
    """What stands beside a figure of the table; None where it was not measured."""
    if table.measure == "utility":
        return row.dice.get(table.arm)
    return next(iter(row.distances.values())).whole if row.distances else None


def _order(
    rival: str, published: tuple[float, float], rows: tuple[RowResult | None, RowResult | None], table: PublishedTable
) -> Order:
    own, other = (None if row is None else value_of(row, table) for row in rows)
    if own is None or other is None:
        return Order(rival, published, None, "was not measured")
    overlap = own.low <= other.high and other.low <= own.high
    if overlap or not _is_comparable((own, other), rows, table):
        return Order(rival, published, (own, other), "cannot be told")
    return Order(rival, published, (own, other), _compared(own.value > other.value, published))


def _over_real(own: RowResult | None, published: tuple[float, float], table: PublishedTable) -> Order:
    """The own method against real cases alone, by the verdict on its gain."""
    if own is None or table.arm not in own.dice or REAL not in own.dice:
        return Order(REAL_ALONE, published, None, "was not measured")
    found = own.dice[table.arm], own.dice[REAL]
    verdict = own.verdicts.get(table.arm)
    if verdict not in (GAIN, LOSS):
        return Order(REAL_ALONE, published, found, "cannot be told")
    return Order(REAL_ALONE, published, found, _compared(verdict == GAIN, published))


def _compared(larger: bool, published: tuple[float, float]) -> Finding:
    return "holds" if larger == (published[0] > published[1]) else "is reversed"


def _untold(order: Order) -> Order:
    return order if order.found is None else replace(order, finding="cannot be told")


def _is_comparable(found: tuple[Estimate, Estimate], rows: Sequence[RowResult | None], table: PublishedTable) -> bool:
    """Whether two values can be held against each other: distances of one n, Dice after a course long enough."""
    if table.measure == "fidelity":
        return found[0].n == found[1].n
    return all(row is None or row.verdicts.get(table.arm) != WITHHELD for row in rows)
