"""Splits sentences into fragments, the parts between commas, brackets, colons and "and"."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, final

from medsmith.reports.parsing.filler import NORMAL, SELECTING, TITLES
from medsmith.reports.parsing.numbers import Number
from medsmith.reports.parsing.phrases import Clause, Phrase, join
from medsmith.reports.parsing.sentence import read_sentence
from medsmith.reports.parsing.stemming import is_plural

_SENTENCE_END: Final = re.compile(r"((?:[;\n!?]|\.(?!\d))+)")
_SPLITTING: Final = frozenset((",", "(", ")", ":", ".", "and", "plus", "but"))
_ARTICLES: Final = frozenset(("a", "an"))
_FURTHER: Final = frozenset(("another", "second", "third", "further", "additional", "other"))
_ANEW: Final = _ARTICLES | _FURTHER | {"one"}
_SAME: Final = frozenset(("the", "this", "that", "it", "its", "same"))
_ALL: Final = frozenset(("both", "all", "each", "every"))
_CUES: Final = frozenset(("no", "without", "not"))
_NUMBER_WORDS: Final = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_COUNTS: Final = {
    **{word: count for count, word in enumerate(_NUMBER_WORDS, start=2)},
    **{str(count): count for count in range(1, 11)},
    "couple": 2,
    "pair": 2,
}
_GROUPS: Final = frozenset(("group", "cluster", "number", "series", "collection"))
_MASS: Final = "soft tissue mass"


@final
@dataclass(frozen=True)
class Fragment:
    """A part of a sentence.

    Attributes:
        clause: its words.
        sentence: number of the sentence in the text.
        joint: what joins it to the fragment before: ",", "and" and so on; ";" or nothing at the start of a sentence.
    """

    clause: Clause
    sentence: int
    joint: str

    @property
    def starts_sentence(self) -> bool:
        """Whether it is the first of its sentence."""
        return self.joint in ("", ";")

    @cached_property
    def held(self) -> tuple[Phrase, ...]:
        """Phrases that say something of a lesion."""
        return tuple(phrase for phrase in self.clause.phrases if phrase.holds)

    @cached_property
    def nouns(self) -> tuple[Phrase, ...]:
        """Nouns for a lesion, and "soft tissue mass"."""
        return tuple(phrase for phrase in self.held if phrase.is_noun or _is_mass(phrase))

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Kinds of lesion that are named."""
        return frozenset(self.values("kind"))

    @cached_property
    def sizes(self) -> tuple[Number, ...]:
        """Sizes of lesions."""
        numbers = (phrase.number for phrase in self.held)
        return tuple(number for number in numbers if number is not None and number.attribute == "size_mm")

    @cached_property
    def places(self) -> bool:
        """Whether an organ or a side is named."""
        return bool(self.values("organ") or self.values("side"))

    @property
    def is_denial(self) -> bool:
        """Whether it denies a lesion, or begins with a negation and names no lesion."""
        if self.nouns:
            return False
        denied = any(phrase.is_noun and phrase.negated for phrase in self.clause.phrases)
        return denied or self.first_word in _CUES

    @property
    def denies_lesion(self) -> bool:
        """Whether it denies a lesion ("no cyst in the left kidney")."""
        return self.is_denial and any(phrase.is_noun and phrase.negated for phrase in self.clause.phrases)

    @property
    def is_normal(self) -> bool:
        """Whether it says that something is normal."""
        covered = {index for phrase in self.clause.phrases for index in range(phrase.first, phrase.end)}
        words = {token.text for index, token in enumerate(self.clause.tokens) if index not in covered}
        return not self.nouns and bool(words & NORMAL)

    @property
    def first_word(self) -> str:
        """The stem of the first word; empty if there is none."""
        return self.clause.tokens[0].text if self.clause.tokens else ""

    @property
    def begins_anew(self) -> bool:
        """Whether it begins with an article or a number of lesions."""
        return self.first_word in _ANEW or self.counted == 0

    @property
    def names_group(self) -> bool:
        """Whether it names a group of lesions ("a cluster of nodules")."""
        return self.is_plural and any(token.text in _GROUPS for token in self.clause.tokens)

    @property
    def is_further(self) -> bool:
        """Whether it begins with a word such as "another"."""
        return self.first_word in _FURTHER

    @property
    def takes_up(self) -> bool:
        """Whether it refers to what was named before ("the cyst", "it")."""
        return self.first_word in _SAME

    @property
    def is_about_all(self) -> bool:
        """Whether it describes all of several lesions."""
        return self.first_word in _ALL

    @property
    def selects(self) -> bool:
        """Whether it describes one of several lesions ("the larger 18 mm")."""
        return any(token.text in SELECTING for token in self.clause.tokens[:3])

    @property
    def names_attribute(self) -> bool:
        """Whether it has a noun such as "margin"."""
        return any(token.text in TITLES for token in self.clause.tokens)

    @cached_property
    def is_plural(self) -> bool:
        """Whether a noun for a lesion is in the plural."""
        return any(is_plural(self.clause.tokens[phrase.end - 1].word) for phrase in self.nouns if phrase.is_noun)

    @cached_property
    def counted(self) -> int | None:
        """Index of the word before a noun that counts lesions; None if there is none."""
        nouns = [phrase for phrase in self.nouns if phrase.is_noun]
        for first, end in self.clause.unmatched:
            for index in range(first, end):
                word = self.clause.tokens[index].text
                if word in _COUNTS and any(phrase.first > index for phrase in nouns):
                    return index if not word.isdigit() or word == "1" or self.is_plural else None
        return None

    @cached_property
    def count(self) -> int | None:
        """The number of lesions that it names; None if it does not say."""
        return None if self.counted is None else _COUNTS[self.clause.tokens[self.counted].text]

    def values(self, name: str) -> tuple[str, ...]:
        """Values of all meanings of a name."""
        return tuple(self._values.get(name, ()))

    @cached_property
    def _values(self) -> Mapping[str, Sequence[str]]:
        """Name -> values of its meanings; asked for once for each fragment of a lesion."""
        found: dict[str, list[str]] = {}
        for phrase in self.held:
            for meaning in phrase.meanings:
                found.setdefault(meaning.name, []).append(meaning.value)
        return found


