"""Parses free text to reports. Every phrase is used, excluded by negation, set aside, or listed as not placed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from medsmith.errors import RequestError
from medsmith.reports.parsing.background import PAST
from medsmith.reports.parsing.fragments import fragments_of
from medsmith.reports.parsing.lesion import ParsedLesion, read_lesion
from medsmith.reports.parsing.mention import Mention
from medsmith.reports.parsing.mentions import Mentions, find_mentions
from medsmith.reports.parsing.normalization import normalized
from medsmith.reports.parsing.rows import Rows, rows_of
from medsmith.reports.parsing.sentence import DENIED
from medsmith.reports.parsing.unplaced import Unplaced
from medsmith.reports.schema import LesionReport, ScanReport

MAX_CHARACTERS = 20_000
DENSITIES_OF_LESIONS = (
    *("isodense soft tissue mass", "low-density ground-glass opacity"),
    "isodense soft tissue mass with peripheral low-density ground-glass opacity",
)
"""Densities that are said of lesions alone, without a noun for one ("8 mm GGO in the right upper lobe")."""
ANYWHERE = "no organ is named: such a lesion is put into any soft tissue, between organs as well"


@final
@dataclass(frozen=True)
class ParsedReport:
    """The result of parsing a text.

    Attributes:
        report: the lesions, in the order of the text.
        unplaced: phrases that were not understood, or contradict the rest.
        excluded: per lesion, the options that the text negates ("no spiculation"); for ``complete_report``.
        ruled_out: the same in the words of the text.
        notes: assumptions made.
        set_aside: phrases that were understood, but that no report can hold ("upper pole", an earlier size).
        unlocated: words that may say where a lesion is, of lesions without an organ.
    """

    report: ScanReport
    unplaced: tuple[Unplaced, ...] = ()
    excluded: tuple[tuple[str, ...], ...] = ()
    ruled_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    set_aside: tuple[Unplaced, ...] = ()
    unlocated: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """One line per assumption, excluded option, and phrase that was set aside or not placed."""
        ruled_out = (f"ruled out: {said}" for said in self.ruled_out)
        aside = (f"set aside: {item.described}" for item in self.set_aside)
        return tuple(dict.fromkeys((*self.notes, *ruled_out, *aside, *(item.line for item in self.unplaced))))

    @property
    def is_anywhere(self) -> bool:
        """Whether nothing is said of where a lesion is."""
        return ANYWHERE in self.notes

    @property
    def whole(self) -> ScanReport:
        """The report with what its lesions do not hold: the options that are denied, and the remarks."""
        without = self.excluded if any(self.excluded) else ()
        return self.report.model_copy(update={"without": without, "remarks": self.remarks})


@final
@dataclass(frozen=True)
class _Reading:
    """A mention with its lesions."""

    mention: Mention
    rows: Rows
    lesions: tuple[ParsedLesion, ...]

    @property
    def organ(self) -> str | None:
        """The organ of its last lesion that has one."""
        return next((lesion.report.organ for lesion in reversed(self.lesions) if lesion.report.organ), None)


def parse_report(text: str) -> ParsedReport:
    """Reads a description of one or several lesions.

    Sentences are split into fragments at commas, brackets, colons and "and"; `find_mentions` tells which lesion each
    describes. "Two cysts" gives two lesions, equal ones unless they have sizes or places of their own. A lesion without
    an organ takes that of another in its sentence. Contrast enhancement applies to the whole scan.

    Raises:
        RequestError: the text is longer than a report.
    """
    if len(text) > MAX_CHARACTERS:
        found, limit = f"a text of {len(text)} characters", f"at most {MAX_CHARACTERS} in a report"
        raise RequestError("report", found, limit, "divide it: one report per case, as a .jsonl file or a folder")
    fragments = fragments_of(normalized(text))
    mentions = find_mentions(fragments)
    readings = _located([_read(mention) for mention in mentions.found])
    lesions = [lesion for reading in readings for lesion in reading.lesions]
    described = _described(lesions)
    return ParsedReport(
        ScanReport(lesions=tuple(_with_enhancement(described, lesions))),
        tuple(dict.fromkeys((*_of_rows(readings), *(item for lesion in lesions for item in lesion.unplaced)))),
        tuple(lesion.excluded for lesion in described),
        tuple(dict.fromkeys(said for lesion in described for said in lesion.ruled_out)),
        tuple(dict.fromkeys((*_notes(readings), *(ANYWHERE for lesion in described if lesion.is_anywhere)))),
        tuple(dict.fromkeys(_set_aside(mentions, readings, described))),
        tuple(dict.fromkeys(word for lesion in described for word in lesion.unlocated)),
    )


def _described(lesions: Sequence[ParsedLesion]) -> list[ParsedLesion]:
    """Lesions that are described; a bare size is that of an organ ("spleen 10 cm") where the text names lesions."""
    named = any(lesion.is_named for lesion in lesions)
    return [lesion for lesion in lesions if _is_lesion(lesion) or _is_bare(lesion, named=named)]


def _is_bare(lesion: ParsedLesion, *, named: bool) -> bool:
    """Whether it is described without a noun, and none is said of others or of the past ("history of HCC, now 3cm")."""
    past = lesion.report.organ is None and any(item.reason == PAST for item in lesion.set_aside)
    return lesion.describes_lesion and not named and not past


def _is_lesion(lesion: ParsedLesion) -> bool:
    """Whether it is called a lesion, or looks as no organ does."""
    return lesion.is_named or lesion.report.density in DENSITIES_OF_LESIONS


def _read(mention: Mention) -> _Reading:
    rows = rows_of(mention)
    return _Reading(mention, rows, tuple(read_lesion(row) for row in rows.rows))


def _located(readings: Sequence[_Reading]) -> list[_Reading]:
    """Lesions without an organ get that of the lesion before them, else of one after them in the same sentence."""
    located: list[_Reading] = []
    for number, reading in enumerate(readings):
        if not any(_takes_organ(lesion) for lesion in reading.lesions):
            located.append(reading)
            continue
        before = located[-1:] if reading.mention.goes_on else []
        nearby = [other for other in [*reversed(located), *readings[number + 1 :]] if _share_sentence(reading, other)]
        organ = next((other.organ for other in [*nearby, *before] if other.organ), None)
        lesions = (
            read_lesion(row, organ) if _takes_organ(lesion) and organ else lesion
            for row, lesion in zip(reading.rows.rows, reading.lesions, strict=True)
        )
        located.append(_Reading(reading.mention, reading.rows, tuple(lesions)))
    return located


def _takes_organ(lesion: ParsedLesion) -> bool:
    """Whether an organ is missing, and no other words can say where the lesion is."""
    return lesion.describes_lesion and lesion.report.organ is None and not lesion.is_elsewhere


def _share_sentence(reading: _Reading, other: _Reading) -> bool:
    return bool(reading.mention.sentences & other.mention.sentences)


def _of_rows(readings: Sequence[_Reading]) -> Iterator[Unplaced]:
    for reading in readings:
        yield from reading.rows.unplaced


def _notes(readings: Sequence[_Reading]) -> Iterator[str]:
    for reading in readings:
        yield from (note for lesion in reading.lesions for note in lesion.notes)
        if any(lesion.describes_lesion for lesion in reading.lesions):
            yield from reading.rows.notes


def _set_aside(
    mentions: Mentions, readings: Sequence[_Reading], described: Sequence[ParsedLesion]
) -> Iterator[Unplaced]:
    for fragment in mentions.denied:
        reason = "a negated lesion" if fragment.denies_lesion else DENIED if fragment.is_denial else "nothing to report"
        yield Unplaced(fragment.clause.said, reason=reason)
    for reading in readings:
        yield from (item for lesion in reading.lesions for item in lesion.set_aside)
        if any(lesion.describes_lesion and lesion not in described for lesion in reading.lesions):
            said = ", ".join(fragment.clause.said for fragment in reading.mention.fragments)
            yield Unplaced(said, reason="no lesion is named")


def _with_enhancement(described: Sequence[ParsedLesion], lesions: Sequence[ParsedLesion]) -> Iterator[LesionReport]:
    said = next((lesion.report.enhancement for lesion in lesions if lesion.report.enhancement), None)
    for lesion in described:
        report = lesion.report
        yield report if report.enhancement else report.model_copy(update={"enhancement": said})
