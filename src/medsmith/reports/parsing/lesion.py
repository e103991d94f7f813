"""Converts the clauses about one lesion to its report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from medsmith.reports.organs import ORGANS, is_hollow, members_of
from medsmith.reports.parsing.lexicon import Meaning, nearest_options, stems
from medsmith.reports.parsing.phrases import Clause, Phrase
from medsmith.reports.parsing.unplaced import Unplaced
from medsmith.reports.rules import LESION_TYPES, types_of
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import ATTRIBUTES

_LISTS: Final = ("shape", "features")
_CLOSE: Final = "close relationship with adjacent organs"
_ARTICLES: Final = frozenset(("a", "an", "the", "left", "right"))
_STONE: Final = Meaning("kind", "stone")


@final
@dataclass(frozen=True)
class ParsedLesion:
    """The parsed clauses about one lesion.

    Attributes:
        report: the attributes that were understood.
        describes_lesion: whether the clauses describe a lesion at all.
        excluded: negated options.
        unplaced: phrases that were not understood.
        notes: assumptions made.
    """

    report: LesionReport
    describes_lesion: bool
    excluded: tuple[str, ...]
    unplaced: tuple[Unplaced, ...]
    notes: tuple[str, ...]


@final
@dataclass
class _Draft:
    """A report under construction."""

    values: dict[str, Any] = field(default_factory=dict)
    nouns: list[tuple[str, str]] = field(default_factory=list)
    organs: list[tuple[str, str]] = field(default_factory=list)
    sides: list[str] = field(default_factory=list)
    inside: bool = False
    stones_are_features: bool = False
    excluded: list[str] = field(default_factory=list)
    unplaced: list[Unplaced] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_lesion(clauses: Sequence[Clause], counted: frozenset[tuple[int, int]] = frozenset()) -> ParsedLesion:
    """Parses the clauses about one lesion.

    Args:
        clauses: in the order of the text.
        counted: (clause, token) indices of number words that count lesions.
    """
    if _is_negated(clauses):
        lines = (Unplaced(clause.text.strip(), reason="a negated lesion") for clause in clauses)
        return ParsedLesion(LesionReport(), False, (), tuple(lines), ())
    draft = _Draft(stones_are_features=_has_other_noun(clauses))
    for number, clause in enumerate(clauses):
        _read_clause(clause, draft)
        for first, end in clause.unmatched:
            _list_unmatched(clause, first, end, {token for at, token in counted if at == number}, draft)
    _resolve_organ(draft)
    _resolve_type(draft)
    if draft.inside and "organ" in draft.values and not is_hollow(draft.values["organ"]):
        draft.values.setdefault("cavity", "within the parenchymal organ")
    report = LesionReport(**draft.values)
    describes_lesion = bool(draft.nouns or draft.values)
    excluded, unplaced = tuple(dict.fromkeys(draft.excluded)), tuple(dict.fromkeys(draft.unplaced))
    return ParsedLesion(report, describes_lesion, excluded, unplaced, tuple(draft.notes))


def _read_clause(clause: Clause, draft: _Draft) -> None:
    for at, phrase in enumerate(clause.phrases):
        said = clause.words(phrase.first, phrase.end)
        if phrase.negated:
            _exclude(said, phrase, draft)
        elif phrase.number is not None:
            _place_number(said, phrase, draft)
        elif phrase.about == "organ" and _is_neighbour(clause, at):
            reason = "which organ is close cannot be said"
            draft.unplaced.append(Unplaced(said, (_CLOSE,), reason))
        else:
            for meaning in _meanings(phrase, draft):
                _place(meaning, said, draft)
            if phrase.about == "organ" and _is_inside(clause, phrase):
                draft.inside = True


def _list_unmatched(clause: Clause, first: int, end: int, counted: set[int], draft: _Draft) -> None:
    """Lists unmatched tokens as unplaced, except for number words that count lesions."""
    for index in sorted(counted & set(range(first, end))):
        if first < index:
            _list_unmatched(clause, first, index, set(), draft)
        first = index + 1
    if first < end:
        said = clause.words(first, end)
        draft.unplaced.append(Unplaced(said, nearest_options(said)))


def _exclude(said: str, phrase: Phrase, draft: _Draft) -> None:
    names = ATTRIBUTES.keys() - {"organ"}
    options = [meaning.value for meaning in _meanings(phrase, draft) if meaning.name in names]
    draft.excluded += options
    if not options:
        draft.unplaced.append(Unplaced(said, reason="denied"))


def _place_number(said: str, phrase: Phrase, draft: _Draft) -> None:
    number = phrase.number
    assert number is not None
    if number.attribute is None:
        draft.unplaced.append(Unplaced(said, number.nearest, number.reason, number.impossible))
    elif draft.values.setdefault(number.attribute, number.value) != number.value:
        title = ATTRIBUTES[number.attribute].title
        draft.unplaced.append(Unplaced(said, reason=f"a second {title} of the same lesion"))
    elif number.note:
        draft.notes.append(number.note)


def _place(meaning: Meaning, said: str, draft: _Draft) -> None:
    name, value = meaning.name, meaning.value
    if name in ("kind", "noun"):
        draft.nouns.append((value if name == "kind" else "", said))
    elif name == "organ":
        draft.organs.append((value, said))
    elif name == "side":
        draft.sides.append(value)
    elif name in _LISTS:
        draft.values[name] = tuple(dict.fromkeys((*draft.values.get(name, ()), value)))
    else:
        kept = draft.values.get(name, value)
        more_specific = _more_specific(kept, value)
        draft.values[name] = more_specific or kept
        if more_specific is None:
            draft.unplaced.append(Unplaced(said, (kept,), f"a second {ATTRIBUTES[name].title} of the same lesion"))


def _more_specific(kept: str, value: str) -> str | None:
    """The more specific of two options ("hypodense fluid-like", not "hypodense"); None if neither implies the other."""
    one, other = set(stems(kept)), set(stems(value))
    if other <= one:
        return kept
    return value if one < other else None


def _is_negated(clauses: Sequence[Clause]) -> bool:
    """Whether every noun for the lesion is negated ("no cyst in the liver")."""
    phrases = [phrase for clause in clauses for phrase in clause.phrases if phrase.about in ("kind", "noun")]
    return bool(phrases) and all(phrase.negated for phrase in phrases)


def _has_other_noun(clauses: Sequence[Clause]) -> bool:
    phrases = [phrase for clause in clauses for phrase in clause.phrases if not phrase.negated]
    nouns = [meaning for phrase in phrases for meaning in phrase.meanings if meaning.name in ("kind", "noun")]
    return any(noun != _STONE for noun in nouns)


def _meanings(phrase: Phrase, draft: _Draft) -> tuple[Meaning, ...]:
    """The meanings of a phrase in context: beside another lesion noun, a stone is a feature."""
    if phrase.meanings == (_STONE,) and draft.stones_are_features:
        return (Meaning("features", "stone"),)
    draft.stones_are_features |= _STONE in phrase.meanings
    return phrase.meanings


def _is_neighbour(clause: Clause, at: int) -> bool:
    """Whether an organ is named as a neighbor of the lesion."""
    for before in range(at - 1, -1, -1):
        one, other = clause.phrases[before], clause.phrases[before + 1]
        between = {token.text for token in clause.tokens[one.end : other.first]}
        if one.about == "relationship":
            return between <= _ARTICLES
        if one.about != "organ" or not between <= _ARTICLES | {"and", ","}:
            return False
    return False


def _is_inside(clause: Clause, phrase: Phrase) -> bool:
    before = [token.text for token in clause.tokens[: phrase.first] if token.text not in _ARTICLES]
    return bool(before) and before[-1] in ("inside", "within")


def _resolve_organ(draft: _Draft) -> None:
    """Resolves the most specific organ named, with its side."""
    organ: str | None = None
    for named, said in draft.organs:
        if organ is None or named in members_of(organ):
            organ = named
        elif organ not in members_of(named):
            draft.unplaced.append(Unplaced(said, (organ,), "a second organ of the same lesion"))
    for side in dict.fromkeys(draft.sides):
        if f"{organ}_{side}" in ORGANS:
            organ = f"{organ}_{side}"
        elif organ is None or not organ.endswith(side):
            draft.unplaced.append(Unplaced(side, (organ,) if organ else (), "a side of nothing that has sides"))
    if organ is not None:
        draft.values["organ"] = organ


def _resolve_type(draft: _Draft) -> None:
    """Resolves the lesion type from the noun and the organ."""
    named = [(kind, said) for kind, said in draft.nouns if kind]
    if not named:
        return
    kind, said = named[0]
    for other, words in named[1:]:
        if other != kind:
            draft.unplaced.append(Unplaced(words, (said,), "a second type of the same lesion"))
    organ = draft.values.get("organ")
    of_kind = tuple(row.name for row in LESION_TYPES.values() if row.kind == kind)
    fitting = types_of(organ, kind) if organ else of_kind
    if len(fitting) == 1:
        draft.values["lesion_type"] = fitting[0]
        draft.values.setdefault("organ", LESION_TYPES[fitting[0]].organ)
    else:
        reason = f"no such type in {organ}" if organ else "the organ is not named"
        draft.unplaced.append(Unplaced(said, of_kind, reason))
