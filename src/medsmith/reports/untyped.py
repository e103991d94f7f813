"""Lesions whose reports name no type, so that no rules tell what is missing: what they have, their sizes and places."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, final

from medsmith.errors import counted
from medsmith.reports.coverage import options_of
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.schema import LesionReport
from medsmith.reports.wording import organ_words

LIMITS_MM: Final = (10.0, 20.0, 30.0)
"""Of the longest edge: between the classes of size."""
LIMITS_PIXELS: Final = (16.0, 32.0, 64.0)
"""Likewise where images have no spacing."""
_UNKNOWN: Final = "not stated"


@final
@dataclass(frozen=True)
class Untyped:
    """Counts of lesions without a type of the rules.

    Attributes:
        lesions: their number.
        sizes: class of the longest edge -> number.
        places: organ -> number.
        combinations: options of the attributes that were asked for ("density hypodense, surface not stated") -> number.
    """

    lesions: int
    sizes: Mapping[str, int]
    places: Mapping[str, int]
    combinations: Mapping[str, int]

    @property
    def lines(self) -> tuple[str, ...]:
        """What cannot be counted, then the counts."""
        head = (
            f"{counted(self.lesions, 'lesion')} without a type that the rules know (medsmith report types lists them): "
            "how many are missing is not known, how many there are is"
        )
        combinations = (f"{options}: {count}" for options, count in self.combinations.items())
        tables = (("longest edge", self.sizes), ("organ", self.places))
        counts = (f"{what} {name}: {count}" for what, table in tables for name, count in table.items())
        return head, *combinations, *counts

    def as_json(self) -> Mapping[str, Any]:
        """The counts as JSON values."""
        tables = {"combinations": dict(self.combinations), "longest_edge": dict(self.sizes), "organ": dict(self.places)}
        return {"lesions": self.lesions, **tables}


def count_untyped(lesions: Iterable[LesionReport], attributes: Sequence[str]) -> Untyped:
    """Attributes, sizes and places of the lesions whose type is missing, or unknown to the rules.

    Args:
        lesions: of a cohort.
        attributes: whose combinations are counted.
    """
    found = [lesion for lesion in lesions if lesion.lesion_type not in LESION_TYPES]
    sizes = Counter(map(_size_class, found))
    order = [*_classes(LIMITS_MM, "mm"), *_classes(LIMITS_PIXELS, "pixels"), _UNKNOWN]
    places = Counter(_UNKNOWN if lesion.organ is None else organ_words(lesion.organ) for lesion in found)
    options = Counter(", ".join(_combined(attributes, options_of(lesion, attributes))) for lesion in found)
    by_size = {name: sizes[name] for name in order if sizes[name]}
    return Untyped(len(found), by_size, _by_number(places), _by_number(options))


def _combined(names: Sequence[str], options: Sequence[str]) -> Iterator[str]:
    """Each attribute with its option."""
    yield from (f"{name.replace('_', ' ')} {option}" for name, option in zip(names, options, strict=True))


def _by_number(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (item[0].endswith(_UNKNOWN), -item[1], item[0])))


def _size_class(lesion: LesionReport) -> str:
    if lesion.size_mm is not None:
        return _class_of(max(lesion.size_mm), LIMITS_MM, "mm")
    edges = [value for name, value in lesion.measured.items() if name.startswith("edge_") and name.endswith("_pixels")]
    return _class_of(max(edges), LIMITS_PIXELS, "pixels") if edges else _UNKNOWN


def _class_of(edge: float, limits: Sequence[float], unit: str) -> str:
    return _classes(limits, unit)[sum(edge >= limit for limit in limits)]


def _classes(limits: Sequence[float], unit: str) -> list[str]:
    between = (f"{low:g} to under {high:g} {unit}" for low, high in pairwise(limits))
    return [f"under {limits[0]:g} {unit}", *between, f"{limits[-1]:g} {unit} or more"]
