"""Lengths in free text: single ones, edges of a box, lists of lengths and ranges, with what they measure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from math import sqrt
from typing import Final, Literal, final

NUMBER: Final = r"\d+(?:\.\d+)?"
_UNIT: Final = r"(?:(?:mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?|inch(?:es)?)(?!\w|\s*\^)|\"|'')"
_UNITS: Final = {"m": "mm", "c": "cm"}
MM: Final = {"mm": 1.0, "cm": 10.0, "in": 25.4}
"""Unit of length -> millimeters."""
_QUANTITY: Final = re.compile(rf"(?<![\d.])(?<![a-wyz_]){NUMBER}(?![\d.]*\d)(?:\s*-?\s*(?P<unit>{_UNIT}))?")
_NOT_LENGTHS: Final = re.compile(r"\b(?:segment|seg|bosniak|grade|stage|level|no|number)\s$")
_AXES: Final = (
    ("tr", "tv", "trv", "ml", "rl", "lr", "trans", "transverse", "transversal", "w", "width"),
    ("ap", "anteroposterior", "antero-posterior", "anterior-posterior", "d", "depth"),
    ("cc", "si", "craniocaudal", "cranio-caudal", "cephalocaudal", "superoinferior", "l", "length", "h", "height"),
)
"""Labels of edges along the patient's right-left, anterior-posterior and inferior-superior axes."""
_LABEL: Final = re.compile(rf"\b(?:{'|'.join(label for labels in _AXES for label in labels)})\b(?!\s+colon)")
_LABELS_AFTER: Final = re.compile(
    rf"\s*,?\s*\(?\s*(?:in\s+)?{_LABEL.pattern}(?:(?:\s|x|,|/|by|and)*{_LABEL.pattern})*\)?"
)
_UNIT_AFTER: Final = re.compile(rf"\s*({_UNIT})")
_LABEL_BEFORE: Final = re.compile(rf"{_LABEL.pattern}\s*$")
_ANNOUNCING: Final = re.compile(r"(?:[(:,]|measuring|of|are)\s*$")
_LINKS: Final[tuple[tuple["Link", re.Pattern[str]], ...]] = (
    ("edge", re.compile(r"\s*(?:x|by)\s*")),
    ("range", re.compile(r"\s*(?:-|to)\s*")),
    ("list", re.compile(r"\s*(?:,|/|,?\s*and)\s*")),
)
_CONTEXT = 40
"""Characters before a number that are looked at."""

Link = Literal["edge", "range", "list", "none"]
Edges = tuple[float, float, float]


@final
@dataclass(frozen=True)
class Box:
    """One lesion's edges as written.

    Attributes:
        start: its first character.
        end: one past its last.
        lengths: in the unit.
        units: "mm", "cm", "in" (inches) or None, one for each length.
        labels: axes that are named, in order.
        link: how the next box is joined.
    """

    start: int
    end: int
    lengths: tuple[float, ...]
    units: tuple[str | None, ...]
    labels: tuple[int, ...] = ()
    link: Link = "none"

    def edges(self, unit: str) -> tuple[float, ...]:
        """Lengths in mm; one without a unit takes that of the next length that has one.

        Args:
            unit: after the last length.
        """
        factors = []
        for own in reversed(self.units):
            unit = own or unit
            factors.append(MM[unit])
        return tuple(round(length * factor, 6) for length, factor in zip(self.lengths, reversed(factors), strict=True))


def find_measurements(text: str, taken: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[Box, ...]]:
    """Boxes that belong together by a range or a list, in order. The last has a unit, unless it stands alone.

    Args:
        text: lower-case.
        taken: spans that hold other numbers.
    """
    boxes = list(_boxes(text, taken))
    while boxes:
        run = [*takewhile(lambda box: box.link != "none", boxes)]
        run.append(boxes[len(run)])
        del boxes[: len(run)]
        while len(run) > 1 and run[-1].units[-1] is None:
            run.pop()
            run[-1] = replace(run[-1], link="none")
        while run[0].link == "list" and not _begins_list(run, text):
            run = run[1:]
        if run[0].link == "range":
            yield tuple(run[:2])
            run = run[2:]
        yield from [tuple(run)] if run else []


