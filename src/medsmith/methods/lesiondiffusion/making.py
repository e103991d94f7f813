"""From a request to a case: template, organ map, reports, boxes, lesions."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from medsmith.canonical import canonical_view
from medsmith.case import Case
from medsmith.conditioning.organs import labels_of
from medsmith.conditioning.rules import LESION_TYPES
from medsmith.conditioning.sampling import complete_report, sample_report
from medsmith.conditioning.schema import LesionReport
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.insertion.box import Box
from medsmith.insertion.boxes import place_boxes
from medsmith.insertion.organ_map import OrganMap
from medsmith.methods.lesiondiffusion.drawing import Artist
from medsmith.methods.lesiondiffusion.inserting import Scan, insert_lesion
from medsmith.methods.lesiondiffusion.keepsakes import modest
from medsmith.methods.lesiondiffusion.organs import organ_map_of
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.methods.lesiondiffusion.templates import image_file, lesion_value, templates_in_turn, with_lesion

DEFAULT_MM = 20.0
"""Edge of a lesion of no known type whose size nobody says."""
REPORTS_DRAWN = 12
"""Reports that are drawn by the rules for one template until one has room there."""


def make_case(request: LesionDiffusionRequest, artist: Artist, seed: int) -> Case:
    """A template with lesions.

    Args:
        request: what is asked for, with templates.
        artist: what draws.
        seed: of everything.

    Raises:
        RequestError: a template, an organ or a place that is not there.
    """
    assert request.templates is not None
    refusals: list[RequestError] = []
    for scan in templates_in_turn(request.templates, seed):
        file = image_file(request.templates, scan.id)
        organ_map = organ_map_of(request.organ_map, scan, file, request.organ_numbers)
        for number in range(1 if request.lesions else REPORTS_DRAWN):
            try:
                reports = _reports(request, organ_map, _stream(seed, f"report {number}"))
                boxes = place_boxes(reports, organ_map, _stream(seed, "box"))
            except RequestError as refusal:
                refusals.append(refusal)
            else:
                return with_lesions(scan, organ_map, reports, boxes, artist, seed, request.draws)
    last = refusals[-1]
    if len({refusal.line for refusal in refusals}) == 1:  # one template, or a fault of the report alone
        raise last
    found = f"none of the templates that were tried can take it; the last: {last.found}"
    raise RequestError("report", found, last.limit, last.cure)


def make_small_case(request: LesionDiffusionRequest, kept: tuple[Case, OrganMap], artist: Artist, seed: int) -> Case:
    """A kept cube of the training cohort with one lesion."""
    scan, organ_map = kept
    draw = _stream(seed, "report")
    kind = request.lesion_type or list(LESION_TYPES)[int(draw.integers(len(LESION_TYPES)))]
    reports = tuple(complete_report(report, draw) for report in request.lesions) or (sample_report(kind, draw),)
    edge = min(scan.geometry.shape) * min(scan.geometry.spacing)
    fitted = tuple(modest(report, edge) for report in reports)
    boxes = place_boxes(fitted, organ_map, _stream(seed, "box"))
    return with_lesions(scan, organ_map, fitted, boxes, artist, seed, request.draws)


def with_lesions(
    scan: Case,
    organ_map: OrganMap,
    reports: tuple[LesionReport, ...],
    boxes: tuple[Box, ...],
    artist: Artist,
    seed: int,
    draws: int,
) -> Case:
    """A scan with the lesions of some reports, one per box. Its arrays are edited and become the case's."""
    names = with_lesion(scan.label_names)
    place = Scan(
        image=canonical_view(scan.require_image()[0], scan.geometry),
        labels=canonical_view(scan.require_labels(), scan.geometry),
        organ_map=organ_map,
        lesion_value=lesion_value(names),
        stored=scan.stored,
    )
    records = [
        insert_lesion(place, report, box, artist, derive_seed(seed, "lesion", number), draws)
        for number, (report, box) in enumerate(zip(reports, boxes, strict=True))
    ]
    return Case(
        id="",
        image=scan.image,
        labels=scan.labels,
        geometry=scan.geometry,
        channel_names=scan.channel_names,
        label_names=names,
        stored=scan.stored,
        report=_report(records),
        provenance={"template": scan.id, "organ_map": organ_map.source, "lesions": records},
    )


def _stream(seed: int, purpose: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(derive_seed(seed, purpose)))


def _report(records: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What the scan shows, as measured, and what was asked for."""
    return {
        "lesions": [record["got"] for record in records if "got" in record],
        "asked": [record["asked"] for record in records],
        "passed": [record["passed"] for record in records],
    }


def _reports(
    request: LesionDiffusionRequest, organ_map: OrganMap, draw: np.random.Generator
) -> tuple[LesionReport, ...]:
    """The reports of a request, a size given to those that have none; or one drawn by the rules."""
    if request.lesions:
        denied = (*request.without, *[()] * len(request.lesions))
        pairs = zip(request.lesions, denied, strict=False)
        return tuple(_completed(report, without, organ_map, draw) for report, without in pairs)
    kinds = [request.lesion_type] if request.lesion_type else _fitting_types(organ_map)
    kind = kinds[int(draw.integers(len(kinds)))]
    return (_there(sample_report(kind, draw), organ_map),)


def _fitting_types(organ_map: OrganMap) -> list[str]:
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


def _there(report: LesionReport, organ_map: OrganMap) -> LesionReport:
    """The report, its organ one that the scan has: the right kidney where the left one is not in view."""
    present = {name: organ_map.names[name] for name in organ_map.present}
    if report.organ is None or report.lesion_type is None or labels_of(report.organ, present):
        return report
    return report.model_copy(update={"organ": LESION_TYPES[report.lesion_type].organ})


def _completed(
    report: LesionReport, without: tuple[str, ...], organ_map: OrganMap, draw: np.random.Generator
) -> LesionReport:
    """The report with what it leaves open: as the rules of its type draw it; of no known type, a size of 20 mm.

    A cyst that is only called a cyst must look like one, and the networks are told of attributes, not of types.

    Raises:
        RequestError: the rules do not allow what the report says.
    """
    complete = _there(complete_report(report, draw, without), organ_map)
    return complete if complete.size_mm else complete.model_copy(update={"size_mm": (DEFAULT_MM,) * 3})
