"""Reads lesion reports given as free text, medsmith JSON, or LesionDiffusion's released JSON."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medsmith.errors import FileError, RequestError
from medsmith.formats.json_file import read_json
from medsmith.formats.validation import first_problem
from medsmith.reports.parsing.report import ParsedReport, parse_report
from medsmith.reports.parsing.terms import KINDS
from medsmith.reports.parsing.unplaced import NOT_UNDERSTOOD, Unplaced, shortened
from medsmith.reports.schema import LesionReport, ScanReport
from medsmith.reports.writing.authors import from_released

_SCHEMA = "see medsmith report schema"
_LENIENT = "say it in words of docs/reports.md, or go on without it: --lenient"
_SAYABLE = f"a report can say {', '.join(KINDS)} or lesion, organ, size, shape, density, CT value, margin and features"
_ORGANS_SAYABLE = "the organs are those of TotalSegmentator, soft tissue and bone"
_LISTED = 12
"""Phrases that a message names."""
_ANYWHERE = "name its organ, such as 'in the liver' or 'in the soft tissue', or go on without one: --lenient"
_UNLOCATED = "name the organ of the lesion in words of docs/reports.md"


def read_report(description: str, *, lenient: bool = False) -> ParsedReport:
    """Reads a report from text or from a JSON file.

    Args:
        description: free text, or the path of a .json file with a `ScanReport` or an object in the released format
            (keys are TotalSegmentator organ numbers).
        lenient: whether to go on without the words that were not understood.

    Raises:
        RequestError: the text describes no lesion, or an impossible size or density, or says what was not understood.
        FileError: the file has neither format, or does not end in .json.
    """
    if description.strip().endswith(".json"):
        path = Path(description.strip())
        parsed = from_object(read_json(path), path)
    elif _is_file(description):
        raise FileError(
            description, "a file of another ending", "reports are read from .json", "rename it, or give its words"
        )
    else:
        parsed = parse_report(description)
    check_report_text(parsed, description, lenient=lenient)
    return parsed


def check_report_text(parsed: ParsedReport, description: str, *, lenient: bool = False) -> None:
    """Refuses a text that describes no lesion, an impossible one, or one that was not understood whole.

    A lesion without an organ whose place was described in words that were not understood is refused even if lenient,
    one of which nothing is said where it is only if not: they would be put anywhere.

    Args:
        parsed: the parsed text.
        description: the text.
        lenient: whether to go on without the words that were not understood.

    Raises:
        RequestError: see above.
    """
    check_describes_lesion(parsed, description)
    impossible = next((item for item in parsed.unplaced if item.impossible), None)
    if impossible is not None:
        found = f"'{shortened(impossible.phrase)}' is not possible"
        raise RequestError("report", found, impossible.reason, "say another, or leave it out")
    if parsed.unlocated or (parsed.unplaced and not lenient):
        unknown = [item for item in parsed.unplaced if item.reason == NOT_UNDERSTOOD]
        others = [f"'{shortened(item.phrase)}': {item.reason}" for item in parsed.unplaced]
        found = _not_understood(unknown) or _first("; ", others)
        cure = _UNLOCATED if parsed.unlocated else _LENIENT
        sayable = _ORGANS_SAYABLE if parsed.unlocated else _SAYABLE
        limit = _nearest_terms(unknown or parsed.unplaced) or (sayable if unknown else "")
        raise RequestError("report", found, limit, cure)
    if parsed.is_anywhere and not lenient:
        limit = "the lesion would be put into any soft tissue, between organs as well"
        raise RequestError("report", "no organ is named", limit, _ANYWHERE)


def check_describes_lesion(parsed: ParsedReport, description: str) -> None:
    """Refuses a report without lesions.

    Raises:
        RequestError: the input describes no lesion.
    """
    if not parsed.report.lesions:
        cure = "say what and where: 'a 20 mm cyst in the right kidney'"
        raise RequestError(
            "report", f"'{shortened(description)}' describes no lesion", _first("; ", parsed.remarks), cure
        )


def from_object(value: Mapping[str, Any], subject: object) -> ParsedReport:
    """A report from a JSON object of either format.

    Args:
        value: a `ScanReport`, or an object in the released format.
        subject: where it is from, for error messages.

    Raises:
        FileError: the object has neither format.
    """
    if value and all(str(key).isdecimal() for key in value):
        return from_released(value, subject=subject)
    if "lesions" not in value:
        raise FileError(subject, "no key 'lesions'", _nearest("lesions", value), _SCHEMA)
    try:
        report = ScanReport.model_validate(value)
    except ValidationError as error:
        problem = first_problem(error)
        known = _nearest(problem.key.rpartition(".")[2], LesionReport.model_fields)
        limit = known if problem.kind == "extra_forbidden" else problem.limit
        raise FileError(subject, problem.found, limit, _SCHEMA) from None
    without = dict.fromkeys(option for options in report.without for option in options)
    ruled_out = () if report.remarks else tuple(without)
    return ParsedReport(report, excluded=report.without, ruled_out=ruled_out, notes=report.remarks)


def _not_understood(items: Iterable[Unplaced]) -> str:
    phrases = [f"'{shortened(item.phrase)}'" for item in items]
    return f"{_first(', ', phrases)} {'is' if len(phrases) == 1 else 'are'} not understood" if phrases else ""


def _first(between: str, phrases: Sequence[str]) -> str:
    """The first of many phrases, and how many more there are."""
    rest = len(phrases) - _LISTED
    return between.join((*phrases[:_LISTED], *([f"{rest} more"] if rest > 0 else [])))


def _nearest_terms(items: Iterable[Unplaced]) -> str:
    terms = dict.fromkeys(term for item in items for term in item.nearest)
    return f"nearest: {', '.join(list(terms)[:_LISTED])}" if terms else ""


def _is_file(description: str) -> bool:
    try:
        return Path(description).is_file()
    except (OSError, ValueError):  # too long for a file name
        return False


def _nearest(key: str, known: Iterable[str]) -> str:
    names = [shortened(name) for name in known]
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"nearest: {near[0]}" if near else f"there are {_first(', ', names) or 'none'}"
