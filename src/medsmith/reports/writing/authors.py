"""Reads and writes LesionDiffusion's released JSON report format.

One object per scan: TotalSegmentator 1 organ number -> [shape, "", fields, [centers, sizes]]. A field is text in
which every phrase ends with a comma; sizes are in voxels of 1 mm. All lesions of one organ share their fields. The
two released samples nest centers and sizes to different depths; both are read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from medsmith.errors import FileError, RequestError
from medsmith.formats.json_file import read_json
from medsmith.formats.validation import first_problem
from medsmith.reports.organs import V1
from medsmith.reports.parsing.lexicon import nearest_options
from medsmith.reports.parsing.report import ParsedReport
from medsmith.reports.parsing.unplaced import Unplaced
from medsmith.reports.schema import LesionReport, ScanReport
from medsmith.reports.values import find_options

FIELDS: Final[Mapping[str, str]] = {
    "enhancement status": "enhancement",
    "lesion location": "organ",
    "shape": "shape",
    "size": "size_mm",
    "density": "density",
    "density variations": "density_variation",
    "CT value": "ct_value_hu",
    "surface characteristics": "surface",
    "relationship with adjacent organs": "relationship",
    "specific features": "features",
    "cavity": "cavity",
}
"""Field name in the released format -> attribute."""
_LISTS: Final = ("shape", "features")
_LESION_SUFFIXED: Final = frozenset(("hypodense", "isodense", "hyperdense", "mixed-density", "hypodense fluid-like"))
_SIZE: Final = re.compile(r"\[\s*(\d+(?:\.\d+)?)[\s,]+(\d+(?:\.\d+)?)[\s,]+(\d+(?:\.\d+)?)\s*,?\s*\]")
_HU: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*HU")

Edges = tuple[float, float, float]


def read_released(path: Path, lesion_type: str | None = None) -> ParsedReport:
    """Reads a file in the released format.

    Args:
        path: JSON file.
        lesion_type: lesion type, which the format does not state.

    Raises:
        FileError: the file does not have this format.
    """
    return from_released(read_json(path), lesion_type, path)


def from_released(value: Mapping[str, Any], lesion_type: str | None = None, subject: object = "report") -> ParsedReport:
    """Converts an object in the released format to one report per box; unmatched phrases are listed.

    Raises:
        FileError: the object does not have this format; names ``subject``.
    """
    lesions: list[LesionReport] = []
    unplaced: list[Unplaced] = []
    for key, entry in value.items():
        organ = V1.get(int(key)) if key.isdecimal() and len(key) < 4 else None
        if organ is None:
            raise FileError(subject, f"organ '{key}'", "TotalSegmentator 1 numbers organs from 1 to 104")
        fields, sizes = _entry(entry, key, subject)
        said = _said(fields, unplaced)
        found: list[Edges | None] = [*(sizes or _sizes(fields.get("size", "")))]
        for size in found or [None]:
            try:
                lesions.append(LesionReport(lesion_type=lesion_type, **{**said, "organ": organ, "size_mm": size}))
            except ValidationError as error:
                raise FileError(subject, f"organ '{key}'", first_problem(error).rule) from error
    return ParsedReport(ScanReport(lesions=tuple(lesions)), tuple(unplaced), ((),) * len(lesions))


def to_released(report: ScanReport, centres: Sequence[Edges] | None = None) -> dict[str, Any]:
    """Turns a report into an object of the released form; edges are rounded to whole millimetres, at least one.

    What the form has no room for is left out: lesion type and measured numbers.

    Args:
        report: all lesions.
        centres: of each lesion's box, voxels of 1 mm; left empty where they are not known.

    Raises:
        RequestError: an organ has no number in TotalSegmentator 1, or two lesions of one organ differ in their words.
    """
    numbers = {name: number for number, name in V1.items()}
    entries: dict[str, Any] = {}
    for index, lesion in enumerate(report.lesions):
        if lesion.organ not in numbers:
            cure = "name a single organ, as kidney_left"
            raise RequestError("report", f"organ '{lesion.organ}'", "the released form has 104 organs, no groups", cure)
        key = str(numbers[lesion.organ])
        fields = _fields(lesion, key)
        entry = entries.setdefault(key, [fields["shape"], "", fields, [[], []]])
        if {**entry[2], "size": ""} != {**fields, "size": ""}:
            limit = "in the released form all lesions of an organ share their words"
            raise RequestError("report", f"two lesions of the {lesion.organ} differ", limit, "write a file for each")
        if centres is not None:
            entry[3][0].append([round(place) for place in centres[index]])
        if lesion.size_mm is not None:
            entry[3][1].append(_whole(lesion.size_mm))
    for entry in entries.values():
        sizes = " ".join(f"[{' '.join(map(str, size))}]" for size in entry[3][1])
        entry[2]["size"] = f"[{sizes}] pixel," if sizes else ""
    return entries


def _whole(size: Edges) -> list[int]:
    return [max(round(edge), 1) for edge in size]


def _fields(lesion: LesionReport, key: str) -> dict[str, str]:
    fields = {}
    for title, name in FIELDS.items():
        value = getattr(lesion, name)
        phrases = value if isinstance(value, tuple) else (value,) if value is not None else ()
        fields[title] = "".join(f"{_phrase(phrase)}," for phrase in phrases)
    fields["lesion location"] = key
    if lesion.ct_value_hu is not None:
        fields["CT value"] = f"Mean density of the lesion region is approximately {lesion.ct_value_hu:g} HU,"
    if lesion.cavity is None:
        del fields["cavity"]  # the released code works it out then
    return fields


def _phrase(option: object) -> str:
    return f"{option} lesion" if option in _LESION_SUFFIXED else str(option)


def _entry(entry: Any, key: str, subject: object) -> tuple[Mapping[str, str], list[Edges]]:
    """The fields of an organ and the sizes of its boxes."""
    limit = "expected [shape, text, fields, [centres, sizes]]"
    if not isinstance(entry, list) or len(entry) < 3 or not isinstance(entry[2], dict):
        raise FileError(subject, f"organ '{key}'", limit)
    boxes = entry[3] if len(entry) > 3 else []
    if not all(isinstance(text, str) for text in entry[2].values()) or not isinstance(boxes, list):
        raise FileError(subject, f"organ '{key}'", limit)
    return entry[2], list(_triples(boxes[1])) if len(boxes) > 1 else []


def _triples(value: Any) -> Iterator[Edges]:
    """Every list of three numbers in nested lists."""
    if isinstance(value, list) and len(value) == 3 and all(isinstance(number, int | float) for number in value):
        yield float(value[0]), float(value[1]), float(value[2])
    elif isinstance(value, list):
        for item in value:
            yield from _triples(item)


def _sizes(text: str) -> list[Edges]:
    return [(float(x), float(y), float(z)) for x, y, z in _SIZE.findall(text)]


def _said(fields: Mapping[str, str], unplaced: list[Unplaced]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for title, text in fields.items():
        name = FIELDS.get(title)
        if name == "organ" or (name == "size_mm" and _sizes(text)):
            continue
        if name == "ct_value_hu" and (value := _HU.search(text)):
            said["ct_value_hu"] = float(value[1])
        else:
            for phrase in filter(None, (part.strip() for part in text.split(","))):
                _place(name, title, phrase, said, unplaced)
    return said


def _place(name: str | None, title: str, phrase: str, said: dict[str, Any], unplaced: list[Unplaced]) -> None:
    options = find_options(name, phrase) if name else ()
    if name in _LISTS and options:
        said[name] = tuple(dict.fromkeys((*said.get(name, ()), *options)))
    elif name and options and said.setdefault(name, options[0]) == options[0]:
        return
    else:
        unplaced.append(Unplaced(phrase, nearest_options(phrase), f"in '{title}'"))