def fragments_of(text: str) -> tuple[Fragment, ...]:
    """The fragments of a text in order, each a part of a sentence."""
    return tuple(
        fragment
        for number, (sentence, joint) in enumerate(_sentences(text))
        for fragment in _with_modifiers(list(_split(read_sentence(sentence), number, joint)))
    )


def _sentences(text: str) -> Iterator[tuple[str, str]]:
    """The sentences of a text, and ";" for those after a semicolon or a line break."""
    parts = _SENTENCE_END.split(text)
    for part, before in zip(parts[::2], ["", *parts[1::2]], strict=True):
        if part.strip():
            yield part, ";" if ";" in before or "\n" in before else ""


def _is_mass(phrase: Phrase) -> bool:
    return any(meaning.name == "density" and _MASS in meaning.value for meaning in phrase.meanings)


def _split(clause: Clause, sentence: int, joint: str) -> Iterator[Fragment]:
    kept = {index for phrase in clause.phrases for index in range(phrase.first, phrase.end)}
    kept |= {index for first, end, _ in clause.aside for index in range(first, end)}
    kept |= _between_neighbors(clause)
    first = 0
    for index in range(len(clause.tokens) + 1):
        if index == len(clause.tokens) or (clause.tokens[index].text in _SPLITTING and index not in kept):
            if first < index:
                yield Fragment(clause.part(first, index), sentence, joint)
                joint = ""
            first = index + 1
            joint = _stronger(joint, clause.tokens[index].text) if index < len(clause.tokens) else joint


def _between_neighbors(clause: Clause) -> set[int]:
    """The "and" between two landmarks."""
    marked = [(phrase.first, phrase.end) for phrase in clause.phrases if phrase.aside]
    marked += [(first, end) for first, end, _ in clause.aside]
    ends = {end for _, end in marked}
    return {first - skip for first, _ in marked for skip in (1, 2) if first - skip in ends}


def _stronger(one: str, other: str) -> str:
    order = ("", ".", ")", "(", ",", "and", "plus", "but", ":", ";")
    return max(one, other, key=order.index)


def _with_modifiers(fragments: list[Fragment]) -> Iterator[Fragment]:
    """Joins modifiers before a noun that commas separate ("a round, hypodense, 5 mm lesion")."""
    at = 0
    while at < len(fragments):
        end = _end_of_modifiers(fragments, at)
        yield _joined(fragments[at:end])
        at = end


def _end_of_modifiers(fragments: Sequence[Fragment], first: int) -> int:
    one = fragments[first]
    if not one.starts_sentence and one.first_word not in _ARTICLES:
        return first + 1
    for at in range(first, len(fragments)):
        fragment = fragments[at]
        if at > first and (fragment.joint not in (",", "and") or fragment.begins_anew):
            break
        if fragment.nouns and at > first:
            return at + 1
        if fragment.nouns or fragment.places or fragment.names_attribute or fragment.is_denial or fragment.is_normal:
            break
    return first + 1


def _joined(fragments: Sequence[Fragment]) -> Fragment:
    first = fragments[0]
    return replace(first, clause=join([fragment.clause for fragment in fragments])) if len(fragments) > 1 else first
