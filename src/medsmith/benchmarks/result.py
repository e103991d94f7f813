"""What a run found, and what of a paper's order of rows holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

from medsmith.benchmarks.papers import Paper, PublishedTable
from medsmith.evaluation.downstream.result import WITHHELD
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.comparison import Comparison
from medsmith.evaluation.pages.page import WARNING

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
        attempts: of all cases.
        cases: that were made.
        missing: why nothing was made or measured; "" where all was.
    """

    row: str
    distances: Mapping[str, Comparison] = field(default_factory=dict)
    dice: Mapping[str, Estimate] = field(default_factory=dict)
    gains: Mapping[str, Estimate] = field(default_factory=dict)
    verdicts: Mapping[str, str] = field(default_factory=dict)
    attempts: int = 0
    cases: int = 0
    missing: str = ""

    def as_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "row": self.row,
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
        rival: the row that it is compared with.
        published: figures of the own method and of the rival.
        found: values of both; None where one was not measured.
        finding: "cannot be told" where the intervals overlap, the numbers of cases behind distances differ, or networks
            were not trained long enough.
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
    """

    paper: Paper
    rows: tuple[RowResult, ...]
    facts: Mapping[str, str]

    def orders(self, table: PublishedTable) -> Sequence[Order]:
        """The own method against each rival of a table."""
        rows = {row.row: row for row in self.rows}
        own = table.figures[self.paper.own]
        return [
            _order(rival, (own, figure), [rows.get(name) for name in (self.paper.own, rival)], table)
            for rival, figure in table.figures.items()
            if rival != self.paper.own
        ]

    def as_json(self) -> dict[str, Any]:
        """All results as JSON values."""
        tables = [
            {
                "title": table.title,
                "published": dict(table.figures),
                "published_on": table.settings,
                "order": {each.rival: each.finding for each in self.orders(table)},
            }
            for table in self.paper.tables
        ]
        rows = [row.as_json() for row in self.rows]
        return {
            "warning": WARNING,
            "paper": self.paper.title,
            "rows": rows,
            "tables": tables,
            "facts": dict(self.facts),
        }


def value_of(row: RowResult, table: PublishedTable) -> Estimate | None:
    """What stands beside a figure of the table; None where it was not measured."""
    if table.measure == "utility":
        return row.dice.get(table.arm)
    return next(iter(row.distances.values())).whole if row.distances else None


def _order(
    rival: str, published: tuple[float, float], rows: Sequence[RowResult | None], table: PublishedTable
) -> Order:
    own, other = (None if row is None else value_of(row, table) for row in rows)
    if own is None or other is None:
        return Order(rival, published, None, "was not measured")
    overlap = own.low <= other.high and other.low <= own.high
    if overlap or not _is_comparable((own, other), rows, table):
        return Order(rival, published, (own, other), "cannot be told")
    alike = (own.value > other.value) == (published[0] > published[1])
    return Order(rival, published, (own, other), "holds" if alike else "is reversed")


def _is_comparable(found: tuple[Estimate, Estimate], rows: Sequence[RowResult | None], table: PublishedTable) -> bool:
    """Whether two values can be held against each other: distances of one n, Dice after a course long enough."""
    if table.measure == "fidelity":
        return found[0].n == found[1].n
    return all(row is None or row.verdicts.get(table.arm) != WITHHELD for row in rows)
