"""The phrases that the report parser understands, and their meanings."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, final

from medsmith.reports.organs import ORGAN_PHRASES
from medsmith.reports.vocabulary import ATTRIBUTES, SYNONYMS

_MIN_SIMILARITY = 0.7
_MAX_OPTIONS = 3


@final
@dataclass(frozen=True)
class Meaning:
    """The meaning of a phrase.

    Attributes:
        name: attribute of the template; or "kind" (noun of a lesion type), "noun" (of any lesion), "side".
        value: option, organ, kind or side.
    """

    name: str
    value: str


_KINDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "cyst": ("cyst",),
        "stone": ("stone", "calculus", "calculi"),
        "cancer": ("cancer", "tumor", "carcinoma", "adenocarcinoma", "malignancy"),
        "hemorrhage": ("hemorrhage", "hematoma", "bleed", "bleeding"),
    }
)
_NOUNS: Final = ("lesion", "mass", "nodule", "finding", "abnormality")
_COMPOUND: Final[Mapping[str, tuple[Meaning, ...]]] = MappingProxyType(
    {
        "gallstone": (Meaning("kind", "stone"), Meaning("organ", "gallbladder")),
        "cholelithiasis": (Meaning("kind", "stone"), Meaning("organ", "gallbladder")),
        "nephrolithiasis": (Meaning("kind", "stone"), Meaning("organ", "kidney")),
        "renal cell carcinoma": (Meaning("kind", "cancer"), Meaning("organ", "kidney")),
        "hepatocellular carcinoma": (Meaning("kind", "cancer"), Meaning("organ", "liver")),
        "irregular wall thickening": (Meaning("shape", "irregular"), Meaning("shape", "wall thickening")),
    }
)
_MORE_PHRASES: Final[Mapping[Meaning, tuple[str, ...]]] = MappingProxyType(
    {
        Meaning("cavity", "wall thickening"): ("in the wall", "at the wall", "on the wall", "from the wall", "mural"),
        Meaning("cavity", "within the lumen of a hollow organ"): ("inside the lumen", "within the lumen"),
        Meaning("relationship", "close relationship with adjacent organs"): (
            *("adjacent to", "next to", "abutting", "near", "in contact with", "touching", "invading", "bordering"),
        ),
        Meaning("features", "presence of decreased density areas"): (
            *("necrotic", "low density area", "hypodense area", "decreased density area"),
        ),
        Meaning("features", "presence of increased density areas"): (
            *("calcified", "high density area", "hyperdense area", "increased density area"),
        ),
    }
)

STOP_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "a an the with and of in inside within at on by for to as from it its is are was were be been has have "
        "having this that these those which there show shows showing seen visible located situated measuring measures "
        "measured size sized diameter approximately approx about around roughly ca circa appears ct scan image value "
        "mean region side sided one single solitary evidence sign present presence type sort any each edge axis "
        "but contains contain containing arising",
    )
)
"""Words without a meaning of their own."""
TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("margin", "border", "boundary", "surface", "contour", "outline"), "surface"),
        **dict.fromkeys(("shape", "shaped", "form"), "shape"),
        **dict.fromkeys(("density", "attenuation"), "density"),
        **dict.fromkeys(("variation", "texture", "structure"), "density_variation"),
        **dict.fromkeys(("enhancement", "contrast"), "enhancement"),
        **dict.fromkeys(("relationship", "relation"), "relationship"),
        **dict.fromkeys(("organ", "location", "place"), "cavity"),
        "feature": "features",
    }
)
"""Nouns that name an attribute: no meaning of their own, but they tell which attribute an adjacent word is about."""


def stem(word: str) -> str:
    """The singular of a word in American spelling: "tumours" gives "tumor"."""
    word = word.replace("tumour", "tumor").replace("haem", "hem").replace("oesoph", "esoph").replace("centre", "center")
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word


def stems(phrase: str) -> tuple[str, ...]:
    """The stems of a phrase; hyphens and underscores separate words."""
    return tuple(stem(word) for word in re.findall(r"[a-z0-9]+", phrase.casefold()))


def _entries() -> Iterator[tuple[str, tuple[Meaning, ...]]]:
    yield from _COMPOUND.items()
    for meaning, phrases in _MORE_PHRASES.items():
        yield from ((phrase, (meaning,)) for phrase in phrases)
    for name, attribute in ATTRIBUTES.items():
        for option in attribute.options:
            yield from ((phrase, (Meaning(name, option),)) for phrase in (option, *SYNONYMS.get(option, ())))
    yield from ((phrase, (Meaning("organ", organ),)) for phrase, organ in ORGAN_PHRASES.items())
    for kind, phrases in _KINDS.items():
        yield from ((phrase, (Meaning("kind", kind),)) for phrase in phrases)
    yield from ((noun, (Meaning("noun", noun),)) for noun in _NOUNS)
    yield from ((side, (Meaning("side", side),)) for side in ("left", "right"))


def _lexicon() -> Mapping[tuple[str, ...], tuple[Meaning, ...]]:
    """The first entry of a phrase wins: "wall thickening" is a shape before it is a location."""
    lexicon: dict[tuple[str, ...], tuple[Meaning, ...]] = {}
    for phrase, meanings in _entries():
        lexicon.setdefault(stems(phrase), meanings)
    for phrase in ("stone", "calculus", "calculi"):
        lexicon[(phrase,)] = (Meaning("kind", "stone"),)
    return MappingProxyType(lexicon)


LEXICON: Final = _lexicon()
"""Stems of a phrase -> its meanings. A stone is a kind here; beside another lesion noun it is read as a feature."""
LONGEST_PHRASE: Final = max(len(words) for words in LEXICON)
"""Number of words in the longest phrase."""
_OPTIONS: Final = {
    " ".join(words): meaning.value
    for words, meanings in LEXICON.items()
    for meaning in meanings
    if meaning.name not in ("side", "noun")
}


def nearest_options(phrase: str) -> tuple[str, ...]:
    """The options spelled most like a phrase, best first, three at most.

    A phrase that resembles none but names an attribute ("spiky contour") gives the attribute's options.
    """
    words = " ".join(stems(phrase))
    close = difflib.get_close_matches(words, _OPTIONS, 3 * _MAX_OPTIONS, _MIN_SIMILARITY)
    content = " ".join(word for word in words.split() if word not in TITLES and word not in STOP_WORDS)
    close += difflib.get_close_matches(content, _OPTIONS, 3 * _MAX_OPTIONS, _MIN_SIMILARITY) if content else []
    found = tuple(dict.fromkeys(_OPTIONS[wording] for wording in close))[:_MAX_OPTIONS]
    titled = next((TITLES[word] for word in words.split() if word in TITLES), None)
    return found or (ATTRIBUTES[titled].options if titled else ())