def _begins_list(run: Sequence[Box], text: str) -> bool:
    """Whether a number without a unit begins a list of lengths: "12, 15 and 18 mm" does, "rib 2, 12 mm" does not."""
    if run[0].units[-1] is not None:
        return True
    alike = len({len(box.lengths) for box in run}) == 1
    between = text[run[0].end : run[-1].start]
    announced = _ANNOUNCING.search(_before(text, run[0].start))
    return alike and bool("and" in between or "/" in between or announced)


def box_of(edges: tuple[float, ...], labels: tuple[int, ...] = ()) -> Edges:
    """The edges of a bounding box along the patient's right-left, anterior-posterior and inferior-superior axes.

    Args:
        edges: one to three, mm. One is a diameter; for two, the third is their geometric mean.
        labels: axes of the edges; used if each edge has its own.
    """
    if len(edges) == 1:
        return edges[0], edges[0], edges[0]
    given = (*edges, round(sqrt(edges[0] * edges[1]), 1))[:3]
    if len(labels) != len(edges) or len(set(labels)) != len(labels):
        return given[0], given[1], given[2]
    along = dict(zip((*labels, *({0, 1, 2} - set(labels))), given, strict=True))
    return along[0], along[1], along[2]


def _boxes(text: str, taken: Sequence[tuple[int, int]]) -> Iterator[Box]:
    """Quantities joined by "x" or "by", with their labels."""
    current: Box | None = None
    for match in _QUANTITY.finditer(text):
        if any(match.start() < end and match.end() > start for start, end in taken):
            continue
        if _NOT_LENGTHS.search(_before(text, match.start())):
            continue
        quantity = _quantity(match, text, 0 if current is None else current.end)
        if current is None:
            current = quantity
            continue
        between = text[current.end : quantity.start]
        labeled = current.labels and quantity.labels and not between.strip(" ,")
        link = "edge" if labeled else _link(between)
        if link == "edge":
            current = _joined(current, quantity)
        else:
            yield replace(current, link=link)
            current = quantity
    if current is not None:
        yield current


def _quantity(match: re.Match[str], text: str, free: int) -> Box:
    """A length with the labels around it, from the first character on that is free."""
    unit = match["unit"]
    start, end = match.span()
    labels: tuple[int, ...] = ()
    found = re.search(NUMBER, match[0])
    assert found is not None
    said = text[max(start - _CONTEXT, free) : start]
    before = _LABEL_BEFORE.search(said)
    after = _LABELS_AFTER.match(text, end)
    if before:
        start, labels = start - len(said) + before.start(), _axes(before[0])
    if after:
        end, labels = after.end(), (*labels, *_axes(after[0]))
        if unit is None and (late := _UNIT_AFTER.match(text, end)):
            unit, end = late[1], late.end()
    return Box(start, end, (float(found[0]),), (None if unit is None else _UNITS.get(unit[0], "in"),), labels)


def _before(text: str, start: int) -> str:
    return text[max(start - _CONTEXT, 0) : start]


def _joined(box: Box, other: Box) -> Box:
    lengths, units = (*box.lengths, *other.lengths), (*box.units, *other.units)
    return Box(box.start, other.end, lengths, units, (*box.labels, *other.labels))


def _link(between: str) -> Link:
    return next((link for link, pattern in _LINKS if pattern.fullmatch(between)), "none")


def _axes(phrase: str) -> tuple[int, ...]:
    words = (found[0] for found in _LABEL.finditer(phrase))
    return tuple(next(axis for axis, labels in enumerate(_AXES) if word in labels) for word in words)
