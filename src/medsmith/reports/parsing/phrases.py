"""Splits a clause into known phrases, longest match first, and finds the negated ones."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, final

from medsmith.reports.parsing.lexicon import LEXICON, LONGEST_PHRASE, STOP_WORDS, TITLES, Meaning, stem
from medsmith.reports.parsing.numbers import Number, find_numbers

_PUNCTUATION: Final = frozenset(",;:().!?/")
_IGNORED: Final = frozenset("-_~'\"`*[]{}")
_NEGATIONS: Final = frozenset(("no", "not", "non", "without", "never", "lack", "lacking", "absence", "free", "neither"))
_DETERMINERS: Final = frozenset(("no", "without"))
_TRAILING_NEGATIONS: Final = frozenset(("absent", "none", "excluded", "lacking", "missing"))
_SEEN: Final = frozenset(("seen", "present", "visible", "identified", "found", "detected", "evident", "there"))
_EITHER: Final = frozenset(("or", "nor"))
_LISTING: Final = _EITHER | {",", "/", "and"}
_MAX_GAP = 5


@final
@dataclass(frozen=True)
class Token:
    """A word, a number or a punctuation mark.

    Attributes:
        text: word stem, punctuation mark, or "#" for a number.
        start: first character in the clause.
        end: one past the last.
        number: the parsed number.
    """

    text: str
    start: int
    end: int
    number: Number | None = None


@final
@dataclass(frozen=True)
class Phrase:
    """Tokens with a known meaning.

    Attributes:
        first: index of the first token.
        end: one past the last.
        meanings: their meanings; () for a number.
        number: the parsed number, if they are one.
        negated: whether the phrase is negated.
    """

    first: int
    end: int
    meanings: tuple[Meaning, ...]
    number: Number | None = None
    negated: bool = False

    @property
    def about(self) -> str | None:
        """The attribute, or "kind", "noun" or "side"."""
        return self.meanings[0].name if self.meanings else None


@final
@dataclass(frozen=True)
class Clause:
    """A tokenized clause with its phrases.

    Attributes:
        text: original text.
        tokens: all tokens.
        phrases: recognized phrases, in order.
        unmatched: runs of other tokens, as (first, end).
    """

    text: str
    tokens: tuple[Token, ...]
    phrases: tuple[Phrase, ...]
    unmatched: tuple[tuple[int, int], ...]

    def words(self, first: int, end: int) -> str:
        """The original text of a range of tokens."""
        return self.text[self.tokens[first].start : self.tokens[end - 1].end]


def read_clause(text: str) -> Clause:
    """Tokenizes a clause and matches its phrases.

    Phrases do not cross punctuation; the longest match wins, wherever it starts. A negation applies to the next phrase
    (or the previous one: "calcification is absent"); after "no" and "without", up to the noun of a lesion. It extends
    through a list: over "or" to any phrase, over a comma or "and" to phrases about the same attribute.
    """
    tokens = tuple(_tokens(text))
    phrases = sorted(_match_phrases(tokens), key=lambda phrase: phrase.first)
    phrases += [Phrase(i, i + 1, (), token.number) for i, token in enumerate(tokens) if token.number is not None]
    phrases.sort(key=lambda phrase: phrase.first)
    covered = {index for phrase in phrases for index in range(phrase.first, phrase.end)}
    negated, cues = _find_negated(tokens, phrases, covered)
    marked = tuple(replace(phrase, negated=i in negated) for i, phrase in enumerate(phrases))
    return Clause(text, tokens, marked, tuple(_unmatched(tokens, covered | cues)))


def _tokens(text: str) -> Iterator[Token]:
    lower = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
    numbers = {number.start: number for number in find_numbers(lower)}
    at = 0
    while at < len(lower):
        if number := numbers.get(at):
            yield Token("#", number.start, number.end, number)
            at = number.end
        elif word := re.compile(r"[a-z]+\d*|\d+(?:\.\d+)?|[^\W\d_]+").match(lower, at):
            yield Token(stem(word[0]), word.start(), word.end())
            at = word.end()
        else:
            if not lower[at].isspace() and lower[at] not in _IGNORED:
                yield Token(lower[at], at, at + 1)
            at += 1


def _match_phrases(tokens: Sequence[Token]) -> list[Phrase]:
    free = [True] * len(tokens)
    found = []
    for length in range(min(LONGEST_PHRASE, len(tokens)), 0, -1):
        for first in range(len(tokens) - length + 1):
            meanings = LEXICON.get(tuple(token.text for token in tokens[first : first + length]))
            if meanings and all(free[first : first + length]):
                free[first : first + length] = [False] * length
                found.append(Phrase(first, first + length, meanings))
    return found


def _find_negated(tokens: Sequence[Token], phrases: Sequence[Phrase], covered: set[int]) -> tuple[set[int], set[int]]:
    """Indices of the negated phrases, and of the negating tokens."""
    negated: set[int] = set()
    cues: set[int] = set()
    for index, token in enumerate(tokens):
        if index in covered:
            continue
        after = tokens[index + 1].text if index + 1 < len(tokens) else ""
        before = tokens[index - 1].text if index else ""
        backward = token.text in _TRAILING_NEGATIONS or (
            token.text in _NEGATIONS and (after in _SEEN or (before == ":" and token.text == "no"))
        )
        hit = _before(index, tokens, phrases) if backward else None
        if hit is not None:
            negated |= _list_before(hit, tokens, phrases)
        elif token.text in _NEGATIONS and (hit := _after(index, tokens, phrases)) is not None:
            noun = _noun_of(hit, phrases) if token.text in _DETERMINERS else hit
            negated |= set(range(hit, noun)) | _list_after(noun, tokens, phrases)
        if hit is not None:
            cues |= {index, index + 1} if backward and after in _SEEN else {index}
    return negated, cues


def _after(index: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> int | None:
    for i, phrase in enumerate(phrases):
        if phrase.first > index:
            between = tokens[index + 1 : phrase.first]
            reachable = len(between) < _MAX_GAP and not any(token.text in _PUNCTUATION for token in between)
            return i if reachable else None
    return None


def _noun_of(hit: int, phrases: Sequence[Phrase]) -> int:
    """The lesion noun at the end of a run of adjacent phrases ("no round liver cyst")."""
    at = hit
    while phrases[at].about not in ("kind", "noun"):
        if at + 1 == len(phrases) or phrases[at + 1].first != phrases[at].end:
            return hit
        at += 1
    return at


def _before(index: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> int | None:
    for i, phrase in reversed(list(enumerate(phrases))):
        if phrase.end <= index:
            between = tokens[phrase.end : index]
            reachable = len(between) < _MAX_GAP and not any(token.text in _PUNCTUATION - {":"} for token in between)
            return i if reachable else None
    return None


def _link(tokens: Sequence[Token], one: Phrase, other: Phrase) -> set[str]:
    """The list words between two phrases; empty if there are other words or none."""
    between = {token.text for token in tokens[one.end : other.first]}
    return between & _LISTING if between <= _LISTING | {"a", "an", "the", "any"} else set()


def _list_after(hit: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> set[int]:
    links = [_link(tokens, one, other) for one, other in pairwise(phrases[hit:])]
    length = next((i for i, link in enumerate(links) if not link), len(links))
    last = max((i + 1 for i in range(length) if links[i] & _EITHER), default=0)
    while last < length and phrases[hit + last + 1].about == phrases[hit + last].about:
        last += 1
    return set(range(hit, hit + last + 1))


def _list_before(hit: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> set[int]:
    first = hit
    while first and phrases[first - 1].about == phrases[hit].about and _link(tokens, *phrases[first - 1 : first + 1]):
        first -= 1
    return set(range(first, hit + 1))


def _unmatched(tokens: Sequence[Token], used: set[int]) -> Iterator[tuple[int, int]]:
    first = None
    for index in range(len(tokens) + 1):
        ends = index == len(tokens) or index in used or tokens[index].text in _PUNCTUATION
        if not ends and first is None:
            first = index
        elif ends and first is not None:
            yield from _trimmed(tokens, first, index)
            first = None


def _trimmed(tokens: Sequence[Token], first: int, end: int) -> Iterator[tuple[int, int]]:
    """The run without stop words at its ends; nothing if only attribute names remain."""
    while first < end and tokens[first].text in STOP_WORDS | _LISTING:
        first += 1
    while first < end and tokens[end - 1].text in STOP_WORDS | _LISTING:
        end -= 1
    if any(token.text not in TITLES.keys() | STOP_WORDS | _LISTING for token in tokens[first:end]):
        yield first, end
