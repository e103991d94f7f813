"""The finite vocabulary of structured reports: one family of phrases per attribute."""

from collections.abc import Mapping
from types import MappingProxyType

from medsmith.reports.organs import ORGANS
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.vocabulary import ATTRIBUTES

NULL = ""
"""The phrase for an unstated attribute."""


def phrase_of(organ: str) -> str:
    """An organ's name as words: "kidney_left" is encoded as "kidney left"."""
    return organ.replace("_", " ")


def _family(name: str) -> tuple[str, ...]:
    """An attribute's options; of an attribute that holds a number, its title."""
    return ATTRIBUTES[name].options or (ATTRIBUTES[name].title,)


def _families() -> dict[str, tuple[str, ...]]:
    options = {name: _family(name) for name in ATTRIBUTES}
    organs = tuple(phrase_of(organ) for organ in ORGANS)
    return {**options, "organ": organs, "lesion_type": tuple(LESION_TYPES), "null": (NULL,)}


FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(_families())
"""Family -> its phrases: every attribute of the template, then lesion types, then the null text."""
