"""An earlier report in the folder of a new one: the same call may write it again, any other is refused."""

from collections.abc import Callable, Mapping
from pathlib import Path

from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, counted
from medsmith.formats.json_file import read_json

_CURE = "choose a new folder"


def check_same_report(record: Path, asked: Callable[[], Mapping[str, str | None]], part: str = "") -> None:
    """Refuses to replace the report of other inputs or options.

    Args:
        record: the JSON file of the report; nothing is checked, nor asked for, where there is none.
        asked: gives the facts that decide the report, by their names in the record; None for what is not given.
        part: of the record that holds the facts; by default they stand at its top.

    Raises:
        CohortError: the file is the report of other inputs or options; the message names them.
        FileError: it cannot be read.
    """
    if not record.is_file():
        return
    stored = read_json(record)
    holder = stored.get(part) if part else stored
    facts = holder.get("facts") if isinstance(holder, dict) else None
    if not isinstance(facts, dict):
        found = f"holds a report of another kind ({record.name})"
        raise CohortError(record.parent, found, "one folder, one report", _CURE)
    wanted = asked()
    other = [name for name in wanted if facts.get(name) != wanted[name]]
    if other:
        found = f"holds a report of other inputs or options ({record.name} differs in {', '.join(other)})"
        raise CohortError(record.parent, found, "one folder, one report", _CURE)


def cohort_line(cohort: Cohort) -> str:
    """What identifies a cohort in the facts of a report: its number of cases and the hash of their content."""
    return f"{counted(len(cohort), 'case')}, content {cohort.content_hash()}"
