"""Reports of lesions that a scan can take: of organs that its organ map has, and with a size."""

import numpy as np

from medsmith.errors import RequestError
from medsmith.insertion.organ_map import OrganMap
from medsmith.reports.organs import labels_of
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.sampling import complete_report
from medsmith.reports.schema import LesionReport

DEFAULT_MM = 20.0
"""Edge of a lesion of no known type whose size nobody says."""


def lesion_types_in(organ_map: OrganMap) -> list[str]:
    """Types of lesion whose organ the scan has.

    Raises:
        RequestError: there is none.
    """
    present = {name: organ_map.names[name] for name in organ_map.present}
    fitting = [name for name, kind in LESION_TYPES.items() if labels_of(kind.organ, present)]
    if not fitting:
        found = f"no organ of a known lesion in the organ map ({organ_map.source})"
        raise RequestError(
            "request", found, f"it has {', '.join(present) or 'no labels'}", "say what is wanted: --report"
        )
    return fitting


def with_organ_in(report: LesionReport, organ_map: OrganMap) -> LesionReport:
    """The report, its organ one that the scan has: the right kidney where the left one is not in view."""
    present = {name: organ_map.names[name] for name in organ_map.present}
    if report.organ is None or report.lesion_type is None or labels_of(report.organ, present):
        return report
    return report.model_copy(update={"organ": LESION_TYPES[report.lesion_type].organ})


def completed_report(
    report: LesionReport, without: tuple[str, ...], organ_map: OrganMap, rng: np.random.Generator
) -> LesionReport:
    """The report with what it leaves open: as the rules of its type draw it; of no known type, a size of 20 mm.

    A cyst that is only called a cyst must look like one, and the networks are told of attributes, not of types.

    Raises:
        RequestError: the rules do not allow what the report says.
    """
    complete = with_organ_in(complete_report(report, rng, without), organ_map)
    return complete if complete.size_mm else complete.model_copy(update={"size_mm": (DEFAULT_MM,) * 3})
