"""Which report options are compatible: anatomical rules, and rules per lesion type."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from types import MappingProxyType
from typing import Final, final

from medsmith.errors import RequestError
from medsmith.reports.organs import HOLLOW, ORGANS, is_hollow, members_of
from medsmith.reports.rules_table import ROWS
from medsmith.reports.rules_types import Appearance, FeatureSets, LesionType, Morphology, Range
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import (
    ATTRIBUTES,
    Cavity,
    Density,
    DensityVariation,
    Enhancement,
    Feature,
    Relationship,
    Shape,
    Surface,
)

LESION_TYPES: Final[Mapping[str, LesionType]] = MappingProxyType({row.name: row for row in ROWS})
"""Name -> rules, the fourteen types of the paper and intracranial hemorrhage."""

_SOLID: Final = tuple(organ for organ in ORGANS if not is_hollow(organ))
_OF_HOLLOW: Final = tuple(sorted(HOLLOW))
_STONE_ORGANS: Final = ("gallbladder", *members_of("kidney"), "urinary_bladder")
ORGAN_SPECIFIC_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "clear boundary with the renal parenchyma": members_of("kidney"),
        "unclear boundary with the renal parenchyma": members_of("kidney"),
        "poorly defined boundary with normal esophageal tissue": ("esophagus",),
        "retention of pancreatic fluid": ("pancreas",),
        "low-density ground-glass opacity": members_of("lung"),
        "isodense soft tissue mass with peripheral low-density ground-glass opacity": members_of("lung"),
        "stone": _STONE_ORGANS,
        "clear serosal surface": _OF_HOLLOW,
        "serosal surface irregularity": _OF_HOLLOW,
        "wall thickening": _OF_HOLLOW,
        "luminal narrowing": _OF_HOLLOW,
        "protrusion into the lumen": _OF_HOLLOW,
        "within the lumen of a hollow organ": _OF_HOLLOW,
        "spiculated margins": members_of("lung"),
        "within the parenchymal organ": _SOLID,
        "protruding from the parenchymal organ": _SOLID,
    }
)
"""Option -> the organs it applies to."""

INCOMPATIBLE_OPTIONS: Final = (
    ("ring enhancement", "non-contrast CT"),
    ("homogeneous", "mixed-density"),
    ("homogeneous", "presence of decreased density areas"),
    ("homogeneous", "presence of increased density areas"),
    ("punctate", "presence of decreased density areas"),
    ("punctate", "presence of increased density areas"),
    ("punctate", "irregular"),
    ("round-like", "irregular"),
    ("cystic", "irregular"),
    ("hypodense fluid-like", "heterogeneous"),
    ("hypodense fluid-like", "presence of decreased density areas"),
    ("hypodense fluid-like", "presence of increased density areas"),
    ("homogeneous", "ring enhancement"),
    ("homogeneous", "isodense soft tissue mass with peripheral low-density ground-glass opacity"),
    ("wall thickening", "within the lumen of a hollow organ"),
    ("luminal narrowing", "within the lumen of a hollow organ"),
)
"""Pairs of options that contradict each other in any organ."""


@final
@dataclass(frozen=True)
class Combination:
    """One option for every attribute of a lesion type, with the matching HU and size ranges.

    Attributes:
        enhancement: option of the report, like all below.
        appearance: density, variation and HU.
        morphology: shape and size.
        surface: margin.
        relationship: with adjacent organs.
        features: all specific features.
        cavity: place in the organ.
        hu: mean density.
        weight: relative sampling probability.
    """

    enhancement: Enhancement
    appearance: Appearance
    morphology: Morphology
    surface: Surface
    relationship: Relationship
    features: tuple[Feature, ...]
    cavity: Cavity
    hu: Range
    weight: float

    @property
    def shape(self) -> tuple[Shape, ...]:
        """Shape options of the morphology."""
        return self.morphology.shape

    @property
    def density(self) -> Density:
        """Word of the appearance."""
        return self.appearance.density

    @property
    def density_variation(self) -> DensityVariation:
        """Word of the appearance."""
        return self.appearance.variation

    def words(self) -> frozenset[str]:
        """All options of this combination."""
        single = (self.enhancement, self.density, self.density_variation, self.surface, self.relationship, self.cavity)
        return frozenset((*single, *self.shape, *self.features))

    def agrees(self, name: str, value: object) -> bool:
        """Whether this combination allows a value of an attribute; organs are checked per type."""
        if name == "ct_value_hu":
            return isinstance(value, float | int) and self.hu[0] <= value <= self.hu[1]
        if name == "size_mm":
            return isinstance(value, tuple) and size_fits(value, self.morphology)
        own = getattr(self, name)
        return set(own) == set(value) if isinstance(own, tuple) and isinstance(value, tuple) else own == value


def size_fits(size_mm: tuple[float, ...], morphology: Morphology) -> bool:
    """Whether bounding-box edges fit a morphology, with a tolerance of 0.5 mm."""
    shortest, longest = min(size_mm), max(size_mm)
    low, high = morphology.longest_mm
    return low - 0.5 <= longest <= high + 0.5 and shortest + 0.5 >= morphology.min_aspect * longest


@cache
def combinations(name: str) -> tuple[Combination, ...]:
    """All combinations that the rules of a lesion type allow.

    Args:
        name: key of `LESION_TYPES`.
    """
    rules = LESION_TYPES[name]
    both = (
        _choices(appearance, morphology) for appearance, morphology in product(rules.appearances, rules.morphologies)
    )
    return tuple(choice for choices in both for choice in choices if not _contradicts(choice.words()))


def _choices(appearance: Appearance, morphology: Morphology) -> Iterator[Combination]:
    phases = appearance.phases()
    options = (
        phases,
        morphology.surfaces,
        morphology.relationships,
        morphology.cavities,
        _unions(appearance.features, morphology.features),
    )
    for (enhancement, hu), surface, relationship, cavity, features in product(*options):
        firsts = (surface, morphology.surfaces), (relationship, morphology.relationships), (cavity, morphology.cavities)
        probabilities = [_probability(option, among) for option, among in firsts]
        weight = appearance.weight * morphology.weight * probabilities[0] * probabilities[1] * probabilities[2]
        weight /= len(phases) * len(appearance.features) * len(morphology.features)
        yield Combination(enhancement, appearance, morphology, surface, relationship, features, cavity, hu, weight)


def _probability(option: object, among: tuple[object, ...]) -> float:
    """The first option is sampled twice as often as each of the others."""
    return (2 if option == among[0] else 1) / (len(among) + 1)


def _unions(first: FeatureSets, second: FeatureSets) -> FeatureSets:
    order = ATTRIBUTES["features"].options
    return tuple(tuple(sorted({*one, *other}, key=order.index)) for one, other in product(first, second))


def _contradicts(words: frozenset[str]) -> bool:
    return any(one in words and other in words for one, other in INCOMPATIBLE_OPTIONS)


def find_type(name: str) -> LesionType:
    """The rules of a lesion type.

    Raises:
        RequestError: there is no such type; names the nearest, or all.
    """
    if name not in LESION_TYPES:
        near = difflib.get_close_matches(name.casefold(), LESION_TYPES, 3, 0.5)
        raise RequestError(f"lesion type '{name}'", "no such type", f"there are {', '.join(near or LESION_TYPES)}")
    return LESION_TYPES[name]


def types_of(organ: str, kind: str | None = None) -> tuple[str, ...]:
    """Names of the lesion types of an organ, of one kind ("cyst") or of any."""
    return tuple(
        row.name
        for row in LESION_TYPES.values()
        if organ in members_of(row.organ) and (kind is None or row.kind == kind)
    )


def stated_attributes(report: LesionReport) -> dict[str, object]:
    """Attribute -> value of the attributes that a report states, in template order."""
    values = {name: getattr(report, name) for name in ATTRIBUTES}
    return {name: value for name, value in values.items() if value is not None and value != ()}


def compatible(report: LesionReport) -> bool:
    """Whether a report meets the rules that hold for every lesion type."""
    try:
        check_anatomy(report)
    except RequestError:
        return False
    return True


def check_anatomy(report: LesionReport) -> None:
    """Checks a report against the rules that hold for every lesion type; unknown organs are not checked.

    Raises:
        RequestError: an option does not apply to the organ, or two options contradict each other.
    """
    said = [value if isinstance(value, tuple) else (value,) for value in stated_attributes(report).values()]
    words = [word for value in said for word in value if isinstance(word, str)]
    cure = "leave one of them out"
    for word in words if report.organ in ORGANS else ():
        if report.organ not in ORGAN_SPECIFIC_OPTIONS.get(word, ORGANS):
            only = ORGAN_SPECIFIC_OPTIONS[word]
            found = f"'{word}' in organ '{report.organ}'"
            raise RequestError("report", found, f"said only of {', '.join(only[:8])}", cure)
    for one, other in INCOMPATIBLE_OPTIONS:
        if one in words and other in words:
            raise RequestError("report", f"'{one}' contradicts '{other}'", cure=cure)
