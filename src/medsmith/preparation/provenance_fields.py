"""What of the provenance of a real case is kept: what medsmith itself writes of real cases, and no free text.

A record that was written elsewhere may name patient, doctor or date, in any field. That of a synthetic case is kept
whole: the case is made again from it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from medsmith.cases.case import Case
from medsmith.cases.integrity import first_of

PREDICTED_LABELS: Final = "Real images with predicted labels (medsmith annotate). Not for diagnosis."
"""The notice of a real case whose labels were predicted."""
_HASH = re.compile(r"[0-9a-f]{64}")
_FILES = "files"
"""Hashes of the files, which are written anew with the case."""


def known_provenance(case: Case) -> tuple[Case, int]:
    """The case with the known fields of its provenance, and the number of entries that are left out.

    Args:
        case: as read; a synthetic one is returned as it is.
    """
    record = case.provenance
    if record is None or case.synthetic:
        return case, 0
    kept = {key: value for key, value in record.items() if key in _FIELDS and _FIELDS[key](value, case)}
    return replace(case, provenance=kept), len(record.keys() - kept.keys() - {_FILES})


def with_known_provenance(case_of: Callable[[str], Case], lost: list[str]) -> Callable[[str], Case]:
    """The same function, whose cases have the known fields of their provenance.

    Args:
        case_of: id -> case.
        lost: receives the ids of the cases that lose an entry.
    """

    def known(case_id: str) -> Case:
        case, dropped = known_provenance(case_of(case_id))
        lost.extend([case_id] * bool(dropped))
        return case

    return known


def lost_lines(lost: Sequence[str]) -> tuple[str, ...]:
    """A line on the cases that lost entries, if any did."""
    what = "entries of the provenance that medsmith does not know are left out"
    return (f"{len(lost)} real cases: {what} ({first_of(list(lost))})",) if lost else ()


def _is_hash(value: Any, _case: Case) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _is_rules(value: Any, _case: Case) -> bool:
    """Number of outlines of each label, and labels with holes."""
    if not isinstance(value, Mapping) or value.keys() != {"parts", "holes"}:
        return False
    parts, holes = value["parts"], value["holes"]
    if not isinstance(parts, Mapping) or not isinstance(holes, list):
        return False
    return all(str(key).isdigit() for key in parts) and all(map(_is_whole, (*parts.values(), *holes)))


def _is_confidence(value: Any, case: Case) -> bool:
    """A number for each label."""
    return (
        isinstance(value, Mapping) and value.keys() <= case.label_names.keys() and all(map(_is_number, value.values()))
    )


def _is_of_case(value: Any, case: Case) -> bool:
    """The id of the case that this one was cropped from, which its own id names."""
    return isinstance(value, str) and value != "" and value in case.id


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FIELDS: Final[Mapping[str, Callable[[Any, Case], bool]]] = {
    "synthetic": lambda value, _case: value is False,
    "notice": lambda value, _case: value == PREDICTED_LABELS,
    "labels": lambda value, _case: value == "predicted",
    "labeler": _is_hash,
    "rules": _is_rules,
    "confidence": _is_confidence,
    "crop_of": _is_of_case,
}
