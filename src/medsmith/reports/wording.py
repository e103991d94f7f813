"""Reports as text that the parser reads back to the same report."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from medsmith.reports.organs import is_hollow, members_of
from medsmith.reports.schema import LesionReport, ScanReport

NODULE_MM: Final = 30.0
"""Longest edge of a nodule of the lung; larger ones are masses (Hansell et al. 2008, Fleischner Society)."""
_CAVITIES = {"wall thickening": "from the wall of the organ"}
_IN_PARENCHYMA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "within the parenchymal organ": "within",
        "protruding from the parenchymal organ": "protruding from",
    }
)
"""Places in what has no lumen, which need not be an organ."""
_LUNG: Final = frozenset(members_of("lung"))
_IN_LUNG: Final[Mapping[str, str]] = MappingProxyType(
    {
        "isodense soft tissue mass": "solid",
        "isodense soft tissue mass with peripheral low-density ground-glass opacity": "part-solid",
        "low-density ground-glass opacity": "ground-glass",
    }
)
"""Density -> its name in the lung."""


def to_text(report: ScanReport) -> str:
    """All lesions of a report, semicolons between them.

    ``parse_report`` recovers the report, except for measured numbers, digits of sizes and HU below 0.001, types that
    are not in the rules, and a type without an organ, which gets the organ of the type.
    """
    return "; ".join(describe(lesion) for lesion in report.lesions)


def describe(lesion: LesionReport) -> str:
    """One lesion: its type and organ, then every attribute in the order of the template, commas between them."""
    return ", ".join(_parts(lesion))


def organ_words(organ: str) -> str:
    """An organ name in words: "kidney_right" gives "right kidney"."""
    base, _, side = organ.rpartition("_")
    if side not in ("left", "right"):
        return organ.replace("_", " ")
    if base.startswith("lung_"):
        return f"{base.removeprefix('lung_').replace('_', ' ')} of the {side} lung"
    return f"{side} {base.replace('_', ' ')}"


def density_words(density: str, organ: str | None, size_mm: Sequence[float] | None) -> str:
    """A density as it is said of its organ: in the lung "solid nodule", and "solid mass" of more than 30 mm.

    Args:
        density: an option of the vocabulary.
        organ: of the lesion; None if unknown.
        size_mm: edges of the lesion; None if unknown.
    """
    if organ not in _LUNG or density not in _IN_LUNG:
        return density
    if size_mm is None:
        return _IN_LUNG[density]
    return f"{_IN_LUNG[density]} {'nodule' if max(size_mm) <= NODULE_MM else 'mass'}"


def place_words(cavity: str, organ: str | None) -> str:
    """A place in an organ with the organ's own name: "within the soft tissue" and not "within the parenchymal organ".

    Args:
        cavity: an option of the vocabulary.
        organ: of the lesion. None and a hollow organ leave the option as it is.
    """
    where = _IN_PARENCHYMA.get(cavity)
    return cavity if where is None or organ is None or is_hollow(organ) else f"{where} the {organ_words(organ)}"


def _parts(lesion: LesionReport) -> Iterator[str]:
    noun = lesion.lesion_type or "lesion"
    yield f"{noun} in the {organ_words(lesion.organ)}" if lesion.organ else noun
    if lesion.enhancement:
        yield lesion.enhancement
    yield from lesion.shape
    if lesion.size_mm:
        yield _size(lesion.size_mm)
    if lesion.density:
        yield density_words(lesion.density, lesion.organ, lesion.size_mm)
    if lesion.density_variation:
        yield lesion.density_variation
    if lesion.ct_value_hu is not None:
        yield f"about {_number(lesion.ct_value_hu)} HU"
    yield from (word for word in (lesion.surface, lesion.relationship) if word)
    yield from lesion.features
    if lesion.cavity:
        yield _CAVITIES.get(lesion.cavity, place_words(lesion.cavity, lesion.organ))


def _size(edges: tuple[float, float, float]) -> str:
    distinct = edges[:1] if len(set(edges)) == 1 else edges
    return f"{' x '.join(map(_number, distinct))} mm"


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
