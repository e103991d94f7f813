"""What a text says with reserve: a report cannot hold doubt, so each is read as certain and told."""

from collections.abc import Iterator
from itertools import takewhile
from typing import Final

from medsmith.reports.parsing.phrases import Clause, Phrase
from medsmith.reports.parsing.tokens import PUNCTUATION
from medsmith.reports.vocabulary import ATTRIBUTES

_LIMITS: Final = PUNCTUATION - {"/"}
_SAYING: Final = (*ATTRIBUTES.keys() - {"organ"}, "kind", "noun", "consistency", "excluded", "unused")
_ADVERBS: Final = frozenset(("probably", "possibly", "presumably"))
_BEFORE_PLACES: Final = frozenset(("in", "of", "at", "within", "on", "from", "and", "but", "here"))


def hedged_claims(clause: Clause) -> Iterator[str]:
    """What is hedged in a clause, as said: "suspicious for RCC", "RCC is suspected", "HCC vs metastasis"."""
    for phrase in clause.phrases:
        if phrase.about == "hedged" and phrase.holds:
            yield from _claim(clause, phrase)


def _claim(clause: Clause, hedge: Phrase) -> Iterator[str]:
    after = [phrase for phrase in _until_limit(clause, hedge) if phrase.about in _SAYING]
    before = [phrase for phrase in clause.phrases if phrase.end <= hedge.first and phrase.about in _SAYING]
    subject = next((phrase.first for phrase in reversed(before) if phrase.holds), hedge.first)
    claimed = next((phrase for phrase in after if phrase.about != "unused"), None)
    if claimed is None:
        if not after and _is_predicate(clause, hedge):
            yield clause.words(subject, hedge.end)
    elif claimed.holds:
        for follower in after:
            if not claimed.is_noun and follower.first == claimed.end and follower.holds:
                claimed = follower
        is_choice = clause.tokens[hedge.first].text in ("vs", "versus")
        yield clause.words(subject if is_choice else hedge.first, claimed.end)


def _until_limit(clause: Clause, hedge: Phrase) -> Iterator[Phrase]:
    """The phrases behind a word of doubt, up to punctuation or the next such word."""
    limits = (index for index in range(hedge.end, len(clause.tokens)) if clause.tokens[index].text in _LIMITS)
    end = next(limits, len(clause.tokens))
    behind = (phrase for phrase in clause.phrases if hedge.end <= phrase.first and phrase.end <= end)
    return takewhile(lambda phrase: phrase.about != "hedged", behind)


def _is_predicate(clause: Clause, hedge: Phrase) -> bool:
    """Whether a word of doubt is said of what is before it, and not of what follows ("probably unchanged")."""
    if clause.tokens[hedge.end - 1].text in _ADVERBS:
        return False
    following = clause.tokens[hedge.end].text if hedge.end < len(clause.tokens) else ","
    next_hedged = any(phrase.first == hedge.end and phrase.about == "hedged" for phrase in clause.phrases)
    return next_hedged or following in _LIMITS | _BEFORE_PLACES
