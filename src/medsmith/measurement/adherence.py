"""Adherence, requested against measured: whether a lesion is what its report asked for, attribute by attribute.

Both sides are reports; the second was measured on the image (``describe``). Only what the request says and the image
can show is compared: whether contrast agent was given, say, is a fact of the scan and not of the lesion.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import numpy as np

from medsmith.measurement.surface import Spacing
from medsmith.reports.schema import LesionReport

SIZE_SHARE = 0.15
"""An edge may differ by this share of what was requested, or by two voxels where that is more."""
CT_VALUE_HU = 20.0
"""The mean may differ by this much."""
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
"""A word that is requested -> measured words that it is fulfilled by.

Words that no image shows are missing, and those of walls: what is measured of a wall ("luminal narrowing") says nothing
of a lesion that was requested irregular. Synonyms that differ by organ ("clear serosal surface") are one measurement.
"""
_IN_PLACE = ("within the parenchymal organ", "protruding from the parenchymal organ")


@final
@dataclass(frozen=True)
class AttributeVerdict:
    """One attribute of one lesion.

    Attributes:
        attribute: its name.
        requested: what the request says.
        measured: what was measured.
        passed: whether the one counts as the other.
    """

    attribute: str
    requested: Any
    measured: Any
    passed: bool

    def as_json(self) -> dict[str, Any]:
        """For the provenance."""
        return {"attribute": self.attribute, "asked": self.requested, "got": self.measured, "passed": self.passed}


def compare(requested: LesionReport, measured: LesionReport, spacing: Spacing) -> tuple[AttributeVerdict, ...]:
    """Every attribute that was requested and can be measured.

    Args:
        requested: of the request.
        measured: of the image.
        spacing: voxel edges of the scan in mm, in the axes of ``size_mm``.
    """
    judges: tuple[Callable[[], list[AttributeVerdict]], ...] = (
        lambda: _size(requested, measured, spacing),
        lambda: _ct_value(requested, measured),
        lambda: _words(requested, measured),
        lambda: _place(requested, measured),
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


def _words(requested: LesionReport, measured: LesionReport) -> list[AttributeVerdict]:
    verdicts = []
    for attribute in ("shape", "density", "density_variation", "surface", "features"):
        found = tuple(word for word in _said(getattr(measured, attribute)) if word in COUNTS_AS)
        for word in _said(getattr(requested, attribute)):
            if word in COUNTS_AS and (found or attribute == "features"):
                passed = any(other in COUNTS_AS[word] for other in found)
                verdicts.append(AttributeVerdict(attribute, word, ", ".join(found), passed))
    return verdicts


def _place(requested: LesionReport, measured: LesionReport) -> list[AttributeVerdict]:
    if requested.cavity not in _IN_PLACE or measured.cavity is None:
        return []
    return [AttributeVerdict("cavity", requested.cavity, measured.cavity, requested.cavity == measured.cavity)]


def _said(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,) if value else ()
