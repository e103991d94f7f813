"""What of the report of a real case is kept: the fields of a structured report, and no free text.

Free text of a clinical report may name patient, doctor or date; so may a field that nobody foresaw.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from medsmith.reports.organs import ORGANS
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.schema import LesionReport

_MEASUREMENT = re.compile(r"[a-z][a-z0-9_]{0,39}")


def structured(report: Mapping[str, Any], label_names: Iterable[str]) -> tuple[dict[str, Any] | None, int]:
    """The known fields of a report, and the number of entries that are left out.

    A lesion of which nothing is known stays as an empty one, so that their number stays.

    Args:
        report: any JSON object.
        label_names: of the cohort; they may also name organ and type of a lesion.

    Returns:
        The report, None if it lists no lesions, and how many entries were left out.
    """
    names = {*ORGANS, *LESION_TYPES, *label_names}
    found = report.get("lesions")
    if not isinstance(found, list):
        return None, len(report)
    lesions = [_lesion(each, names) if isinstance(each, Mapping) else {} for each in found]
    lost = sum(_entries(old) - _entries(new) for old, new in zip(found, lesions, strict=True))
    return {"lesions": lesions}, len(report) - 1 + lost


def _lesion(entries: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    kept = {key: value for key, value in entries.items() if key != "measured" and _is_field(key, value, names)}
    measured = entries.get("measured")
    if isinstance(measured, Mapping):
        kept["measured"] = {
            name: value for name, value in measured.items() if _MEASUREMENT.fullmatch(name) and _is_number(value)
        }
    return kept


def _is_field(key: str, value: Any, names: set[str]) -> bool:
    if key in ("organ", "lesion_type"):
        return value is None or value in names
    try:
        LesionReport.model_validate({key: value})
    except ValidationError:
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _entries(lesion: Any) -> int:
    """Number of entries of a lesion, those of its measurements each."""
    if not isinstance(lesion, Mapping):
        return 1
    measured = lesion.get("measured")
    return len(lesion) + (len(measured) if isinstance(measured, Mapping) else 0)
