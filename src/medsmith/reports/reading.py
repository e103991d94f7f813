"""Reads lesion reports given as free text, medsmith JSON, or LesionDiffusion's released JSON."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from medsmith.errors import FileError, RequestError
from medsmith.formats.json_file import read_json
from medsmith.formats.validation import first_problem
from medsmith.reports.parsing.report import ParsedReport, parse_report
from medsmith.reports.schema import LesionReport, ScanReport
from medsmith.reports.writing.authors import from_released

_SCHEMA = "see medsmith report schema"


def read_report(description: str) -> ParsedReport:
    """Reads a report from text or from a JSON file.

    Args:
        description: free text, or the path of a .json file with a `ScanReport` or an object in the released format
            (keys are TotalSegmentator organ numbers).

    Raises:
        RequestError: the text describes no lesion, or an impossible size or density.
        FileError: the file has neither format, or does not end in .json.
    """
    if description.strip().endswith(".json"):
        parsed = _from_file(Path(description.strip()))
    elif _is_file(description):
        raise FileError(
            description, "a file of another ending", "reports are read from .json", "rename it, or give its words"
        )
    else:
        parsed = parse_report(description)
    check_describes_lesion(parsed, description)
    for item in parsed.unplaced:
        if item.impossible:
            raise RequestError(
                "report", f"'{item.phrase}' is not possible", item.reason, "say another, or leave it out"
            )
    return parsed


def check_describes_lesion(parsed: ParsedReport, description: str) -> None:
    """Refuses a report without lesions.

    Raises:
        RequestError: the input describes no lesion.
    """
    if not parsed.report.lesions:
        cure = "say what and where: 'a 20 mm cyst in the right kidney'"
        raise RequestError("report", f"'{description}' describes no lesion", "; ".join(parsed.remarks), cure)


def _from_file(path: Path) -> ParsedReport:
    value = read_json(path)
    if value and all(str(key).isdecimal() for key in value):
        return from_released(value, subject=path)
    if "lesions" not in value:
        raise FileError(path, "no key 'lesions'", _nearest("lesions", value), _SCHEMA)
    try:
        return ParsedReport(ScanReport.model_validate(value))
    except ValidationError as error:
        problem = first_problem(error)
        known = _nearest(problem.key.rpartition(".")[2], LesionReport.model_fields)
        limit = known if problem.kind == "extra_forbidden" else problem.limit
        raise FileError(path, problem.found, limit, _SCHEMA) from None


def _is_file(description: str) -> bool:
    try:
        return Path(description).is_file()
    except (OSError, ValueError):  # too long for a file name
        return False


def _nearest(key: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"nearest: {near[0]}" if near else f"there are {', '.join(names) or 'none'}"
