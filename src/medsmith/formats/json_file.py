"""Reads JSON objects, lists and lines; errors are one line; duplicate keys, NaN and lone surrogates are refused."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

from medsmith.errors import FileError
from medsmith.formats.opening import read_bytes

_LIMIT = 256 * 2**20
_DEPTH = 100


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        FileError: it cannot be read, is not JSON, not an object, nested too deep, or names a key twice.
    """
    value = _value_of(_text_of(path), path)
    if not isinstance(value, dict):
        raise FileError(path, f"holds a JSON {type(value).__name__}", "an object is expected", "restore it")
    return value


def read_json_list(path: Path) -> list[Any]:
    """Reads a JSON list.

    Raises:
        FileError: as `read_json`, or it is not a list.
    """
    value = _value_of(_text_of(path), path)
    if not isinstance(value, list):
        raise FileError(path, f"holds a JSON {type(value).__name__}", "a list is expected", "restore it")
    return value


def read_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Reads a file with a JSON value on each line; yields line numbers, from 1, and values. Empty lines are skipped.

    Raises:
        FileError: as `read_json`, for a line.
    """
    for number, line in enumerate(_text_of(path).split("\n"), start=1):
        if line.strip():
            yield number, _value_of(line, f"{path}, line {number}")


def _text_of(path: Path) -> str:
    try:
        return read_bytes(path, _LIMIT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(path, f"not JSON ({error})", cure="repair or restore it") from error


def _value_of(text: str, subject: object) -> Any:
    try:
        value = parse_json(text)
    except json.JSONDecodeError as error:
        place = f" in line {error.lineno}" if isinstance(subject, Path) else ""
        raise FileError(subject, f"not JSON ({error.msg}{place})", cure="repair or restore it") from error
    except (RecursionError, ValueError) as error:
        raise FileError(subject, f"not JSON ({error})", cure="repair or restore it") from error
    if not _is_shallow(value):
        raise FileError(subject, f"nested more than {_DEPTH} deep", cure="repair or restore it")
    return value


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, names a key twice, or holds NaN, Infinity or half of a surrogate pair, which no file
            of medsmith can hold.
        RecursionError: it is nested too deep.
    """
    constants: list[str] = []
    value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=lambda name: _Constant(name, constants))
    if constants:
        raise ValueError(f"{_place_of_constant(value)} = {constants[0]} is no number of JSON")
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            lone = error.object[error.start : error.start + 1].encode("unicode_escape").decode()
            raise ValueError(f"a text holds {lone}, half of a character") from None
    return value


@final
class _Constant:
    """NaN or Infinity, which Python reads and JSON does not have."""

    def __init__(self, name: str, found: list[str]) -> None:
        found.append(name)


def _place_of_constant(value: Any) -> str:
    """The dotted key of the first constant."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(inner, _Constant):
                return str(key)
            if place := _place_of_constant(inner):
                return f"{key}.{place}"
    return "value" if isinstance(value, _Constant) else ""


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return not level


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"key {twice!r} is given twice")
    return result
