"""The known phrases of a sentence, longest match first; which are negated, and which are not about the lesion."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar, final

from medsmith.reports.parsing.filler import STOP_WORDS, TITLES
from medsmith.reports.parsing.lexicon import LEXICON, LONGEST_PHRASE
from medsmith.reports.parsing.numbers import Number
from medsmith.reports.parsing.terms import Meaning
from medsmith.reports.parsing.tokens import PUNCTUATION, Token, tokenize

LISTING: Final = frozenset(("or", "nor", ",", "/", "and"))


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
        aside: why the phrase does not describe the lesion; empty if it does.
    """

    first: int
    end: int
    meanings: tuple[Meaning, ...]
    number: Number | None = None
    negated: bool = False
    aside: str = ""

    @property
    def about(self) -> str | None:
        """The attribute, or "kind", "noun", "side" and so on (see `Meaning`)."""
        return self.meanings[0].name if self.meanings else None

    @property
    def is_noun(self) -> bool:
        """Whether it denotes a lesion: a kind, or any noun for a lesion."""
        return any(meaning.name in ("kind", "noun") for meaning in self.meanings)

    @property
    def holds(self) -> bool:
        """Whether it says something of the lesion."""
        return not self.negated and not self.aside

    def moved(self, by: int) -> "Phrase":
        """The phrase in a clause with so many tokens more before it."""
        return replace(self, first=self.first + by, end=self.end + by)


@final
@dataclass(frozen=True)
class Clause:
    """A tokenized sentence, or a part of one, with its phrases.

    Attributes:
        text: original text of the sentence.
        tokens: all tokens.
        phrases: recognized phrases, in order.
        unmatched: runs of other tokens that matter, as (first, end).
        aside: runs of other tokens that do not describe the lesion, as (first, end, reason).
    """

    text: str
    tokens: tuple[Token, ...]
    phrases: tuple[Phrase, ...]
    unmatched: tuple[tuple[int, int], ...] = ()
    aside: tuple[tuple[int, int, str], ...] = ()

    def words(self, first: int, end: int) -> str:
        """The original text of a range of tokens, on one line."""
        return " ".join(self.text[self.tokens[first].start : self.tokens[end - 1].end].split())

    @property
    def said(self) -> str:
        """The original text of all tokens."""
        return self.words(0, len(self.tokens)) if self.tokens else ""

    def part(self, first: int, end: int) -> "Clause":
        """The clause of a range of tokens, which cuts no phrase."""
        begin, stop = (bisect_left(self.phrases, at, key=lambda phrase: phrase.first) for at in (first, end))
        phrases = (phrase.moved(-first) for phrase in self.phrases[begin:stop] if phrase.end <= end)
        unmatched = (
            (max(run[0], first) - first, min(run[1], end) - first) for run in _among(self.unmatched, first, end)
        )
        aside = (
            (max(run[0], first) - first, min(run[1], end) - first, run[2]) for run in _among(self.aside, first, end)
        )
        return Clause(self.text, self.tokens[first:end], tuple(phrases), tuple(unmatched), tuple(aside))


_Run = TypeVar("_Run", tuple[int, int], tuple[int, int, str])


def _among(runs: Sequence[_Run], first: int, end: int) -> Sequence[_Run]:
    """Of runs in order, none of which overlap, those with tokens in a range."""
    begin = bisect_right(runs, first, key=lambda run: run[1])
    return runs[begin : bisect_left(runs, end, key=lambda run: run[0])]


def join(clauses: Sequence[Clause]) -> Clause:
    """The clause of parts of one sentence, in their order."""
    tokens: tuple[Token, ...] = ()
    phrases: list[Phrase] = []
    unmatched: list[tuple[int, int]] = []
    aside: list[tuple[int, int, str]] = []
    for clause in clauses:
        by = len(tokens)
        phrases += [phrase.moved(by) for phrase in clause.phrases]
        unmatched += [(first + by, end + by) for first, end in clause.unmatched]
        aside += [(first + by, end + by, reason) for first, end, reason in clause.aside]
        tokens += clause.tokens
    return Clause(clauses[0].text, tokens, tuple(phrases), tuple(unmatched), tuple(aside))


def match_phrases(text: str) -> tuple[tuple[Token, ...], list[Phrase]]:
    """The tokens of a sentence, and its phrases and numbers in order. Phrases do not cross punctuation."""
    tokens = tokenize(text)
    phrases = [*_matches(tokens)]
    phrases += [Phrase(i, i + 1, (), token.number) for i, token in enumerate(tokens) if token.number is not None]
    return tokens, sorted(phrases, key=lambda phrase: phrase.first)


def _matches(tokens: Sequence[Token]) -> Iterator[Phrase]:
    free = [True] * len(tokens)
    for length in range(min(LONGEST_PHRASE, len(tokens)), 0, -1):
        for first in range(len(tokens) - length + 1):
            meanings = LEXICON.get(tuple(token.text for token in tokens[first : first + length]))
            if meanings and all(free[first : first + length]):
                free[first : first + length] = [False] * length
                yield Phrase(first, first + length, meanings)


def unmatched_runs(tokens: Sequence[Token], used: set[int]) -> Iterator[tuple[int, int]]:
    """Runs of tokens without a known meaning; nothing where only attribute names remain."""
    first: int | None = None
    for index in range(len(tokens) + 1):
        word = tokens[index].text if index < len(tokens) else ","
        if index not in used and word not in PUNCTUATION | STOP_WORDS | LISTING:
            first = index if first is None else first
        elif first is not None:
            if any(token.text not in TITLES for token in tokens[first:index]):
                yield first, index
            first = None
