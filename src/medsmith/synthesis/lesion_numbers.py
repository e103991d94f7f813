"""The numbers behind the measured words of an inserted lesion, and what satisfies a requested value, in words."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from medsmith.measurement.adherence import COUNTS_AS, CT_VALUE_HU, TOLERANCES
from medsmith.reports.organs import ORGANS, is_hollow, members_of
from medsmith.reports.rules import ORGAN_SPECIFIC_OPTIONS

Json = Mapping[str, Any]
_MEAN_ALONE: Final = frozenset(members_of("lung"))
"""Organs, beside hollow ones, whose words of density tell the mean and not the contrast."""
_RING: Final = "ring enhancement"


def number_behind(attribute: str, word: str, measured: Json) -> str:
    """The measure that decides a word, with its unit; empty if the record has none.

    Args:
        attribute: of the word.
        word: an option of the vocabulary, requested or measured.
        measured: the measured report, with its numbers.
    """
    numbers = measured.get("measured") or {}
    kind = _KINDS.get(word) or _KINDS.get(attribute)
    if attribute == "density" and word != _RING:
        organ = measured.get("organ")
        kind = "mean" if organ in _MEAN_ALONE or (organ is not None and is_hollow(organ)) else "contrast"
    try:
        return _SAID[kind](numbers) if kind is not None else ""
    except KeyError:  # not measured, as the margin of a lesion that is too small
        return ""


def met_by(attribute: str, requested: Any, organ: str | None, said: Callable[[str], str]) -> str:
    """Every measured value that satisfies a requested one, as people read it.

    Args:
        attribute: of the verdict.
        requested: of the verdict.
        organ: of the lesion; None if unknown.
        said: a word of this attribute as it is said of the organ.
    """
    if attribute == "ct_value_hu":
        return f"{requested - CT_VALUE_HU:.0f} to {requested + CT_VALUE_HU:.0f} HU"
    if attribute in TOLERANCES:
        return f"off by at most {TOLERANCES[attribute]}"
    if attribute == "without":
        return "its absence"
    words = [word for word in COUNTS_AS.get(requested, (requested,)) if _applies(word, organ)] or [requested]
    return " or ".join(dict.fromkeys(map(said, words)))


def _applies(word: str, organ: str | None) -> bool:
    return organ is None or organ not in ORGANS or organ in ORGAN_SPECIFIC_OPTIONS.get(word, ORGANS)


def _shape(numbers: Json) -> str:
    name = "sphericity" if "sphericity" in numbers else "circularity"
    return f"{name} {numbers[name]:.2f}"


_KINDS: Final = MappingProxyType(
    {
        "shape": "shape",
        "density_variation": "spread",
        "surface": "edge",
        "cavity": "outside",
        "spiculated margins": "spicules",
        "presence of decreased density areas": "decreased",
        "presence of increased density areas": "increased",
        _RING: "ring",
    }
)
"""Attribute, or word that has a measure of its own -> kind of its measure."""
_SAID: Final[Mapping[str, Callable[[Json], str]]] = MappingProxyType(
    {
        "shape": _shape,
        "contrast": lambda numbers: f"{numbers['contrast_hu']:+.0f} HU against its surroundings",
        "mean": lambda numbers: f"mean {numbers['mean_hu']:.0f} HU",
        "ring": lambda numbers: f"rim {numbers['rim_minus_core_hu']:+.0f} HU against the core",
        "spread": lambda numbers: f"spread {numbers['heterogeneity_hu']:.1f} HU, noise subtracted",
        "edge": lambda numbers: f"edge {numbers['margin_width_mm']:.1f} mm wide",
        "outside": lambda numbers: f"{numbers['share_outside']:.0%} of its surface outside",
        "spicules": lambda numbers: f"{numbers['spicule_share']:.1%} of its volume in spicules",
        "decreased": lambda numbers: f"5th percentile {numbers['mean_hu'] - numbers['low_hu']:.0f} HU below the mean",
        "increased": lambda numbers: f"95th percentile {numbers['high_hu'] - numbers['mean_hu']:.0f} HU above the mean",
    }
)
