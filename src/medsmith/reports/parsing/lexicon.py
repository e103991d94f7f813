"""The phrases that the report parser understands, and their meanings."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Final

from medsmith.reports.organs import ORGAN_PHRASES
from medsmith.reports.parsing.filler import STOP_WORDS, TITLES
from medsmith.reports.parsing.spelling import misspelled
from medsmith.reports.parsing.stemming import stems
from medsmith.reports.parsing.terms import Meaning, terms
from medsmith.reports.vocabulary import ATTRIBUTES, SYNONYMS

_MAX_OPTIONS = 3
_MAX_WORDS = 24
"""Words of a phrase that are compared with all terms, which takes milliseconds each."""
_LONG = 8
"""Least letters of a word without a meaning that is named: shorter ones resemble too many others."""
_UNNAMED = ("header", "unused", "unquantified")


def _entries() -> Iterator[tuple[str, tuple[Meaning, ...]]]:
    for name, attribute in ATTRIBUTES.items():
        yield from ((option, (Meaning(name, option),)) for option in attribute.options)
    yield from terms()
    for name, attribute in ATTRIBUTES.items():
        for option in attribute.options:
            yield from ((phrase, (Meaning(name, option),)) for phrase in SYNONYMS.get(option, ()))
    yield from ((phrase, (Meaning("organ", organ),)) for phrase, organ in ORGAN_PHRASES.items())


def _lexicon() -> Mapping[tuple[str, ...], tuple[Meaning, ...]]:
    """The first entry of a phrase wins: "wall thickening" is a shape before it is a location."""
    lexicon: dict[tuple[str, ...], tuple[Meaning, ...]] = {}
    for phrase, meanings in _entries():
        lexicon.setdefault(stems(phrase), meanings)
    lexicon["stone",] = (Meaning("kind", "stone"),)
    return MappingProxyType(lexicon)


LEXICON: Final = _lexicon()
"""Stems of a phrase -> its meanings. A stone is a kind here; beside another lesion noun it is read as a feature."""
LONGEST_PHRASE: Final = max(len(words) for words in LEXICON)
"""Number of words in the longest phrase."""
_OPTIONS: Final = {
    " ".join(words): meanings[0].value if meanings[0].name in ATTRIBUTES else " ".join(words)
    for words, meanings in LEXICON.items()
    if meanings[0].name not in _UNNAMED
} | {word: word for word in STOP_WORDS if len(word) >= _LONG}
"""Words that may be misspelled -> what they mean, or themselves where they mean no option."""


def nearest_options(phrase: str) -> tuple[str, ...]:
    """The terms that a phrase may be a misspelling of, best first, three at most; those of its words if there is none.

    A phrase that resembles none but names an attribute ("spiky contour") gives the attribute's options.
    """
    words = stems(phrase)
    content = [word for word in words if word not in TITLES and word not in STOP_WORDS]
    titled = next((TITLES[word] for word in words if word in TITLES), None)
    plain = re.findall(r"[a-z0-9]+", phrase.casefold())
    whole = dict.fromkeys(filter(None, (" ".join(plain), " ".join(words), " ".join(content))))
    found = _misspelled(whole) or _misspelled(islice(dict.fromkeys([*plain, *content]), _MAX_WORDS))
    return found or (ATTRIBUTES[titled].options if titled else ())


def _misspelled(texts: Iterable[str]) -> tuple[str, ...]:
    near = [wording for text in texts for wording in _near(text)]
    return tuple(dict.fromkeys(_OPTIONS[wording] for wording in near))[:_MAX_OPTIONS]


@lru_cache(maxsize=4096)
def _near(text: str) -> tuple[str, ...]:
    return tuple(misspelled(text, _OPTIONS))
