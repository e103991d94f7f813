"""Adherence of a lesion to its report: requested against measured, attribute by attribute.

Both are reports; the second is measured on the image (``describe``). Only attributes that the request names and an
image can show are compared. Contrast agent, for example, is a property of the scan, not of the lesion.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, final

import numpy as np

from medsmith.measurement.spiculation import OPENING, resolves_spicules
from medsmith.measurement.surface import Spacing
from medsmith.measurement.words import THRESHOLDS
from medsmith.reports.organs import PROTRUDING_SHARE, is_hollow
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import ATTRIBUTES

SIZE_SHARE = 0.15
"""Tolerance of an edge as a share of the requested length; at least two voxels."""
CT_VALUE_HU = 20.0
"""Tolerance of the mean."""
IN_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "size_mm": "size",
        "ct_value_hu": "mean CT value",
        "shape": "shape",
        "density": "density",
        "density_variation": "density variation",
        "surface": "surface",
        "features": "feature",
        "cavity": "place in the organ",
        "without": "denied",
    }
)
"""Attribute -> its name for people."""
TOLERANCES: Mapping[str, str] = MappingProxyType(
    {
        "size_mm": f"{SIZE_SHARE:.0%} of each edge, or 2 voxels",
        "ct_value_hu": f"{CT_VALUE_HU:.0f} HU",
    }
)
"""Attribute that is a number -> how far it may be off; all others are words, which must mean the same."""
MEASURED_BY: Mapping[str, str] = MappingProxyType(
    {
        "size_mm": "edges of the bounding box",
        "ct_value_hu": "mean clear of the border",
        "shape": f"sphericity: round-like from {THRESHOLDS.round_sphericity:g} or with spicules, irregular below",
        "density": (
            f"mean clear of the border against the organ: hypo-, hyperdense from {THRESHOLDS.density_hu:g} HU; "
            "in lungs the mean"
        ),
        "density_variation": (
            f"spread clear of the border, without noise: heterogeneous from {THRESHOLDS.heterogeneous_hu:g} HU"
        ),
        "surface": f"10-90 % width of the edge: ill-defined from {THRESHOLDS.ill_defined_mm:g} mm",
        "features": (
            f"spiculated: at least {THRESHOLDS.spicule_share:.1%} of the volume in processes that no ball of "
            f"{OPENING:g} of the lesion's radius reaches; areas: 5th percentile {THRESHOLDS.decreased_hu:g} HU below, "
            f"95th {THRESHOLDS.increased_hu:g} HU above the mean"
        ),
        "cavity": f"share of the surface outside the organ: protruding from {PROTRUDING_SHARE:.0%}",
        "without": "a word that must not be measured",
    }
)
"""Attribute -> its measure and the threshold between its words, for people (docs/describe.md)."""
_ROUND = ("round-like", "cystic", "punctate")
_SOFT = ("isodense", "isodense soft tissue mass")
_SHARP = ("well-defined margin", "clear serosal surface", "clear boundary with the renal parenchyma")
_BLURRED = (
    "ill-defined margin",
    "serosal surface irregularity",
    "unclear boundary with the renal parenchyma",
    "poorly defined boundary with normal esophageal tissue",
)
_PART_SOLID = "isodense soft tissue mass with peripheral low-density ground-glass opacity"
COUNTS_AS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(_ROUND, _ROUND),
        "irregular": ("irregular",),
        "hypodense": ("hypodense", "hypodense fluid-like", "low-density ground-glass opacity"),
        "hypodense fluid-like": ("hypodense fluid-like",),
        **dict.fromkeys(_SOFT, (*_SOFT, _PART_SOLID)),
        _PART_SOLID: (_PART_SOLID,),
        "hyperdense": ("hyperdense",),
        "mixed-density": ("mixed-density",),
        "low-density ground-glass opacity": ("low-density ground-glass opacity",),
        "ring enhancement": ("ring enhancement",),
        "homogeneous": ("homogeneous",),
        "heterogeneous": ("heterogeneous",),
        **dict.fromkeys(_SHARP, _SHARP),
        **dict.fromkeys(_BLURRED, _BLURRED),
        "spiculated margins": ("spiculated margins",),
        "presence of decreased density areas": ("presence of decreased density areas",),
        "presence of increased density areas": ("presence of increased density areas",),
    }
)
"""Requested word -> measured words that satisfy it.

Words that no image shows are left out, and so are those of walls: a measured "luminal narrowing" does not decide
whether a lesion is irregular. Organ-specific synonyms ("clear serosal surface") count as one measurement.
"""
_MIXED, _STONE = "mixed-density", "stone"
_SPICULATED = "spiculated margins"
_BOTH_AREAS = ("presence of decreased density areas", "presence of increased density areas")
NEEDED: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys((*_BOTH_AREAS, _MIXED, _PART_SOLID), "heterogeneity_hu"),
        _SPICULATED: "equivalent_diameter_mm",
    }
)
"""Words that a lesion of few voxels cannot show -> the number that tells: missing there, or a diameter too small.

