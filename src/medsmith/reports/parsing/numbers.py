"""Sizes and CT values in free text: "8 x 12 x 14 mm", "2 cm", "12 and 15 mm", "approximately -20 HU"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, final

from medsmith.reports.parsing.measurements import MM, NUMBER, Box, Edges, box_of, find_measurements

_SIGNED = rf"(?:(?<![\w.])[-+]|minus )?{NUMBER}"
_HU = r"(?:hu|hounsfield units?|hounsfield)\b"
_HU_PATTERNS: Final = (
    re.compile(rf"(?<!\d)(?P<low>{_SIGNED})\s*(?:-|to)\s*(?P<value>{_SIGNED})\s*{_HU}"),
    re.compile(rf"(?<![\w.,])(?P<value>{_SIGNED})\s*{_HU}(?P<low>)"),
    re.compile(rf"\b{_HU}(?:\s+value)?\s*(?:of|is|=|:)?\s*(?P<value>{_SIGNED})(?![\w.])(?P<low>)"),
)
_LONGEST_MM = 400
_LOWEST_HU, _HIGHEST_HU = -1024, 3071

_FORMER_BEFORE: Final = re.compile(
    r"\b(?:prev(?:ious(?:ly)?)?|prior|former(?:ly)?|earlier|compared|versus|vs|baseline)\b(?!.*\b(?:now|current(?:ly)?|today)\b)"
)
_FORMER_AFTER: Final = re.compile(
    r"\s+(?:previously|before|earlier|formerly|(?:on|in|at) (?:the )?(?:prior|previous))\b(?!\D{0,12}\d)"
)
_CHANGED: Final = re.compile(r"\b(?:increas|decreas|gr[eo]w|shr[iau]nk|enlarg|chang|progress|regress)\w*\b")
_CHANGED_FROM: Final = re.compile(rf"\bfrom\s*$|{_CHANGED.pattern}(?:\s+\w+){{0,3}}\s+(?:by|of)\s*$")
_WAS: Final = re.compile(r"\bwas\b")
_BRACKETED_WAS: Final = re.compile(r"[(,]\s*was\s*$")
_NOW_AFTER: Final = re.compile(r"\W*(?:(?:and|but|is)\s+)*(?:now|currently)\b")
_OTHER_BEFORE: Final = re.compile(
    r"(?:\b(?:slice|section|wall|solid|soft|cystic|invasive|main|common|bile|pancreatic)\s+)*"
    r"\b(?:thickness|spacing|distance|components?|ducts?|caliber)\b"
    r"(?:\s+(?:of|to|up|is|measures|measuring|about|approximately|was|the|from|pleura|fissure|capsule))*\s*[:=]?\s*$"
)
_DILATED_BEFORE: Final = re.compile(r"\bdilat\w*(?:\s+(?:of|to|up|is|measuring|about))*\s*$")
_OTHER_AFTER: Final = re.compile(
    r"\s*(?:(?:slice|section)s?(?: thickness)?|thick(?![ -]+walled)"
    r"|(?:solid|soft tissue|cystic|invasive) components?"
    r"|(?:pancreatic |bile )?ducts?)\b"
)
_DISTANCE_AFTER: Final = re.compile(r"\s*(?:from|away|apart|off|deep|distal to|proximal to|above|below)\b")
_WITHIN: Final = re.compile(r"\bwithin\s+$")
_OF: Final = re.compile(r"\s+(?:of|from)\b")
_CONTEXT = 40
_EARLIER = "an earlier size"
NOT_THE_SIZE: Final = "a length that is not the size of the lesion"


@final
@dataclass(frozen=True)
class Number:
    """A number in a text.

    Attributes:
        start: its first character.
        end: one past its last.
        attribute: "size_mm" or "ct_value_hu"; None if neither.
        value: edges in mm, or HU.
        sizes: edges of several lesions, in mm, where lengths are listed ("12 and 15 mm").
        reason: why it is not accepted.
        nearest: accepted alternatives.
        note: assumption made.
        impossible: whether it is outside the possible range.
        aside: whether it measures something else than the lesion as it is now.
    """

    start: int
    end: int
    attribute: str | None
    value: Edges | float | None = None
    sizes: tuple[Edges, ...] = ()
    reason: str = ""
    nearest: tuple[str, ...] = ()
    note: str = ""
    impossible: bool = False
    aside: bool = False


def find_numbers(text: str) -> tuple[Number, ...]:
    """Sizes and CT values in a lower-case text, in order.

    One length is a diameter (three equal edges). For two, the third edge is their geometric mean. Three are the edges
    along the patient's right-left, anterior-posterior and inferior-superior axes, unless they are labeled (AP, TR, CC).
    Listed lengths are the sizes of several lesions, and the edges of one where there is only one. A range is not
    accepted as a size. Earlier sizes, distances and thicknesses are set aside.
    """
    numbers = list(_ct_values(text))
    for boxes in find_measurements(text, [(number.start, number.end) for number in numbers]):
        for part in _parted(boxes, text):
            numbers += _measured(part, text)
    return tuple(sorted(numbers, key=lambda number: number.start))


def _ct_values(text: str) -> Iterator[Number]:
    taken: list[tuple[int, int]] = []
    for pattern in _HU_PATTERNS:
        for match in pattern.finditer(text):
            if all(match.end() <= start or match.start() >= end for start, end in taken):
                taken.append(match.span())
                yield _ct_value(match)


def _ct_value(match: re.Match[str]) -> Number:
    value = float(match["value"].replace("minus ", "-"))
    if match["low"]:
        middle = (float(match["low"].replace("minus ", "-")) + value) / 2
        return Number(*match.span(), None, reason="a range", nearest=(f"{middle:g} HU",))
    if _LOWEST_HU <= value <= _HIGHEST_HU:
        return Number(*match.span(), "ct_value_hu", value)
    return Number(*match.span(), None, reason=f"CT values go from {_LOWEST_HU} to {_HIGHEST_HU} HU", impossible=True)


def _parted(boxes: tuple[Box, ...], text: str) -> Iterator[tuple[Box, ...]]:
    """A list without a last length that is not one of its sizes ("9 mm, 6 mm from the pleura")."""
    after = text[boxes[-1].end : boxes[-1].end + _CONTEXT]
    patterns = (_FORMER_AFTER, _OTHER_AFTER, _DISTANCE_AFTER)
    if len(boxes) > 1 and boxes[0].link == "list" and any(pattern.match(after) for pattern in patterns):
        yield (*boxes[:-2], replace(boxes[-2], link="none"))
        yield boxes[-1:]
    else:
        yield boxes


def _measured(boxes: tuple[Box, ...], text: str) -> Iterator[Number]:
    start, end = boxes[0].start, boxes[-1].end
    before, after = _before(text, start), text[end : end + _CONTEXT]
    former = _FORMER_BEFORE.search(before) or _FORMER_AFTER.match(after)
    if (
        former
        or _BRACKETED_WAS.search(text[max(start - _CONTEXT, 0) : start])
        or (_WAS.search(before) and _NOW_AFTER.match(after))
    ):
        yield Number(start, end, None, reason=_EARLIER, aside=True)
    elif boxes[-1].units[-1] is None:
        return
    elif boxes[0].link == "range":
        yield from _range(boxes[0], boxes[1], before)
    elif _CHANGED_FROM.search(before):
        yield Number(start, end, None, reason=_EARLIER, aside=True)
    elif other := _other_length(start, end, before, after):
        yield other
    else:
        yield _size(boxes, text)


def _other_length(start: int, end: int, before: str, after: str) -> Number | None:
    """A length that does not measure the lesion; it includes the words that say what it measures."""
    named, named_after = _OTHER_BEFORE.search(before), _OTHER_AFTER.match(after)
    if named and before:
        start -= len(before) - named.start()
    elif named_after:
        end += named_after.end()
    elif not (
        _DILATED_BEFORE.search(before) or _DISTANCE_AFTER.match(after) or (_WITHIN.search(before) and _OF.match(after))
    ):
        return None
    return Number(start, end, None, reason=NOT_THE_SIZE, aside=True)


def _before(text: str, start: int) -> str:
    """What is said before a number, from the last punctuation or digit on; before its bracket, if that has no words."""
    parts = re.split(r"[.;:,()\d]", text[max(start - _CONTEXT, 0) : start])
    return parts[-1] if parts[-1].strip() or len(parts) == 1 else parts[-2]


def _range(low: Box, high: Box, before: str) -> Iterator[Number]:
    if _CHANGED.search(before) or low.lengths[1:]:
        yield Number(low.start, low.end, None, reason=_EARLIER, aside=True)
        yield _size((high,), "")
        return
    unit = high.units[-1] or "mm"
    middle = sum(low.edges(unit) + high.edges(unit)) / 2
    shown = middle / MM[unit]
    yield Number(low.start, high.end, None, reason="a range", nearest=(f"{shown:g} {unit}",))


def _size(boxes: tuple[Box, ...], text: str) -> Number:
    span = boxes[0].start, boxes[-1].end
    unit = boxes[-1].units[-1] or "mm"
    edges = [box.edges(unit) for box in boxes]
    if not all(0 < edge <= _LONGEST_MM for box in edges for edge in box):
        return Number(*span, None, reason=f"edges are above 0 and at most {_LONGEST_MM} mm", impossible=True)
    if any(len(box) > 3 for box in edges):
        return Number(*span, None, reason="a box has three edges")
    sizes = tuple(box_of(lengths, box.labels) for lengths, box in zip(edges, boxes, strict=True))
    if len(boxes) > 1:
        return Number(*span, "size_mm", _as_edges(edges), sizes)
    note = (
        f"'{text[span[0] : span[1]]}': the third edge is taken as {_third(edges[0]):g} mm" if len(edges[0]) == 2 else ""
    )
    return Number(*span, "size_mm", sizes[0], note=note)


def _third(edges: tuple[float, ...]) -> float:
    return box_of(edges)[2]


def _as_edges(boxes: list[tuple[float, ...]]) -> Edges | None:
    """Listed lengths as the edges of one lesion; None if they cannot be."""
    lengths = tuple(edge for box in boxes for edge in box)
    return box_of(lengths) if len(lengths) in (2, 3) and len(lengths) == len(boxes) else None
