"""Converts what is said of one lesion to its report."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from medsmith.reports.organs import is_hollow
from medsmith.reports.parsing.draft import Draft
from medsmith.reports.parsing.hedges import hedged_claims
from medsmith.reports.parsing.lexicon import nearest_options
from medsmith.reports.parsing.phrases import Clause, Phrase
from medsmith.reports.parsing.resolution import resolve_calcification, resolve_consistency, resolve_organ, resolve_type
from medsmith.reports.parsing.rows import Row
from medsmith.reports.parsing.sentence import DENIED, NEIGHBOR
from medsmith.reports.parsing.stemming import stems
from medsmith.reports.parsing.terms import Meaning
from medsmith.reports.parsing.unplaced import (
    KIND_WITHOUT_ORGAN,
    NO_ORGAN,
    NOT_UNDERSTOOD,
    ONLY_NEAR,
    UNQUANTIFIED,
    Unplaced,
)
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import ATTRIBUTES

_LISTS: Final = ("shape", "features")
_ARTICLES: Final = frozenset(("a", "an", "the", "left", "right"))
_STONE: Final = Meaning("kind", "stone")
_HOW_MANY: Final = frozenset(("multiple", "several", "few", "many", "numerous", "innumerable", "various", "some"))
_LIMITS: Final = frozenset(("<", ">", "≤", "≥", "=", "less", "more", "greater", "than", "least"))


@final
@dataclass(frozen=True)
class ParsedLesion:
    """What was understood of one lesion.

    Attributes:
        report: the attributes that were understood.
        is_named: whether a noun names a lesion.
        describes_lesion: whether a lesion is described at all.
        excluded: negated options.
        ruled_out: the same as said.
        unplaced: phrases that were not understood, or contradict the rest.
        set_aside: phrases that were understood, but that no report can hold.
        notes: assumptions made.
    """

    report: LesionReport
    is_named: bool
    describes_lesion: bool
    excluded: tuple[str, ...]
    ruled_out: tuple[str, ...]
    unplaced: tuple[Unplaced, ...]
    set_aside: tuple[Unplaced, ...]
    notes: tuple[str, ...]

    @property
    def unlocated(self) -> tuple[str, ...]:
        """Words that may say where the lesion is, if it has no organ."""
        return () if self.report.organ else self._because(NOT_UNDERSTOOD, NO_ORGAN, ONLY_NEAR)

    @property
    def is_anywhere(self) -> bool:
        """Whether nothing at all is said of where it is, and no other message says so."""
        return self.report.organ is None and not self._because(NOT_UNDERSTOOD, NO_ORGAN, ONLY_NEAR, KIND_WITHOUT_ORGAN)

    @property
    def is_elsewhere(self) -> bool:
        """Whether words other than an organ, its parts and sides may say where it is."""
        return bool(self._because(NOT_UNDERSTOOD, ONLY_NEAR))

    def _because(self, *reasons: str) -> tuple[str, ...]:
        return tuple(item.phrase for item in self.unplaced if item.reason in reasons)


def read_lesion(row: Row, organ: str | None = None) -> ParsedLesion:
    """The report of one lesion.

    Args:
        row: what describes it.
        organ: of a lesion beside it; used if this one names none.
    """
    draft = Draft(stones_are_features=_has_other_noun(row))
    if row.size:
        draft.values["size_mm"] = row.size
    if row.side:
        draft.named["side"] = [(row.side, row.side)]
    for fragment in row.fragments:
        _read_clause(fragment.clause, draft, row)
        _list_unmatched(fragment.clause, fragment.counted, draft)
    resolve_organ(draft, organ)
    resolve_type(draft)
    resolve_calcification(draft)
    _resolve_untyped(draft)
    resolve_consistency(draft)
    if draft.inside and "organ" in draft.values and not is_hollow(draft.values["organ"]):
        draft.values.setdefault("cavity", "within the parenchymal organ")
    named = bool(draft.of("kind") or draft.of("noun"))
    return ParsedLesion(
        LesionReport(**draft.values),
        named,
        named or bool(draft.values.keys() - {"organ", "enhancement"}),
        tuple(dict.fromkeys(draft.excluded)),
        tuple(dict.fromkeys(draft.ruled_out)),
        tuple(dict.fromkeys(draft.unplaced)),
        tuple(dict.fromkeys(draft.set_aside)),
        tuple(draft.notes),
    )


def _resolve_untyped(draft: Draft) -> None:
    """Notes diagnoses without a lesion type; without a word on how they look, nothing is left of them."""
    looks = bool(draft.values.keys() & {"density", "ct_value_hu", "features", "lesion_type"} or draft.of("consistency"))
    for look, said in dict.fromkeys(draft.of("untyped")):
        if looks:
            draft.notes.append(f"there are no rules for '{said}': a lesion without a type, of what else is said of it")
        else:
            draft.unplaced.append(
                Unplaced(said, reason=f"there are no rules for it: say how it looks, such as '{look}'")
            )


def _read_clause(clause: Clause, draft: Draft, row: Row) -> None:
    for phrase in clause.phrases:
        said = clause.words(phrase.first, phrase.end)
        if phrase.aside:
            draft.landmarks.append(said)
        elif phrase.negated:
            _exclude(said, phrase, draft)
        elif phrase.number is not None:
            _place_number(said, phrase, draft, row)
        else:
            for meaning in _meanings(phrase, draft):
                _place(meaning, said, draft)
            if phrase.about == "organ" and _is_inside(clause, phrase):
                draft.inside = True
    draft.notes += [f"'{said}': a report holds no doubt; read as certain" for said in hedged_claims(clause)]
    for first, end, reason in clause.aside:
        said = clause.words(first, end)
        if reason == NEIGHBOR:
            draft.landmarks.append(said)
        else:
            draft.set_aside.append(Unplaced(said, reason=reason))


def _list_unmatched(clause: Clause, counted: int | None, draft: Draft) -> None:
    """Lists unmatched tokens as unplaced, except for the word that counts lesions."""
    for first, end in _without(clause.unmatched, counted):
        words = {token.text for token in clause.tokens[first:end]}
        said = clause.words(first, end)
        if words <= _LIMITS:
            draft.unplaced.append(Unplaced(said, reason="a limit: say the size itself"))
        elif words <= _HOW_MANY:
            draft.unplaced.append(Unplaced(said, ("two", "three"), "how many is not said"))
        else:
            draft.unplaced.append(Unplaced(said, nearest_options(said)))


def _without(runs: tuple[tuple[int, int], ...], index: int | None) -> Iterator[tuple[int, int]]:
    for first, end in runs:
        if index is None or not first <= index < end:
            yield first, end
            continue
        yield from [(first, index)] if first < index else []
        yield from [(index + 1, end)] if index + 1 < end else []


def _exclude(said: str, phrase: Phrase, draft: Draft) -> None:
    names = ATTRIBUTES.keys() - {"organ"}
    options = [meaning.value for meaning in _meanings(phrase, draft) if meaning.name in names]
    for option in options:
        _rule_out(option, said, draft)
    if not options:
        draft.set_aside.append(Unplaced(said, reason=DENIED))


def _rule_out(option: str, said: str, draft: Draft) -> None:
    draft.excluded.append(option)
    same = set(stems(said)) <= set(stems(option))
    draft.ruled_out.append(option if same else f"'{said}' ({option})")


def _place_number(said: str, phrase: Phrase, draft: Draft, row: Row) -> None:
    number = phrase.number
    assert number is not None
    if number.aside:
        draft.set_aside.append(Unplaced(said, reason=number.reason))
    elif number.sizes and row.size:
        return
    elif number.attribute is None:
        draft.unplaced.append(Unplaced(said, number.nearest, number.reason, number.impossible))
    elif number.value is None:
        draft.unplaced.append(Unplaced(said, reason="sizes of several lesions, and one is named"))
    elif draft.values.setdefault(number.attribute, number.value) != number.value:
        title = ATTRIBUTES[number.attribute].title
        draft.unplaced.append(Unplaced(said, reason=f"a second {title} of the same lesion"))
    elif number.note:
        draft.notes.append(number.note)


_RING = "ring enhancement"
_CORES_OF_RINGS = ("hypodense", "hypodense fluid-like", "isodense")
"""Densities that are said of the core of a lesion whose rim enhances."""


def _place(meaning: Meaning, said: str, draft: Draft) -> None:
    name, value = meaning.name, meaning.value
    if name == "excluded":
        _rule_out(value, said, draft)
    elif name == "unused":
        draft.set_aside.append(Unplaced(said, reason="a report does not hold it"))
    elif name == "read as":
        draft.notes.append(f"'{said}' is read as {value}")
    elif name == "unquantified":
        draft.set_aside.append(Unplaced(said, reason=UNQUANTIFIED))
    elif name not in ATTRIBUTES or name == "organ":
        draft.named.setdefault(name, []).append((value, said))
    elif name in _LISTS:
        if said.casefold().startswith("calcif"):
            draft.named.setdefault("calcified", []).append((value, said))
        draft.values[name] = tuple(dict.fromkeys((*draft.values.get(name, ()), value)))
    else:
        kept = draft.values.get(name, value)
        more_specific = _more_specific(kept, value)
        draft.values[name] = more_specific or kept
        if more_specific is None:
            draft.unplaced.append(Unplaced(said, (kept,), f"a second {ATTRIBUTES[name].title} of the same lesion"))


def _more_specific(kept: str, value: str) -> str | None:
    """The more specific of two options ("hypodense fluid-like", not "hypodense"); None if neither implies the other."""
    if _RING in (kept, value) and {kept, value} <= {_RING, *_CORES_OF_RINGS}:
        return _RING
    one, other = set(stems(kept)), set(stems(value))
    if other <= one:
        return kept
    return value if one < other else None


def _has_other_noun(row: Row) -> bool:
    phrases = [phrase for fragment in row.fragments for phrase in fragment.held]
    nouns = [meaning for phrase in phrases for meaning in phrase.meanings if meaning.name in ("kind", "noun")]
    return any(noun != _STONE for noun in nouns)


def _meanings(phrase: Phrase, draft: Draft) -> tuple[Meaning, ...]:
    """The meanings of a phrase in context: beside another lesion noun, a stone is a feature."""
    if phrase.meanings == (_STONE,) and draft.stones_are_features:
        return (Meaning("features", "stone"),)
    draft.stones_are_features |= _STONE in phrase.meanings
    return phrase.meanings


def _is_inside(clause: Clause, phrase: Phrase) -> bool:
    before = [token.text for token in clause.tokens[: phrase.first] if token.text not in _ARTICLES]
    return bool(before) and before[-1] in ("inside", "within")
