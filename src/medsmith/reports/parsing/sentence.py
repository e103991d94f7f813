"""Reads a sentence: phrases, negations, and what is named as a landmark or background only."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from medsmith.reports.parsing.background import background, surroundings
from medsmith.reports.parsing.negation import find_negated
from medsmith.reports.parsing.numbers import NOT_THE_SIZE
from medsmith.reports.parsing.phrases import Clause, Phrase, match_phrases, unmatched_runs
from medsmith.reports.parsing.tokens import PUNCTUATION, Token

NEIGHBOR: Final = "a report does not name neighbors"
DENIED: Final = "denied"
_ARTICLES: Final = frozenset(("a", "an", "the", "left", "right", "both", "of", "to", "from", "with"))
_ENDS: Final = (PUNCTUATION - {"/"}) | {
    *("in", "within", "which", "that", "measuring", "at", "on", "but", "suspicious", "consistent", "compatible", "#"),
    *("has", "is", "are", "now"),
}
_PLACES: Final = frozenset(("organ", "side", "sides", "part", "implied"))
_LONGEST_LANDMARK = 6


def read_sentence(text: str) -> Clause:
    """Tokenizes a sentence, matches its phrases, and finds what does not describe a lesion.

    What a lesion is close to, and what a distance is measured to, is a landmark: it is set aside, since a report names
    no neighbors, and never taken for the organ of the lesion. History, relatives and questions are set aside as well.
    """
    tokens, matched = match_phrases(text)
    every = [phrase for at, phrase in enumerate(matched) if not _is_all(phrase, matched[at + 1 : at + 2], tokens)]
    behind = background(tokens, every)
    phrases = [*surroundings(every, behind)]
    covered = {index for phrase in phrases for index in range(phrase.first, phrase.end)}
    covered |= {index for first, end, _ in behind for index in range(first, end)}
    negated, cues, denied = find_negated(tokens, phrases, covered)
    landmarks = {index for phrase in phrases for index in _landmark(phrase, tokens, phrases)}
    marked = tuple(
        replace(phrase, negated=at in negated, aside=NEIGHBOR if phrase.first in landmarks else phrase.aside)
        for at, phrase in enumerate(phrases)
    )
    used = covered | cues
    runs = [(first, end, NEIGHBOR) for first, end in unmatched_runs(tokens, used | _others(tokens, landmarks))]
    runs += [(first, end, DENIED) for first, end in unmatched_runs(tokens, used | _others(tokens, denied - landmarks))]
    unmatched = tuple(unmatched_runs(tokens, used | landmarks | denied))
    return Clause(text, tokens, marked, unmatched, tuple(sorted([*runs, *behind])))


def _is_all(phrase: Phrase, following: Sequence[Phrase], tokens: Sequence[Token]) -> bool:
    """Whether "both" stands for two lesions and not for two sides ("both solid", not "in both kidneys")."""
    pair = any(other.first == phrase.end and other.about == "organ" for other in following)
    return (
        phrase.about == "sides" and tokens[phrase.first].text == "both" and phrase.end == phrase.first + 1 and not pair
    )


def _others(tokens: Sequence[Token], indices: set[int]) -> set[int]:
    return set(range(len(tokens))) - indices


def _landmark(phrase: Phrase, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> Iterator[int]:
    """Tokens that name what a lesion is close to, or what its distance is measured to."""
    is_distance = phrase.number is not None and phrase.number.aside and phrase.number.reason == NOT_THE_SIZE
    is_close = phrase.about == "relationship" and not phrase.meanings[0].value.startswith("no ")
    if not is_distance and not is_close:
        return
    if is_distance and not _has_landmark(phrase.end, tokens):
        return
    starts = {other.first: other for other in phrases}
    named = False
    at = phrase.end
    while at < min(phrase.end + _LONGEST_LANDMARK, len(tokens)):
        other, word = starts.get(at), tokens[at].text
        if word in _ENDS or (other and other.about not in _PLACES):
            return
        if word == "and" and not (named and _goes_on(at + 1, tokens, starts)):
            return
        end = other.end if other else at + 1
        named |= word not in _ARTICLES or other is not None
        yield from range(at, end)
        at = end


def _has_landmark(at: int, tokens: Sequence[Token]) -> bool:
    words = {token.text for token in tokens[at : at + 3]}
    return bool(words & {"from", "to", "of", "above", "below", "off"})


def _goes_on(at: int, tokens: Sequence[Token], starts: dict[int, Phrase]) -> bool:
    """Whether "and" joins another neighbor: an organ, or "the" and an unknown word."""
    while at < len(tokens) and tokens[at].text in ("a", "an", "the"):
        at += 1
    other = starts.get(at)
    return at < len(tokens) and tokens[at].text not in _ENDS and (other is None or other.about in _PLACES)
