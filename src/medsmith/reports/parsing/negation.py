"""Which phrases of a sentence are negated, and which words a negation makes irrelevant."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise, takewhile
from typing import Final

from medsmith.reports.parsing.filler import STABILITY, STOP_WORDS
from medsmith.reports.parsing.phrases import LISTING, Phrase
from medsmith.reports.parsing.tokens import PUNCTUATION, Token

_NEGATIONS: Final = frozenset(
    ("no", "not", "non", "without", "never", "lack", "lacking", "absence", "free", "neither", "unlikely")
)
_DETERMINERS: Final = frozenset(("no", "without", "absence", "lack", "free"))
_GONE: Final = frozenset(("resolved", "disappeared", "resected", "excised", "removed", "remission"))
_TRAILING: Final = frozenset(("absent", "none", "excluded", "lacking", "missing")) | _GONE
_SEEN: Final = frozenset(
    ("seen", "present", "visible", "identified", "found", "detected", "evident", "there", "visualized", "appreciated")
)
_EITHER: Final = frozenset(("or", "nor"))
_LOCATIVE: Final = frozenset(("in", "within", "inside", "at", "but", "with", "measuring", "which"))
_PREPOSITIONS: Final = _LOCATIVE | {"of", "on", "from", "to", "for"}
_WHERE: Final = ("organ", "side", "sides", "part", "implied")
_PLACES: Final = (*_WHERE, "hedged", None)
_MAX_GAP = 5
_LONGEST_LIST = 40


def find_negated(
    tokens: Sequence[Token], phrases: Sequence[Phrase], covered: set[int]
) -> tuple[set[int], set[int], set[int]]:
    """Indices of the negated phrases, of the negating tokens, and of unknown words that are denied.

    A negation applies to the next phrase (or the previous one: "calcification is absent"); after "no" and "without",
    up to the noun of a lesion; "non" to the next word alone. It extends through a list: over "or" to any phrase, over
    a comma or "and" to phrases about the same attribute. "No change" denies nothing.
    """
    negated: set[int] = set()
    cues: set[int] = set()
    denied: set[int] = set()
    for index, token in enumerate(tokens):
        if index in covered or index in cues:
            continue
        backward = _backward(index, tokens)
        hit = _before(index, tokens, phrases) if backward else None
        if hit is not None:
            negated |= _list_before(hit, tokens, phrases)
            cues |= set(range(index, index + backward))
        elif token.text in _NEGATIONS:
            stable = _stable(index, tokens, covered)
            cues |= stable or {index}
            if not stable:
                found = _forward(index, tokens, phrases)
                negated |= found
                denied |= set(_denied_words(index, tokens, covered, [phrases[i] for i in found]))
    return negated, cues, denied


def _backward(index: int, tokens: Sequence[Token]) -> int:
    """The number of tokens of a negation of what is before it; 0 if there is none."""
    words = [token.text for token in tokens[index : index + 3]] + ["", ""]
    if words[0] in _TRAILING:
        return 1
    if words[0] == "unlikely" and (not words[1] or words[1] in PUNCTUATION):
        return 1
    if words[:2] in (["ruled", "out"], ["rules", "out"]):
        return 2
    if words[:2] == ["no", "longer"]:
        return 3 if words[2] in _SEEN else 2
    before = tokens[index - 1].text if index else ""
    if words[0] in _NEGATIONS and words[1] in _SEEN:
        return 2
    return 1 if words[0] == "no" and before == ":" else 0


def _stable(index: int, tokens: Sequence[Token], covered: set[int]) -> set[int]:
    """The tokens of "no significant change in" and its like."""
    for at in range(index + 1, min(index + 1 + _MAX_GAP, len(tokens))):
        if tokens[at].text in STABILITY:
            return set(range(index, at + 1))
        if at in covered or tokens[at].text in PUNCTUATION:
            break
    return set()


def _forward(index: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> set[int]:
    hit = _after(index, tokens, phrases)
    if hit is None:
        return set()
    after = tokens[index + 1].text
    determines = tokens[index].text in _DETERMINERS or phrases[hit].about in _PLACES
    determines |= tokens[index].text == "not" and after in ("a", "an")
    noun = _suspect_of(_noun_of(hit, tokens, phrases), tokens, phrases) if determines else hit
    return set(range(hit, noun)) | _list_after(noun, tokens, phrases)


def _after(index: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> int | None:
    most = 0 if tokens[index].text == "non" else _MAX_GAP - 1
    hit = bisect_right(phrases, index, key=lambda phrase: phrase.first)
    if hit == len(phrases) or phrases[hit].first - index - 1 > most:
        return None
    between = range(index + 1, phrases[hit].first)
    ends = any(tokens[at].text in PUNCTUATION and not _list_goes_on(at, tokens) for at in between)
    return None if ends else hit


def _noun_of(hit: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> int:
    """The lesion noun at the end of a run of phrases without prepositions ("no round focal liver cyst")."""
    at = hit
    while not phrases[at].is_noun:
        if at + 1 == len(phrases):
            return hit
        between = {token.text for token in tokens[phrases[at].end : phrases[at + 1].first]}
        if not between <= STOP_WORDS - _PREPOSITIONS:
            return hit
        at += 1
    return at


def _suspect_of(noun: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> int:
    """What a denied lesion would be suspicious for, or else itself ("no nodule in the lung suspicious for cancer")."""
    behind = range(noun + 1, len(phrases) - 1)
    hedge = next((at for at in behind if phrases[at].about == "hedged" or phrases[at].about not in _WHERE), None)
    if hedge is None or phrases[hedge].about != "hedged":
        return noun
    covered = {at for phrase in phrases[noun:hedge] for at in range(phrase.first, phrase.end)}
    between = {tokens[at].text for at in range(phrases[noun].end, phrases[hedge].first) if at not in covered}
    return _noun_of(hedge, tokens, phrases) if between <= STOP_WORDS else noun


def _before(index: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> int | None:
    """The phrase that a negation behind it denies; where it is or how large it is does not count.

    A comma may stand before what says that it is gone ("lung cancer, resected").
    """
    if index and tokens[index].text in _GONE and tokens[index - 1].text == ",":
        return _before_comma(index - 1, phrases)
    for i, phrase in reversed(list(enumerate(phrases))):
        if phrase.end <= index and phrase.about not in _PLACES:
            skipped = {at for other in phrases[i + 1 :] for at in range(other.first, other.end)}
            between = [tokens[at] for at in range(phrase.end, index) if at not in skipped]
            reachable = len(between) < _MAX_GAP and not any(token.text in PUNCTUATION - {":"} for token in between)
            return i if reachable else None
    return None


def _before_comma(comma: int, phrases: Sequence[Phrase]) -> int | None:
    """The last noun of a lesion before a comma."""
    return next((i for i, phrase in reversed(list(enumerate(phrases))) if phrase.end <= comma and phrase.is_noun), None)


def _link(tokens: Sequence[Token], one: Phrase, other: Phrase) -> set[str]:
    """The list words between two phrases; empty if there are other words or none."""
    between = {token.text for token in tokens[one.end : other.first]}
    return between & LISTING if between <= LISTING | {"a", "an", "the", "any"} else set()


def _list_after(hit: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> set[int]:
    pairs = pairwise(islice(phrases, hit, None))
    links = [*takewhile(bool, (_link(tokens, one, other) for one, other in pairs))]
    length = len(links)
    last = max((i + 1 for i in range(length) if links[i] & _EITHER), default=0)
    while last < length and phrases[hit + last + 1].about == phrases[hit + last].about:
        last += 1
    return set(range(hit, hit + last + 1))


def _list_before(hit: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> set[int]:
    first = hit
    while first and phrases[first - 1].about == phrases[hit].about and _link(tokens, *phrases[first - 1 : first + 1]):
        first -= 1
    return set(range(first, hit + 1))


def _denied_words(index: int, tokens: Sequence[Token], covered: set[int], negated: Sequence[Phrase]) -> Iterator[int]:
    """Unknown words after a negation, up to what they are in, a number or the end of the clause."""
    last = max((phrase.end for phrase in negated), default=index)
    for at in range(index + 1, len(tokens)):
        word = tokens[at].text
        if at >= last and (word in _LOCATIVE or tokens[at].number is not None):
            return
        if at >= last and word in PUNCTUATION - {"/"} and not _list_goes_on(at, tokens):
            return
        if tokens[index].text == "non" and at > index + 1:
            return
        if at not in covered:
            yield at


def _list_goes_on(at: int, tokens: Sequence[Token]) -> bool:
    """Whether a comma belongs to a list that ends with "or" ("no ascites, effusion or nodes")."""
    rest = [token.text for token in tokens[at + 1 : at + 1 + _LONGEST_LIST]]
    stop = next((i for i, word in enumerate(rest) if word in _LOCATIVE or word in PUNCTUATION - {","}), len(rest))
    return tokens[at].text == "," and bool(_EITHER & set(rest[:stop])) and "#" not in rest[:stop]
