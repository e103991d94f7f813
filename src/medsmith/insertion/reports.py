"""Reports adapted to a scan: the organ is one of its organ map, and the size is set."""

from collections.abc import Mapping

import numpy as np

from medsmith.errors import RequestError
from medsmith.insertion.organ_map import OrganMap, to_name
from medsmith.insertion.stand_ins import stand_in
from medsmith.reports.lesion_label import organs_of_lesions, types_labeled
from medsmith.reports.organs import labels_of
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.sampling import complete_report, sample_report
from medsmith.reports.schema import LesionReport

DEFAULT_MM = 20.0
"""Default edge of a lesion of unknown type without a size."""


def lesion_types_in(organ_map: OrganMap) -> list[str]:
    """Lesion types whose organ the scan has.

    Raises:
        RequestError: there is none.
    """
    present = {name: organ_map.names[name] for name in organ_map.present}
    fitting = [name for name, kind in LESION_TYPES.items() if labels_of(kind.organ, present)]
    if not fitting:
        found = f"no organ of a known lesion in the organ map ({organ_map.source})"
        raise RequestError("request", found, f"it has {to_name(present)}", "say what is wanted: --report")
    return fitting


def unasked_report(trained: Mapping[str, int], organ_map: OrganMap, rng: np.random.Generator) -> LesionReport:
    """A report for a request that says nothing: of a type that the method was trained on and the scan has the organ of.

    Where the labels of the training cohort name an organ without known types, any lesion of that organ; where they tell
    nothing, a type that fits the scan.

    Args:
        trained: label names of the training cohort.
        organ_map: of the scan.
        rng: draws type and attributes.

    Raises:
        RequestError: the scan has no organ of the lesions that the method was trained on.
    """
    present = {name: organ_map.names[name] for name in organ_map.present}
    types, organs = types_labeled(trained), organs_of_lesions(trained)
    if not types and not organs:
        types = tuple(lesion_types_in(organ_map))
    fitting = [name for name in types if labels_of(LESION_TYPES[name].organ, present)]
    if fitting:
        return with_organ_in(sample_report(fitting[int(rng.integers(len(fitting)))], rng), organ_map)
    untyped = [organ for organ in organs if labels_of(organ, present)]
    if not untyped:
        found = f"trained on {', '.join(types or organs)}, of which the organ map ({organ_map.source}) has no organ"
        raise RequestError("request", found, f"it has {to_name(present)}", "say what is wanted: --report")
    return LesionReport(organ=untyped[int(rng.integers(len(untyped)))], size_mm=(DEFAULT_MM,) * 3)


def with_organ_in(report: LesionReport, organ_map: OrganMap) -> LesionReport:
    """The report with an organ that the map knows: a lung in place of its lobe, where the map has no lobes."""
    instead = stand_in(report.organ, organ_map.names) if report.organ else None
    return report if instead is None else report.model_copy(update={"organ": instead})


def completed_report(
    report: LesionReport, without: tuple[str, ...], organ_map: OrganMap, rng: np.random.Generator
) -> LesionReport:
    """The report with missing attributes sampled from the rules of its type; without a known type, a size of 20 mm.

    The networks are conditioned on attributes, not on types, so the attributes of a type must be set.

    Raises:
        RequestError: the rules do not allow what the report says.
    """
    complete = with_organ_in(complete_report(report, rng, without), organ_map)
    return complete if complete.size_mm else complete.model_copy(update={"size_mm": (DEFAULT_MM,) * 3})
