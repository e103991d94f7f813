"""Reads JSON objects; errors are one line; duplicate keys, NaN and lone surrogates are refused."""

import json
from pathlib import Path
from typing import Any

from medsmith.errors import FileError
from medsmith.formats.opening import read_bytes

_LIMIT = 256 * 2**20
_DEPTH = 100


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        FileError: it cannot be read, is not JSON, not an object, nested too deep, or names a key twice.
    """
    try:
        value = parse_json(read_bytes(path, _LIMIT).decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        found = f"not JSON ({error.msg} in line {error.lineno})"
        raise FileError(path, found, cure="repair or restore it") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise FileError(path, f"not JSON ({error})", cure="repair or restore it") from error
    if not _is_shallow(value):
        raise FileError(path, f"nested more than {_DEPTH} deep", cure="repair or restore it")
    if not isinstance(value, dict):
        raise FileError(path, f"holds a JSON {type(value).__name__}", "an object is expected", "restore it")
    return value


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, names a key twice, or holds NaN, Infinity or half of a surrogate pair, which no file
            of medsmith can hold.
        RecursionError: it is nested too deep.
    """
    value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            lone = error.object[error.start : error.start + 1].encode("unicode_escape").decode()
            raise ValueError(f"a text holds {lone}, half of a character") from None
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


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
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} is given twice")
    return result
