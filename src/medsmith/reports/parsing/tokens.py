"""Splits text into words, numbers and punctuation marks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from medsmith.reports.parsing.lexicon import LEXICON
from medsmith.reports.parsing.numbers import Number, find_numbers
from medsmith.reports.parsing.stemming import stem

PUNCTUATION: Final = frozenset(",;:().!?/")
_IGNORED: Final = frozenset("-_~'\"`*[]{}")
_WORD: Final = re.compile(r"[a-z]+\d*|\d+(?:\.\d+)?|[^\W\d_]+")
_PREFIX: Final = "non"


@final
@dataclass(frozen=True)
class Token:
    """A word, a number or a punctuation mark.

    Attributes:
        text: word stem, punctuation mark, or "#" for a number.
        start: first character in the text.
        end: one past the last.
        number: the parsed number.
        word: the word as written, lower-case.
    """

    text: str
    start: int
    end: int
    number: Number | None = None
    word: str = ""


def tokenize(text: str) -> tuple[Token, ...]:
    """All tokens of a text; "noncalcified" is two words if "calcified" is a known one."""
    return tuple(_tokens("".join(char.lower() if len(char.lower()) == 1 else char for char in text)))


def _tokens(lower: str) -> Iterator[Token]:
    numbers = {number.start: number for number in find_numbers(lower)}
    at = 0
    while at < len(lower):
        if number := numbers.get(at):
            yield Token("#", number.start, number.end, number)
            at = number.end
        elif word := _WORD.match(lower, at):
            yield from _words(word[0], word.start())
            at = word.end()
        else:
            if not lower[at].isspace() and lower[at] not in _IGNORED:
                yield Token(lower[at], at, at + 1)
            at += 1


def _words(word: str, start: int) -> Iterator[Token]:
    rest = word.removeprefix(_PREFIX)
    end = start + len(word)
    if rest != word and (stem(word),) not in LEXICON and (stem(rest),) in LEXICON:
        middle = start + len(_PREFIX)
        yield Token(_PREFIX, start, middle, word=_PREFIX)
        yield Token(stem(rest), middle, end, word=rest)
    else:
        yield Token(stem(word), start, end, word=word)
