"""Sizes and CT values in free text: "8 x 12 x 14 mm", "2 cm", "approximately -20 HU"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Final, final

_NUMBER = r"\d+(?:\.\d+)?"
_SIGNED = rf"(?:(?<![\w.])[-+]|minus )?{_NUMBER}"
_UNIT = r"(?:mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?)(?!\w|\s*\^)"
_HU = r"(?:hu|hounsfield units?|hounsfield)\b"
_EDGE = rf"{_NUMBER}\s*(?:{_UNIT})?"
_START = r"(?<![\w.,/])"
_TO = r"\s*(?:-|to)\s*"
_PATTERNS: Final = (
    ("range_mm", re.compile(rf"{_START}({_NUMBER}){_TO}({_NUMBER})\s*-?\s*({_UNIT})")),
    ("size_mm", re.compile(rf"{_START}{_EDGE}\s*(?:,|x|by)\s*{_EDGE}\s*(?:,? and|,|x|by)\s*{_NUMBER}\s*-?\s*{_UNIT}")),
    ("size_mm", re.compile(rf"{_START}{_EDGE}\s*(?:x|by)\s*{_NUMBER}\s*-?\s*{_UNIT}")),
    ("size_mm", re.compile(rf"{_START}{_NUMBER}\s*-?\s*{_UNIT}")),
    ("range_hu", re.compile(rf"({_SIGNED}){_TO}({_SIGNED})\s*{_HU}")),
    ("ct_value_hu", re.compile(rf"(?<![\w.,])({_SIGNED})\s*{_HU}")),
    ("ct_value_hu", re.compile(rf"\b{_HU}(?:\s+value)?\s*(?:of|is|=|:)?\s*({_SIGNED})(?![\w.])")),
)
_LONGEST_MM = 400
_LOWEST_HU, _HIGHEST_HU = -1024, 3071
_OTHER_LENGTHS = re.compile(r"\b(slices?|thickness|thick|spacing|distance|away|apart)\b")
_AROUND = 20


@final
@dataclass(frozen=True)
class Number:
    """A number in a text.

    Attributes:
        start: its first character.
        end: one past its last.
        attribute: "size_mm" or "ct_value_hu"; None if neither.
        value: edges in mm, or HU.
        reason: why it is not accepted.
        nearest: accepted alternatives.
        note: assumption made.
        impossible: whether it is outside the possible range.
    """

    start: int
    end: int
    attribute: str | None
    value: tuple[float, float, float] | float | None = None
    reason: str = ""
    nearest: tuple[str, ...] = ()
    note: str = ""
    impossible: bool = False


def find_numbers(text: str) -> tuple[Number, ...]:
    """Sizes and CT values in a lower-case text, in order.

    One length is a diameter (three equal edges). For two, the third edge is their geometric mean. Three are the edges
    along the patient's right-left, anterior-posterior and inferior-superior axes. A range is not accepted as a size.
    """
    taken: list[Number] = []
    for name, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if all(match.end() <= other.start or match.start() >= other.end for other in taken):
                taken.append(_read(name, match, text))
    return tuple(sorted(taken, key=lambda number: number.start))


def _read(name: str, match: re.Match[str], text: str) -> Number:
    span = match.start(), match.end()
    if name == "range_mm":
        low, high = float(match[1]), float(match[2])
        return Number(*span, None, reason="a range", nearest=(f"{(low + high) / 2:g} {match[3]}",))
    if name == "range_hu":
        return Number(*span, None, reason="a range", nearest=(f"{(_signed(match[1]) + _signed(match[2])) / 2:g} HU",))
    return _ct_value(_signed(match[1]), span) if name == "ct_value_hu" else _size(match[0], span, text)


def _signed(text: str) -> float:
    return float(text.replace("minus ", "-"))


def _ct_value(value: float, span: tuple[int, int]) -> Number:
    if _LOWEST_HU <= value <= _HIGHEST_HU:
        return Number(*span, "ct_value_hu", value)
    return Number(*span, None, reason=f"CT values go from {_LOWEST_HU} to {_HIGHEST_HU} HU", impossible=True)


def _size(phrase: str, span: tuple[int, int], text: str) -> Number:
    around = text[max(span[0] - _AROUND, 0) : span[0]] + " " + text[span[1] : span[1] + _AROUND]
    if _OTHER_LENGTHS.search(around):
        return Number(*span, None, reason="a length that is not the size of the lesion")
    edges = tuple(_millimetres(phrase))
    if not all(0 < edge <= _LONGEST_MM for edge in edges):
        return Number(*span, None, reason=f"edges are above 0 and at most {_LONGEST_MM} mm", impossible=True)
    if len(edges) == 1:
        return Number(*span, "size_mm", (edges[0], edges[0], edges[0]))
    if len(edges) == 2:
        third = round(sqrt(edges[0] * edges[1]), 1)
        note = f"'{phrase}': the third edge is taken as {third:g} mm"
        return Number(*span, "size_mm", (edges[0], edges[1], third), note=note)
    return Number(*span, "size_mm", (edges[0], edges[1], edges[2]))


def _millimetres(phrase: str) -> Iterator[float]:
    """All lengths in a phrase, in mm; one without a unit takes the unit of the last."""
    pairs = re.findall(rf"({_NUMBER})\s*-?\s*({_UNIT})?", phrase)
    last = pairs[-1][1]
    for number, unit in pairs:
        factor = 10 if (unit or last).startswith("c") else 1
        yield round(float(number) * factor, 6)
