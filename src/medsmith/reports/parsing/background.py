"""What a sentence says of the past, of relatives or as a question, and not of a lesion in this scan."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Final

from medsmith.reports.parsing.phrases import Phrase
from medsmith.reports.parsing.tokens import Token

PAST: Final = "history, not a finding"
BEHIND: Final = "background, not a finding"
ASKED: Final = "a question, not a finding"
RULED_OUT: Final = "denied"

_TREATMENTS: Final = frozenset(
    ("surgery", "resection", "excision", "removal", "ablation", "treatment", "chemotherapy", "radiotherapy")
)
_SURGERY: Final = "ectomy"
_OF_SURGERY: Final = frozenset(("left", "right", "bilateral", "partial", "total", "radical", "subtotal"))
_RELATIVES: Final = frozenset(
    ("mother", "father", "sister", "brother", "sibling", "parent", "grandmother", "grandfather", "aunt", "uncle")
)
_LOOKING: Final = ("evaluate", "evaluation", "assess", "assessment", "look", "looking", "check")
_CHECKING: Final = ("screen", "screening", "search", "surveillance", "staging", "workup", "risk")
_FOLLOWED: Final = frozenset(("surveillance", "staging", "workup"))
_CUES: Final[Mapping[tuple[str, ...], str]] = MappingProxyType(
    {
        ("history",): PAST,
        ("status", "post"): PAST,
        ("resolution", "of"): PAST,
        ("negative", "for"): RULED_OUT,
        ("exclude",): ASKED,
        **dict.fromkeys(product(_LOOKING, ("for",)), ASKED),
        **dict.fromkeys(product(_CHECKING, ("of", "for")), ASKED),
    }
)
"""Words before what they set aside -> why."""
_CUES_BEHIND: Final = frozenset(("screening", "surveillance", "staging", "workup", "protocol", "survivor"))
_RULE_OUT: Final = (["rule", "out"], ["to", "rule", "out"])
_GONE: Final = frozenset(("resolved", "resected", "excised", "removed"))
_FORMER: Final = frozenset(("prior", "previous", "former", "past", "had"))
_LEADING: Final = frozenset(
    (
        *("no", "known", "prior", "past", "previous", "personal", "family", "remote", "strong", "positive", "clinical"),
        *(
            "medical",
            "surgical",
            "significant",
            "long",
            "reported",
            "complete",
            "interval",
            "near",
            "high",
            "increased",
        ),
        *("increased", "elevated", "please", "pertinent", "relevant", "previously", "completely", "now", "at"),
    )
)
"""Words right before a cue that belong to it."""
_TITLES: Final = frozenset(
    ("history", "indication", "background", "question", "reason", "information", "pmh", "psh", "anamnesi", "anamnesis")
)
_TITLE_WORDS: Final = (
    _TITLES | _LEADING | {"for", "the", "of", "exam", "examination", "study", "ct", "data", "patient", "scan"}
)
_SECTIONS: Final = frozenset(("finding", "impression", "conclusion"))
_LIMITS: Final = frozenset(".;:()!?")
_PRESENT: Final = frozenset(
    (
        *("now", "new", "newly", "currently", "current", "today", "presenting", "show", "showing", "there", "has"),
        *("have", "demonstrate", "demonstrating", "reveal", "revealing", "but", "here", "found", "noted", "scan", "ct"),
    )
)
"""Words that turn to this scan."""
_ARTICLES: Final = frozenset(("a", "an"))
_CUT: Final = frozenset(("#", "no", "without", "not", "the"))
_DIAGNOSES: Final = frozenset(("kind", "untyped"))


def background(tokens: Sequence[Token], phrases: Sequence[Phrase]) -> list[tuple[int, int, str]]:
    """Runs of tokens as (first, end, why), in order: "history of RCC", "screening for lung cancer", "s/p nephrectomy".

    A run ends where the sentence turns to this scan: at a word such as "now", a size after a diagnosis, an article
    after "with" or "and", or a comma before anything but another diagnosis. "Rule out" behind a lesion is a doubt about
    it instead, and what stands under a title such as "Clinical history:" is background to its end.
    """
    starts = {phrase.first: phrase for phrase in phrases}
    if title := _end_of_title(tokens):
        return [(0, title, BEHIND)]
    doubted = {at for each in phrases if each.about == "hedged" for at in range(each.first, each.end)}
    runs: list[tuple[int, int, str]] = []
    end = 0
    for at in range(len(tokens)):
        if at < end:
            continue
        if why := _is_asked(at, tokens, phrases, starts) or ("" if at in doubted else _cue(at, tokens, phrases)):
            first, end = _lead(at, end, tokens, doubted), _end(at + 1, tokens, starts)
            if tokens[at].text in _FOLLOWED and any(token.text == "#" for token in tokens[at:end]):
                end = at + 2  # a lesion with a size that is followed is in this scan
            runs.append((first, end, why))
        elif tokens[at].text in _CUES_BEHIND and (before := _diagnosis_before(at, phrases)) is not None:
            runs.append((max(before, end), at + 1, ASKED))
            end = at + 1
    return runs


def _lead(at: int, least: int, tokens: Sequence[Token], doubted: set[int]) -> int:
    """The first of the words right before a cue that belong to it, from the end of the last run on."""
    leading = _LEADING | _OF_SURGERY if tokens[at].text.endswith(_SURGERY) else _LEADING
    while at > least and tokens[at - 1].text in leading and at - 1 not in doubted:
        at -= 1
    return at


def _end_of_title(tokens: Sequence[Token]) -> int:
    """The end of what stands under a title of the background; 0 if the sentence has none."""
    colon = next((at for at, token in enumerate(tokens) if token.text == ":"), 0)
    words = {token.text for token in tokens[:colon]}
    if not (words & _TITLES and words <= _TITLE_WORDS):
        return 0
    sections = (
        at for at in range(colon + 1, len(tokens) - 1) if tokens[at].text in _SECTIONS and tokens[at + 1].text == ":"
    )
    return next(sections, len(tokens))


def _cue(at: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> str:
    """Why what follows is set aside; empty if it is not."""
    words = [token.text for token in tokens[at : at + 4]]
    for cue, why in _CUES.items():
        if tuple(words[: len(cue)]) == cue:
            return why
    word, following = words[0], words[1:]
    if word in _RELATIVES or word.endswith(_SURGERY) or (_is_treatment(word) and following[:1] in (["of"], ["for"])):
        return PAST
    if word in ("post", "after", "following") and any(map(_is_treatment, following[:2])):
        return PAST
    return PAST if _is_former(at, tokens, phrases) else ""


def _is_treatment(word: str) -> bool:
    return word in _TREATMENTS or word.endswith(_SURGERY)


def _is_former(at: int, tokens: Sequence[Token], phrases: Sequence[Phrase]) -> bool:
    """Whether a word calls the next diagnosis one of the past ("prior RCC", "resected HCC", "resolved hematoma")."""
    word = tokens[at].text
    if word not in _GONE | _FORMER:
        return False
    rest = [token.text for token in tokens[at + 1 :]]
    behind = next((end for end, each in enumerate(rest) if each in _LIMITS | {","}), len(rest))
    nouns = [phrase for phrase in phrases if at < phrase.first <= at + behind and phrase.is_noun]
    if word in _GONE:
        before = tokens[at - 1].text if at else ","
        return bool(nouns) and (before in _LIMITS | _LEADING | {",", "the", "and"})
    diagnoses = bool(nouns) and nouns[0].about in _DIAGNOSES
    return diagnoses and "#" not in rest and not set(rest) & _PRESENT


def _is_asked(at: int, tokens: Sequence[Token], phrases: Sequence[Phrase], starts: dict[int, Phrase]) -> str:
    """Why "rule out" asks, where no lesion of the sentence stands before it."""
    phrase = starts.get(at)
    if phrase is None or [token.text for token in tokens[phrase.first : phrase.end]] not in _RULE_OUT:
        return ""
    return "" if any(other.is_noun and other.first < at for other in phrases) else ASKED


def _diagnosis_before(at: int, phrases: Sequence[Phrase]) -> int | None:
    """The start of a diagnosis right before a word, with its organ and side."""
    first: int | None = None
    for phrase in reversed(phrases):
        if phrase.end == (at if first is None else first) and (first is not None or phrase.about in _DIAGNOSES):
            if phrase.about not in (*_DIAGNOSES, "organ", "side", "implied"):
                break
            first = phrase.first
    return first


def _end(at: int, tokens: Sequence[Token], starts: dict[int, Phrase]) -> int:
    """One past the last token of what is set aside from a cue on."""
    named = False
    while at < len(tokens):
        word, phrase = tokens[at].text, starts.get(at)
        following = tokens[at + 1].text if at + 1 < len(tokens) else "."
        if word in _LIMITS or (word in _PRESENT and phrase is None) or (word == "#" and named):
            return at
        if word in ("with", "and", "or") and following in _ARTICLES | {"#"}:
            return at
        if word in (",", "and", "plus") and not _lists_diagnoses(at + 1, tokens, starts):
            return at
        named |= phrase is not None and phrase.is_noun
        at = phrase.end if phrase else at + 1
    return at


def _lists_diagnoses(at: int, tokens: Sequence[Token], starts: dict[int, Phrase]) -> bool:
    """Whether the next part of a list may be another diagnosis, and says of none how it looks."""
    joined = tokens[at - 1].text != ","
    if at < len(tokens) and tokens[at].text == "and":
        at, joined = at + 1, True
    said: list[Phrase] = []
    first = at
    while at < len(tokens) and tokens[at].text not in _LIMITS | {",", "and"}:
        phrase, word = starts.get(at), tokens[at].text
        if word in _PRESENT and joined and at > first:
            break
        if word in _PRESENT | _ARTICLES | _CUT:
            return False
        said += [phrase] if phrase else []
        at = phrase.end if phrase else at + 1
    names = (*_DIAGNOSES, "organ", "side", "implied", "part", "noun")
    diagnoses = all(any(meaning.name in _DIAGNOSES for meaning in phrase.meanings) for phrase in said if phrase.is_noun)
    return at > first and diagnoses and all(phrase.about in names for phrase in said)


def surroundings(phrases: Sequence[Phrase], runs: Sequence[tuple[int, int, str]]) -> Iterator[Phrase]:
    """The phrases outside the runs."""
    yield from (phrase for phrase in phrases if not any(first <= phrase.first < end for first, end, _ in runs))
