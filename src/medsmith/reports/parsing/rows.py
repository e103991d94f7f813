"""Divides what is said of several lesions into one row for each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, final

from medsmith.reports.parsing.fragments import Fragment
from medsmith.reports.parsing.measurements import Edges
from medsmith.reports.parsing.mention import Mention
from medsmith.reports.parsing.unplaced import Unplaced

_SIDES: Final = ("right", "left")
_UNCOUNTED: Final = "the number of lesions is not said"


@final
@dataclass(frozen=True)
class Row:
    """What describes one lesion.

    Attributes:
        fragments: about it.
        size: its share of a list of sizes.
        side: its share of "bilateral".
    """

    fragments: tuple[Fragment, ...]
    size: Edges | None = None
    side: str | None = None


@final
@dataclass(frozen=True)
class Rows:
    """The rows of a mention.

    Attributes:
        rows: one for each lesion.
        unplaced: what does not fit together.
        notes: assumptions made.
    """

    rows: tuple[Row, ...]
    unplaced: tuple[Unplaced, ...] = ()
    notes: tuple[str, ...] = ()


def rows_of(mention: Mention) -> Rows:
    """One row for each lesion: by its own fragment, its size in a list, or its side; else as many equal ones."""
    if not mention.is_plural:
        return Rows((Row(tuple(mention.fragments)),))
    shared = tuple(mention.shared)
    rows = [row for member in mention.members for row in _by_size(Row((*shared, *member)), member)]
    rows = rows or list(_by_size(Row(shared), shared))
    both = any(fragment.values("sides") for fragment in shared)
    if both and len(rows) <= 2:
        own = len(rows) == 1 and any(fragment.values("side") for fragment in rows[0].fragments)
        rows = list(_by_side([*rows, Row(shared)] if own else rows))
    return _counted(mention, rows, 2 if both else None)


def _by_size(row: Row, fragments: tuple[Fragment, ...] | list[Fragment]) -> Iterator[Row]:
    sizes = next((number.sizes for part in fragments for number in part.sizes if number.sizes), ())
    yield from (replace(row, size=size) for size in sizes)
    if not sizes:
        yield row


def _by_side(rows: list[Row]) -> Iterator[Row]:
    """Two rows, one for each side; those with a side of their own keep it."""
    pair = rows if len(rows) == 2 else [rows[0]] * 2
    named = [next((side for part in row.fragments for side in part.values("side")), None) for row in pair]
    own = named if named[0] != named[1] else [None, None]
    for row, side, other, default in zip(pair, own, reversed(own), _SIDES, strict=True):
        rest = next((one for one in _SIDES if one != other), default) if other else default
        yield replace(row, side=side or rest)


def _counted(mention: Mention, rows: list[Row], both: int | None) -> Rows:
    count = mention.count or both
    members, shared = mention.members, mention.shared
    if count is None:
        single = any(part.begins_anew for part in shared) and not any(part.names_group for part in shared)
        known = single or len(rows) > 1
        return Rows(tuple(rows), notes=() if known else (f"{_UNCOUNTED}: one is taken",))
    if len(rows) > count:
        found = Unplaced(_said(mention), reason=f"it says {count} lesions and describes {len(rows)}")
        return Rows(tuple(rows), (found,))
    if len(rows) == count:
        uncounted = mention.count is None and not members and any(fragment.is_plural for fragment in shared)
        return Rows(tuple(rows), notes=(f"{_UNCOUNTED}: one on each side is taken",) if uncounted else ())
    if len(rows) == 1 and not (members and members[0][0].selects):
        return Rows(tuple(rows * count), notes=(f"{count} identical lesions",))
    rest = [Row(tuple(mention.shared))] * (count - len(rows))
    return Rows((*rows, *rest), notes=(f"{len(rest)} of {count} lesions are not described further",))


def _said(mention: Mention) -> str:
    return mention.shared[0].clause.said
