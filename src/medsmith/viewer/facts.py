"""What is known of a case beside its image: requested and measured values, checks, report and origin, as tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from medsmith.cases.damaged_records import refusing_damaged
from medsmith.cases.nnunet_folder import PROVENANCE, REPORTS
from medsmith.geometry import Geometry
from medsmith.synthesis.lesion_values import lesion_values
from medsmith.viewer.gray import lesions_of
from medsmith.viewer.place import Position, position_of

Json = Mapping[str, Any]
_ORIGIN = ("method", "template", "organ_map", "solver", "steps", "run_seed", "index", "attempt", "weights_hash")
_ORIGIN_OF_REAL = ("labels", "labeler")
_HASH = 16
"""Characters of a hash that are shown."""


@final
@dataclass(frozen=True)
class Row:
    """A row of text cells.

    Attributes:
        cells: one per column.
        failed: whether a requested value was not met or a check not passed.
    """

    cells: tuple[str, ...]
    failed: bool = False


@final
@dataclass(frozen=True)
class Facts:
    """A table of a case.

    Attributes:
        title: above it.
        head: column titles; () for pairs of name and value.
        rows: in order.
        place: where in the image it is about, mm; None for the whole case.
    """

    title: str
    head: tuple[str, ...] = ()
    rows: tuple[Row, ...] = field(default=())
    place: Position | None = None

    def as_json(self) -> Json:
        """For the page."""
        rows = [{"cells": row.cells, "failed": row.failed} for row in self.rows]
        return {"title": self.title, "head": self.head, "rows": rows, "place": self.place}


def facts_of(case_id: str, grid: Geometry, report: Json | None, provenance: Json | None) -> tuple[Facts, ...]:
    """All tables of a case; empty ones are left out.

    Args:
        case_id: its name, for errors.
        grid: in canonical orientation.
        report: of its lesions; None if there is none.
        provenance: how it was made; None if it is real.

    Raises:
        FileError: the report or the provenance is damaged.
    """
    record = provenance or {}
    with refusing_damaged(f"{PROVENANCE}/{case_id}.json"):
        made = [*_lesions(grid, record), _checks(record), _adherence(record)]
        origin = _origin(record)
    with refusing_damaged(f"{REPORTS}/{case_id}.json"):
        reported = _reported(report, record)
    return tuple(table for table in (*made, *reported, origin) if table.rows)


def failures(tables: Iterable[Facts]) -> int:
    """Number of values that were not met and checks that were not passed."""
    return sum(row.failed for table in tables for row in table.rows)


def _lesions(grid: Geometry, record: Json) -> list[Facts]:
    """Requested and measured values of inserted lesions, then their other measurements."""
    tables = []
    for number, lesion in enumerate(lesions_of(record), 1):
        title = f"Lesion {number}: {_kind_of(lesion['requested'])}"
        verdicts = [
            Row((value.attribute, value.requested, value.measured, value.met_by), value.passed is False)
            for value in lesion_values(lesion)
        ]
        seen = Row(("visible", "yes", "yes" if lesion["visible"] else "no", "yes"), not lesion["visible"])
        place = _middle_of_box(grid, lesion["box"])
        tables.append(Facts(title, ("attribute", "requested", "measured", "met by"), (*verdicts, seen), place))
        numbers = _pairs((lesion.get("measured") or {}).get("measured", {}))
        tables.append(Facts(f"Lesion {number}: measurements", (), numbers))
    return tables


def _kind_of(lesion: Json) -> str:
    found = next((lesion[key] for key in ("lesion_type", "kind", "organ", "label") if lesion.get(key)), "lesion")
    return str(found)


def _middle_of_box(grid: Geometry, box: Sequence[Sequence[int]]) -> Position:
    with np.errstate(over="ignore", invalid="ignore"):  # of a damaged box, which ``position_of`` refuses
        return position_of(grid, (np.array(box[0], np.float64) + np.array(box[1], np.float64) - 1) / 2)


def _checks(record: Json) -> Facts:
    rows = tuple(
        Row(
            (_words(check["check"]), _number(check.get("value")), _allowed(check), _outcome(check)),
            check["outcome"] == "failed",
        )
        for check in record.get("checks", ())
    )
    return Facts("Checks", ("check", "value", "allowed", "outcome"), rows)


def _allowed(check: Json) -> str:
    low, high = check.get("low"), check.get("high")
    if low is None or high is None:
        return f"≥ {low:g}" if low is not None else f"≤ {high:g}" if high is not None else ""
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _outcome(check: Json) -> str:
    return ": ".join(filter(None, (check["outcome"], check.get("reason", ""))))


def _adherence(record: Json) -> Facts:
    return Facts("Image and guides", (), _pairs(record.get("adherence", {})))


def _reported(report: Json | None, record: Json) -> list[Facts]:
    """The lesions of the report, unless the provenance says more of them."""
    if lesions_of(record):
        return []
    return [
        Facts(f"Reported lesion {number}: {_kind_of(lesion)}", (), _pairs(lesion))
        for number, lesion in enumerate(lesions_of(report), 1)
    ]


def _origin(record: Json) -> Facts:
    names = _ORIGIN if record.get("synthetic", True) else _ORIGIN_OF_REAL
    rows = [Row((_words(name), _shortened(name, record[name]))) for name in names if record.get(name) is not None]
    refused = ", ".join(f"{_words(check)} {times}" for check, times in (record.get("refused") or {}).items())
    return Facts("Origin", (), (*rows, *([Row(("refused attempts", refused))] if refused else [])))


def _shortened(name: str, value: object) -> str:
    return str(value)[:_HASH] if name in {"weights_hash", "labeler"} else str(value)


def _pairs(values: Json) -> tuple[Row, ...]:
    """Names and values; those of an object within follow under their own names."""
    rows: list[Row] = []
    for name, value in values.items():
        rows += _pairs(value) if isinstance(value, Mapping) else [Row((_words(name), _text(value)))]
    return tuple(rows)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
