"""Several reports in one place: lines of JSON, a JSON list, or a folder of JSON files."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from medsmith.errors import FileError
from medsmith.formats.json_file import read_json, read_json_lines, read_json_list
from medsmith.reports.reading import from_object
from medsmith.reports.schema import MAX_LESIONS, ScanReport

LINES: Final = ".jsonl"
_ENDING: Final = ".json"
_LOOKED_AT: Final = 4096
"""Bytes in which a list begins, after empty lines."""
_CURE: Final = "see medsmith report schema"


def holds_reports(description: str) -> bool:
    """Whether a description names several reports: a folder, a .jsonl file, or a .json file with a list."""
    text = description.strip()
    if not text:  # else the path of the working directory
        return False
    try:
        path = Path(text)
        if path.is_dir() or text.endswith(LINES):
            return True
        if not text.endswith(_ENDING) or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(_LOOKED_AT).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    except (OSError, ValueError):  # no path: too long, or with a null character
        return False


def read_reports(path: Path) -> tuple[ScanReport, ...]:
    """All reports, in the order of lines or list items, or by file name.

    Each is a `ScanReport` or an object in LesionDiffusion's released format.

    Args:
        path: a .jsonl file (one report per line, as ``medsmith report sample`` prints them), a .json file with a list,
            or a folder of .json files; its other files are not read.

    Raises:
        FileError: there are none, or one of them cannot be read, has no lesion or too many, or holds what cannot be
            understood; names the line, item or file.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0
    return _read(path, changed)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> tuple[ScanReport, ...]:  # noqa: ARG001
    reports = tuple(_report(value, subject) for subject, value in _objects(path))
    if not reports:
        raise FileError(path, "holds no reports", f"one per line, list item or {_ENDING} file", "name another")
    return reports


def _objects(path: Path) -> Iterator[tuple[str, Any]]:
    """Where each report is from, and its JSON value."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix == _ENDING and not file.name.startswith("."))
        yield from ((str(file), read_json(file)) for file in files)
    elif path.name.endswith(LINES):
        yield from ((f"{path}, line {number}", value) for number, value in read_json_lines(path))
    else:
        yield from ((f"{path}, item {number}", value) for number, value in enumerate(read_json_list(path), start=1))


def _report(value: Any, subject: str) -> ScanReport:
    if not isinstance(value, dict):
        raise FileError(subject, f"holds a JSON {type(value).__name__}", "a report is an object", _CURE)
    parsed = from_object(value, subject)
    if parsed.unplaced:
        raise FileError(subject, f"not understood: {parsed.unplaced[0].described}", cure="correct it")
    count = len(parsed.report.lesions)
    if not 1 <= count <= MAX_LESIONS:
        raise FileError(subject, f"{count} lesions", f"1 to {MAX_LESIONS} in a scan", "divide them, or leave it out")
    return parsed.whole
