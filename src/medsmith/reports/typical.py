"""What the rules say of a lesion's intensities where its report gives a word and no number."""

from collections.abc import Iterable, Iterator
from typing import Final

from medsmith.reports.organs import is_hollow, members_of
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.rules_types import Appearance, LesionType, Range
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import Feature

_STONE: Final[Feature] = "stone"
_UNEVEN: Final[tuple[Feature, ...]] = ("presence of decreased density areas", "presence of increased density areas")


def typical_ct_values(report: LesionReport) -> Range | None:
    """Smallest and largest mean, HU, of lesions of the report's type or organ, density and enhancement.

    None where the report has no density, or neither type nor organ, or no rule has all of these. Stones count only
    where they are asked for, by type or feature.
    """
    return _joined(_ranges(_appearances(report), report))


def ct_values_elsewhere(report: LesionReport) -> Range | None:
    """As ``typical_ct_values``, of all organs but lungs and hollow ones: for organs that no rule knows.

    Without it a "hyperdense" lesion of soft tissue would be as dense as the network likes, and that is as bone.
    """
    kinds = (kind for kind in LESION_TYPES.values() if kind.organ != "lung" and not is_hollow(kind.organ))
    return _joined(_ranges((each for kind in kinds for each in _of_density(kind, report)), report))


def _ranges(appearances: Iterable[Appearance], report: LesionReport) -> Iterator[Range]:
    for appearance in appearances:
        yield from (hu for phase, hu in appearance.phases() if report.enhancement in (None, phase))


def _joined(ranges: Iterable[Range]) -> Range | None:
    found = list(ranges)
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


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
            yield from _of_density(kind, report)


def _of_density(kind: LesionType, report: LesionReport) -> Iterator[Appearance]:
    stony = report.lesion_type is not None or _STONE in report.features
    for each in kind.appearances:
        if each.density == report.density and (stony or not all(_STONE in features for features in each.features)):
            yield each


def _fits(kind: LesionType, report: LesionReport) -> bool:
    if report.lesion_type is not None:
        return kind.name == report.lesion_type
    return report.organ is not None and report.organ in members_of(kind.organ)
