"""Parses name=value attributes, in any wording that the report vocabulary knows."""

import re
from collections.abc import Mapping
from typing import Any, Final

from medsmith.errors import RequestError, similar
from medsmith.reports.organs import find_organ
from medsmith.reports.parsing.lexicon import LEXICON, nearest_options
from medsmith.reports.parsing.numbers import find_numbers
from medsmith.reports.parsing.stemming import stems
from medsmith.reports.vocabulary import ATTRIBUTES, SYNONYMS

_LISTS: Final = ("shape", "features")
_UNITS: Final = {"size_mm": "mm", "ct_value_hu": "hu"}


def read_values(assignments: Mapping[str, str]) -> dict[str, Any]:
    """Attribute -> value; shapes and features may be comma-separated lists; numbers without a unit are mm or HU.

    Raises:
        RequestError: no such attribute, or an invalid value; names the nearest.
    """
    return {name: _value(name, text.strip()) for name, text in assignments.items()}


def read_option(phrase: str) -> tuple[str, ...]:
    """The options that a phrase denotes, of any attribute.

    Raises:
        RequestError: it denotes none; names the nearest.
    """
    for name, row in ATTRIBUTES.items():
        if row.options and (options := find_options(name, phrase)):
            return options
    near = nearest_options(phrase)
    limit = f"nearest: {', '.join(near)}" if near else ""
    raise RequestError(f"'{phrase}'", "no such option", limit, "choose one of those in medsmith report schema")


def find_options(name: str, phrase: str) -> tuple[str, ...]:
    """The options of an attribute that a phrase denotes ("hypodense lesion" gives hypodense); () if none."""
    words = stems(phrase)
    words = words[:-1] if words[-1:] == ("lesion",) else words
    own = next((o for o in ATTRIBUTES[name].options if words in map(stems, (o, *SYNONYMS.get(o, ())))), None)
    both = tuple(meaning.value for meaning in LEXICON.get(words, ()) if meaning.name == name)
    return both if len(both) > 1 or own is None else (own,)


def _value(name: str, text: str) -> Any:
    if name not in ATTRIBUTES:
        raise RequestError(name, "no such attribute", f"there are {', '.join(ATTRIBUTES)}", similar(name, ATTRIBUTES))
    if name == "organ":
        return find_organ(text) or text
    if name in _UNITS:
        return _number(name, text)
    phrases = text.split(",") if name in _LISTS else [text]
    options = tuple(dict.fromkeys(option for phrase in phrases for option in _found(name, phrase.strip())))
    return options if name in _LISTS else options[0]


def _found(name: str, phrase: str) -> tuple[str, ...]:
    options = find_options(name, phrase)
    if not options:
        near = [option for option in nearest_options(phrase) if option in ATTRIBUTES[name].options]
        limit = f"nearest: {', '.join(near)}" if near else f"there are {', '.join(ATTRIBUTES[name].options)}"
        raise RequestError(name, f"'{phrase}' is not possible", limit)
    return options


def _number(name: str, text: str) -> Any:
    with_unit = text if re.search(r"[a-zA-Z]\s*$", text) else f"{text} {_UNITS[name]}"
    numbers = find_numbers(with_unit.lower())
    whole = len(numbers) == 1 and numbers[0].end - numbers[0].start == len(with_unit)
    if whole and numbers[0].attribute == name and numbers[0].value is not None:
        return numbers[0].value
    reason = numbers[0].reason if len(numbers) == 1 else ""
    example = "size_mm=20 or size_mm=8x12x14" if name == "size_mm" else "ct_value_hu=-20"
    raise RequestError(name, f"'{text}' is not possible", reason, f"write {example}")