Ring enhancement is not among them: where no rim can be measured none is made (``insertion.rim``), which is a miss.
"""
_IN_PLACE = ("within the parenchymal organ", "protruding from the parenchymal organ")


@final
@dataclass(frozen=True)
class AttributeVerdict:
    """The comparison of one attribute of one lesion.

    Attributes:
        attribute: its name.
        requested: the requested value.
        measured: the measured value.
        passed: whether the measured value satisfies the requested one.
    """

    attribute: str
    requested: Any
    measured: Any
    passed: bool

    def as_json(self) -> dict[str, Any]:
        """The entry of the provenance."""
        return {
            "attribute": self.attribute,
            "requested": self.requested,
            "measured": self.measured,
            "passed": self.passed,
        }


def compare(
    requested: LesionReport, measured: LesionReport, spacing: Spacing, denied: Sequence[str] = ()
) -> tuple[AttributeVerdict, ...]:
    """One verdict per attribute that is requested and measured, and per option that is denied.

    Args:
        requested: of the request.
        measured: of the image.
        spacing: voxel edges of the scan in mm, in the axes of ``size_mm``.
        denied: options that the lesion must not have.
    """
    judges: tuple[Callable[[], list[AttributeVerdict]], ...] = (
        lambda: _size(requested, measured, spacing),
        lambda: _ct_value(requested, measured),
        lambda: _words(requested, measured, spacing),
        lambda: _place(requested, measured),
        lambda: _denied(denied, measured),
    )
    return tuple(verdict for judge in judges for verdict in judge())


def _size(requested: LesionReport, measured: LesionReport, spacing: Spacing) -> list[AttributeVerdict]:
    if requested.size_mm is None or measured.size_mm is None:
        return []
    allowed = [max(SIZE_SHARE * edge, 2 * step) for edge, step in zip(requested.size_mm, spacing, strict=True)]
    off = np.abs(np.subtract(requested.size_mm, measured.size_mm))
    return [AttributeVerdict("size_mm", list(requested.size_mm), list(measured.size_mm), bool((off <= allowed).all()))]


def _ct_value(requested: LesionReport, measured: LesionReport) -> list[AttributeVerdict]:
    if requested.ct_value_hu is None or measured.ct_value_hu is None:
        return []
    near = abs(requested.ct_value_hu - measured.ct_value_hu) <= CT_VALUE_HU
    return [AttributeVerdict("ct_value_hu", requested.ct_value_hu, measured.ct_value_hu, near)]


def _words(requested: LesionReport, measured: LesionReport, spacing: Spacing) -> list[AttributeVerdict]:
    verdicts = []
    for attribute in ("shape", "density", "density_variation", "surface", "features"):
        measured_words = tuple(word for word in _words_of(getattr(measured, attribute)) if word in COUNTS_AS)
        for word in _words_of(getattr(requested, attribute)):
            found = measured_words + ((word,) if _is_met_besides(word, requested, measured) else ())
            if word in COUNTS_AS and (found or attribute == "features") and not _hides(measured, word, spacing):
                passed = any(other in COUNTS_AS[word] for other in found)
                verdicts.append(AttributeVerdict(attribute, word, ", ".join(dict.fromkeys(found)), passed))
    return verdicts


def _hides(measured: LesionReport, word: str, spacing: Spacing) -> bool:
    """Whether the lesion has too few voxels, or too few clear of its border, to show what the word says."""
    numbers = measured.measured
    if not numbers or word not in NEEDED:
        return False
    number = numbers.get(NEEDED[word])
    return number is None or (word == _SPICULATED and not resolves_spicules(number / 2, spacing))


def _is_met_besides(word: str, requested: LesionReport, measured: LesionReport) -> bool:
    """Whether a word is met though another one was measured, which the rest of the report explains."""
    if word == _MIXED:
        return _is_mixed_in_a_wall(measured)
    if word in _ROUND:  # spicules lower the sphericity of any body
        return _SPICULATED in requested.features and _SPICULATED in measured.features
    uneven = requested.density_variation == "heterogeneous" and measured.density == _MIXED
    return uneven and _tells_mean(word, measured.measured.get("contrast_hu"))


def _tells_mean(word: str, contrast_hu: float | None) -> bool:
    """Whether a word of density fits the mean of a lesion, whose parts lie on either side of its organ."""
    if contrast_hu is None:
        return False
    limit = THRESHOLDS.density_hu
    return {
        **dict.fromkeys(_SOFT, abs(contrast_hu) < limit),
        "hypodense": contrast_hu <= -limit,
        "hyperdense": contrast_hu >= limit,
    }.get(word, False)


def _is_mixed_in_a_wall(measured: LesionReport) -> bool:
    """Whether a lesion in a wall has areas of both densities; its word there tells the mean alone."""
    in_wall = measured.organ is not None and is_hollow(measured.organ)
    return in_wall and set(measured.features) >= set(_BOTH_AREAS)


def _place(requested: LesionReport, measured: LesionReport) -> list[AttributeVerdict]:
    if requested.cavity not in _IN_PLACE or measured.cavity is None:
        return []
    return [AttributeVerdict("cavity", requested.cavity, measured.cavity, requested.cavity == measured.cavity)]


def _denied(denied: Sequence[str], measured: LesionReport) -> list[AttributeVerdict]:
    """Of words that an image shows; a feature that is not measured is absent, another attribute then is unknown."""
    verdicts = []
    for word in denied:
        if word not in COUNTS_AS and word != _STONE:
            continue
        attribute = next(name for name, each in ATTRIBUTES.items() if word in each.options)
        words = _words_of(getattr(measured, attribute))
        found = [other for other in words if other in COUNTS_AS.get(word, (word,))]
        if words or attribute == "features":
            verdicts.append(AttributeVerdict("without", word, ", ".join(found), not found))
    return verdicts


def _words_of(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,) if value else ()
