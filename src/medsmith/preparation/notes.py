"""Notes of cases as lines: what is noted of many cases alike is told once, with their number and the first of them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from medsmith.cases.hounsfield import PADDING
from medsmith.cases.integrity import first_of
from medsmith.errors import counted

_NUMBER: Final = re.compile(r"-?\d[\d.,]*%?")
_STATED: Final = re.compile(r"padding of the value .* is in (\d+) of \d+ voxels$")
_CLIPPED: Final = re.compile(rf"(\d+) voxels? {PADDING}")


def note_lines(notes: Iterable[str], most: int, record: str) -> list[str]:
    """One line for each kind of note, in the order in which they first came.

    Args:
        notes: each ``subject: text``. Texts that differ in their numbers alone are of one kind.
        most: lines that are shown; the last says how many notes of other kinds there are.
        record: the file that holds all notes.
    """
    kinds: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for note in notes:
        subject, _, text = note.partition(": ")
        kinds[_NUMBER.sub("#", text)].append((subject, text))
    lines = [_line(alike) for alike in kinds.values()]
    left = sum(len(alike) for alike in list(kinds.values())[most:])
    return [*lines[:most], *([f"and {counted(left, 'more note')} in {record}"] if left else [])]


def _line(alike: Sequence[tuple[str, str]]) -> str:
    subject, text = alike[0]
    if len(alike) == 1:
        return f"note: {subject}: {text}"
    if len({text for _, text in alike}) == 1:
        return f"note, {len(alike)} times: {text} ({first_of(subject for subject, _ in alike)})"
    others = first_of(subject for subject, _ in alike[1:])
    return f"note, {len(alike)} times with different numbers: {subject}: {text} (likewise {others})"


def with_clipped(notes: Sequence[str], clipped: Sequence[str]) -> tuple[str, ...]:
    """The notes of a case with those on clipped padding, in place of notes that state the same voxels of padding."""
    counts = {found[1] for note in clipped if (found := _CLIPPED.search(note))}
    kept = [note for note in notes if not ((found := _STATED.search(note)) and found[1] in counts)]
    return (*kept, *clipped)
