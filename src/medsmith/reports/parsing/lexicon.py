"""The phrases that the report parser understands, and their meanings."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from medsmith.reports.organs import ORGAN_PHRASES
from medsmith.reports.parsing.filler import STOP_WORDS, TITLES
from medsmith.reports.parsing.stemming import stems
from medsmith.reports.parsing.terms import Meaning, terms
from medsmith.reports.vocabulary import ATTRIBUTES, SYNONYMS

_SIMILARITIES = (0.7, 0.5)
"""Least similarity of an option that is named, and of one that is named where nothing is more similar."""
_MAX_OPTIONS = 3
_UNNAMED = ("side", "sides", "noun", "part", "unused", "unquantified", "header", "excluded")


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
    " ".join(words): " ".join(words) if meanings[0].name in ("kind", "implied") else meanings[0].value
    for words, meanings in LEXICON.items()
    if meanings[0].name not in _UNNAMED
}


def nearest_options(phrase: str) -> tuple[str, ...]:
    """The terms spelled most like a phrase, best first, three at most.

    A phrase that resembles none but names an attribute ("spiky contour") gives the attribute's options.
    """
    words = stems(phrase)
    content = [word for word in words if word not in TITLES and word not in STOP_WORDS]
    titled = next((TITLES[word] for word in words if word in TITLES), None)
    texts = dict.fromkeys(filter(None, (" ".join(words), " ".join(content))))
    found = _similar(texts, _SIMILARITIES[0])
    if found or titled:
        return found or ATTRIBUTES[titled or ""].options
    return _similar(texts, _SIMILARITIES[1]) or _similar(content, _SIMILARITIES[1])


def _similar(texts: Iterable[str], similarity: float) -> tuple[str, ...]:
    close = [
        wording for text in texts for wording in difflib.get_close_matches(text, _OPTIONS, 3 * _MAX_OPTIONS, similarity)
    ]
    return tuple(dict.fromkeys(_OPTIONS[wording] for wording in close))[:_MAX_OPTIONS]
