"""Parses free text to reports. Every phrase is used, excluded by negation, or listed as not placed."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from medsmith.reports.parsing.lesion import ParsedLesion, read_lesion
from medsmith.reports.parsing.phrases import Clause, Phrase, read_clause
from medsmith.reports.parsing.unplaced import Unplaced
from medsmith.reports.schema import LesionReport, ScanReport

_NEXT_CLAUSE: Final = re.compile(
    r"[;\n!?]+|\.+(?!\d)|(?:,|\band\b|,\s*and\b|\bplus\b)\s+(?=(?:an?|another|one|two|three|four|five)\b)"
    r"|(?<=[a-z])(?<![mc]m)\s+and\s+(?=\d+(?:\.\d+)?\s*-?\s*[mc]m\b)",
    re.IGNORECASE,
)
_SAME: Final = frozenset(("the", "this", "that", "it", "its", "same"))
_COUNTS: Final = {"two": 2, "three": 3, "four": 4, "five": 5}
_DASHES: Final = str.maketrans({"×": "x", "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": ",", "≈": "~"})


@final
@dataclass(frozen=True)
class ParsedReport:
    """The result of parsing a text.

    Attributes:
        report: the lesions, in the order of the text.
        unplaced: phrases that match no attribute.
        excluded: per lesion, the options that the text negates ("no spiculation"); for ``complete_report``.
        notes: assumptions made.
    """

    report: ScanReport
    unplaced: tuple[Unplaced, ...] = ()
    excluded: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """One line per assumption, excluded option and unplaced phrase."""
        denied = dict.fromkeys(option for options in self.excluded for option in options)
        return (*self.notes, *(f"ruled out: {option}" for option in denied), *(item.line for item in self.unplaced))


@final
@dataclass
class _Group:
    """Clauses about one lesion, or several identical ones."""

    clauses: list[Clause] = field(default_factory=list)
    count: int = 1
    counted: set[tuple[int, int]] = field(default_factory=set)


def parse_report(text: str) -> ParsedReport:
    """Reads a description of one or several lesions.

    Sentence ends, semicolons and "and a" separate clauses. A clause with a lesion noun (cyst, tumor, mass, lesion)
    starts a new lesion, unless it refers to the last one ("the cyst", "it"); a clause without one describes the lesion
    before it. "Two cysts" gives two identical lesions. Contrast enhancement applies to the whole scan.
    """
    plain = unicodedata.normalize("NFKC", text).translate(_DASHES)
    clauses = [read_clause(part) for part in _NEXT_CLAUSE.split(plain) if part.strip()]
    groups = _grouped(clauses)
    readings = [read_lesion(group.clauses, frozenset(group.counted)) for group in groups]
    lesions, excluded = [], []
    for group, reading in zip(groups, readings, strict=True):
        if reading.describes_lesion:
            lesions += [reading.report] * group.count
            excluded += [reading.excluded] * group.count
    return ParsedReport(
        ScanReport(lesions=tuple(_with_enhancement(lesions))),
        tuple(item for reading in readings for item in reading.unplaced),
        tuple(excluded),
        tuple(_notes(groups, readings)),
    )


def _grouped(clauses: Sequence[Clause]) -> list[_Group]:
    groups: list[_Group] = []
    for clause in clauses:
        if not groups or _begins_lesion(clause, groups[-1].clauses):
            groups.append(_Group())
        groups[-1].clauses.append(clause)
        found = _counted(clause)
        if found is not None and _nouns([clause]):
            groups[-1].count, index = found
            groups[-1].counted.add((len(groups[-1].clauses) - 1, index))
    return groups


def _nouns(clauses: Sequence[Clause]) -> list[Phrase]:
    """Phrases that denote a lesion: a type, a generic noun, a soft tissue mass."""
    return [
        phrase
        for clause in clauses
        for phrase in clause.phrases
        if any(
            meaning.name in ("kind", "noun") or (meaning.name == "density" and "mass" in meaning.value)
            for meaning in phrase.meanings
        )
    ]


def _kinds(phrases: Sequence[Phrase]) -> set[str]:
    return {meaning.value for phrase in phrases for meaning in phrase.meanings if meaning.name == "kind"}


def _begins_lesion(clause: Clause, before: Sequence[Clause]) -> bool:
    nouns, earlier = _nouns([clause]), _nouns(before)
    if not nouns or not earlier or all(phrase.negated for phrase in nouns):
        return False
    taken_up = bool(clause.tokens) and clause.tokens[0].text in _SAME
    kinds = _kinds(nouns)
    return not (taken_up and (not kinds or kinds & _kinds(earlier)))


def _counted(clause: Clause) -> tuple[int, int] | None:
    """The number of lesions a clause mentions, and the index of the token that gives it."""
    for first, end in clause.unmatched:
        for index in range(first, end):
            if clause.tokens[index].text in _COUNTS:
                return _COUNTS[clause.tokens[index].text], index
    return None


def _with_enhancement(lesions: Sequence[LesionReport]) -> Iterator[LesionReport]:
    said = next((lesion.enhancement for lesion in lesions if lesion.enhancement), None)
    for lesion in lesions:
        yield lesion if lesion.enhancement else lesion.model_copy(update={"enhancement": said})


def _notes(groups: Sequence[_Group], readings: Sequence[ParsedLesion]) -> Iterator[str]:
    for group, reading in zip(groups, readings, strict=True):
        yield from reading.notes
        if group.count > 1 and reading.describes_lesion:
            yield f"{group.count} identical lesions"
