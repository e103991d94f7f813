"""Asked against got: whether a lesion is what its report asked for, attribute by attribute.

Both sides are reports; the second was measured on the image (``describe``). Only what the request says and the image
can show is compared: whether contrast agent was given, say, is a fact of the scan and not of the lesion.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import numpy as np

from medsmith.conditioning.schema import LesionReport
from medsmith.measuring.surface import Spacing

SIZE_SHARE = 0.15
"""An edge may differ by this share of what was asked, or by two voxels where that is more."""
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
"""A word that is asked for -> measured words that it is fulfilled by.

Words that no image shows are missing, and those of walls: what is measured of a wall ("luminal narrowing") says nothing
of a lesion that was asked to be irregular. Synonyms that differ by organ ("clear serosal surface") are one measurement.
"""
_IN_PLACE = ("within the parenchymal organ", "protruding from the parenchymal organ")


@final
@dataclass(frozen=True)
class Verdict:
    """One attribute of one lesion.

    Attributes:
        attribute: its name.
        asked: what the request says.
        got: what was measured.
        passed: whether the one counts as the other.
    """

    attribute: str
    asked: Any
    got: Any
    passed: bool

    def as_json(self) -> dict[str, Any]:
        """For the provenance."""
        return {"attribute": self.attribute, "asked": self.asked, "got": self.got, "passed": self.passed}


def compare(asked: LesionReport, got: LesionReport, spacing: Spacing) -> tuple[Verdict, ...]:
    """Every attribute that was asked for and can be measured.

    Args:
        asked: the request.
        got: measured.
        spacing: voxel edges of the scan in mm, in the axes of ``size_mm``.
    """
    judges: tuple[Callable[[], list[Verdict]], ...] = (
        lambda: _size(asked, got, spacing),
        lambda: _ct_value(asked, got),
        lambda: _words(asked, got),
        lambda: _place(asked, got),
    )
    return tuple(verdict for judge in judges for verdict in judge())


def _size(asked: LesionReport, got: LesionReport, spacing: Spacing) -> list[Verdict]:
    if asked.size_mm is None or got.size_mm is None:
        return []
    allowed = [max(SIZE_SHARE * edge, 2 * step) for edge, step in zip(asked.size_mm, spacing, strict=True)]
    off = np.abs(np.subtract(asked.size_mm, got.size_mm))
    return [Verdict("size_mm", list(asked.size_mm), list(got.size_mm), bool((off <= allowed).all()))]


def _ct_value(asked: LesionReport, got: LesionReport) -> list[Verdict]:
    if asked.ct_value_hu is None or got.ct_value_hu is None:
        return []
    near = abs(asked.ct_value_hu - got.ct_value_hu) <= CT_VALUE_HU
    return [Verdict("ct_value_hu", asked.ct_value_hu, got.ct_value_hu, near)]


def _words(asked: LesionReport, got: LesionReport) -> list[Verdict]:
    verdicts = []
    for attribute in ("shape", "density", "density_variation", "surface", "features"):
        measured = tuple(word for word in _said(getattr(got, attribute)) if word in COUNTS_AS)
        for word in _said(getattr(asked, attribute)):
            if word in COUNTS_AS and (measured or attribute == "features"):
                passed = any(other in COUNTS_AS[word] for other in measured)
                verdicts.append(Verdict(attribute, word, ", ".join(measured), passed))
    return verdicts


def _place(asked: LesionReport, got: LesionReport) -> list[Verdict]:
    if asked.cavity not in _IN_PLACE or got.cavity is None:
        return []
    return [Verdict("cavity", asked.cavity, got.cavity, asked.cavity == got.cavity)]


def _said(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,) if value else ()
