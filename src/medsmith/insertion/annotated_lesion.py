"""The lesion of an annotated scan that a method learns from.

Axes: x y z voxel axes of the scan along right, anterior, superior (canonical).
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool

from medsmith.cases.canonical import canonical_geometry, canonical_view
from medsmith.cases.case import Case
from medsmith.errors import ContentError
from medsmith.geometry import Geometry
from medsmith.insertion.box import Box, bounding_box
from medsmith.insertion.shape import largest_component
from medsmith.reports.organs import is_lesion
from medsmith.reports.schema import LesionReport, ScanReport


@final
@dataclass(frozen=True, eq=False)
class AnnotatedLesion:
    """The largest lesion of a scan.

    Attributes:
        mask: its voxels, canonical.
        box: its bounds.
        report: the report of the lesion.
        geometry: grid of the scan, canonical.
    """

    mask: Bool[np.ndarray, "x y z"]
    box: Box
    report: LesionReport
    geometry: Geometry


def largest_lesion(case: Case) -> AnnotatedLesion:
    """The largest connected part of what is labeled as a lesion, with the report that is nearest in size.

    Raises:
        ContentError: the case has no labels, or nothing is labeled as a lesion.
    """
    values = [value for name, value in case.label_names.items() if is_lesion(name)]
    if not values:  # one class alone needs no name to be told apart
        values = [value for value in case.label_names.values() if value > 0]
    lesions = np.isin(canonical_view(case.require_labels(), case.geometry), values)
    if not lesions.any():
        raise ContentError(case.id, "no lesion is labeled", f"labels {dict(case.label_names)}", "leave the case out")
    mask = largest_component(lesions, neighbors=26)
    box = bounding_box(mask)
    geometry = canonical_geometry(case.geometry)
    x, y, z = (float(count * edge) for count, edge in zip(box.shape, geometry.spacing, strict=True))
    return AnnotatedLesion(mask, box, _report(case, (x, y, z)), geometry)


def _report(case: Case, edges: tuple[float, float, float]) -> LesionReport:
    reports = ScanReport.model_validate(case.report or {}).lesions
    if not reports:
        return LesionReport(size_mm=edges)

    def mismatch(report: LesionReport) -> float:
        return float(np.abs(np.log(np.array(report.size_mm or edges) / np.array(edges))).sum())

    nearest = min(reports, key=mismatch)
    return nearest if nearest.size_mm else nearest.model_copy(update={"size_mm": edges})
