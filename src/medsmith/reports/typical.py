"""What the rules say of a lesion's intensities where its report gives a word and no number."""

from collections.abc import Iterator
from typing import Final

from medsmith.reports.organs import members_of
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.rules_types import Appearance, LesionType, Range
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import Feature

_UNEVEN: Final[tuple[Feature, ...]] = ("presence of decreased density areas", "presence of increased density areas")


def typical_ct_values(report: LesionReport) -> Range | None:
    """Smallest and largest mean, HU, of lesions of the report's type or organ, density and enhancement.

    None where the report has no density, or neither type nor organ, or no rule has all of these.
    """
    ranges = [
        hu
        for appearance in _appearances(report)
        for enhancement, hu in appearance.phases()
        if report.enhancement in (None, enhancement)
    ]
    return (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None


def typically_homogeneous(report: LesionReport) -> bool:
    """Whether the lesion is homogeneous: as it says, or if it says nothing, as most such lesions are by the rules."""
    if report.density_variation is not None:
        return report.density_variation == "homogeneous"
    if any(feature in _UNEVEN for feature in report.features):
        return False
    weights = {"homogeneous": 0.0, "heterogeneous": 0.0}
    for appearance in _appearances(report):
        weights[appearance.variation] += appearance.weight
    return weights["homogeneous"] > weights["heterogeneous"]


def _appearances(report: LesionReport) -> Iterator[Appearance]:
    for kind in LESION_TYPES.values():
        if _fits(kind, report):
            yield from (each for each in kind.appearances if each.density == report.density)


def _fits(kind: LesionType, report: LesionReport) -> bool:
    if report.lesion_type is not None:
        return kind.name == report.lesion_type
    return report.organ is not None and report.organ in members_of(kind.organ)
