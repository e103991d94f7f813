"""What a user says of lesions, in whatever form: words, our JSON, or the released one."""

import difflib
import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from medsmith.errors import FileError, RequestError
from medsmith.formats.json_file import read_json
from medsmith.reports.parsing.report import ParsedReport, parse_report
from medsmith.reports.schema import LesionReport, ScanReport
from medsmith.reports.writing.authors import from_released

_SCHEMA = "see medsmith report schema"
_SHOWN = 60


def read_report(said: str) -> ParsedReport:
    """Reads words, or a JSON file by its name.

    Args:
        said: a description of lesions, or the path of a file that ends in .json: a `ScanReport`, or an object of the
            released form (keys are TotalSegmentator's organ numbers).

    Raises:
        RequestError: the words describe no lesion, or one of an impossible size or density.
        FileError: the file is of neither form, or its name ends otherwise.
    """
    if said.strip().endswith(".json"):
        parsed = _from_file(Path(said.strip()))
    elif _is_file(said):
        raise FileError(said, "a file of another ending", "reports are read from .json", "rename it, or give its words")
    else:
        parsed = parse_report(said)
    check_describes_lesion(parsed, said)
    for item in parsed.unplaced:
        if item.impossible:
            raise RequestError(
                "report", f"'{item.phrase}' is not possible", item.reason, "say another, or leave it out"
            )
    return parsed


def check_describes_lesion(parsed: ParsedReport, said: str) -> None:
    """Refuse a report of nothing.

    Raises:
        RequestError: what was said describes no lesion.
    """
    if not parsed.report.lesions:
        cure = "say what and where: 'a 20 mm cyst in the right kidney'"
        raise RequestError("report", f"'{said}' describes no lesion", "; ".join(parsed.remarks), cure)


def _from_file(path: Path) -> ParsedReport:
    value = read_json(path)
    if value and all(str(key).isdecimal() for key in value):
        return from_released(value, subject=path)
    if "lesions" not in value:
        raise FileError(path, "no key 'lesions'", _nearest("lesions", value), _SCHEMA)
    try:
        return ParsedReport(ScanReport.model_validate(value))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _nearest(str(first["loc"][-1]), LesionReport.model_fields)
            raise FileError(path, f"unknown key '{key}'", known, _SCHEMA) from None
        given = json.dumps(first["input"], default=str)[:_SHOWN]
        raise FileError(path, f"{key} = {given}", first["msg"], _SCHEMA) from None


def _is_file(said: str) -> bool:
    try:
        return Path(said).is_file()
    except (OSError, ValueError):  # too long for a name, as descriptions are
        return False


def _nearest(key: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"nearest: {near[0]}" if near else f"there are {', '.join(names) or 'none'}"
