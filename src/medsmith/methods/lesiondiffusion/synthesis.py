"""Synthesis of a case from a request: template, organ map, reports, boxes, lesions."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from medsmith.cases.canonical import canonical_view
from medsmith.cases.case import Case
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.insertion.box import Box
from medsmith.insertion.boxes import place_boxes
from medsmith.insertion.ct_values import check_ct_value, fitted_ct_value
from medsmith.insertion.organ_map import OrganMap
from medsmith.insertion.organ_sources import organ_map_of
from medsmith.insertion.reports import completed_report, unasked_report, with_organ_in
from medsmith.insertion.stand_ins import placed_in
from medsmith.insertion.templates import image_file, templates_in_turn
from medsmith.measurement.describe import LabeledScan
from medsmith.methods.lesiondiffusion.generator import LesionGenerator
from medsmith.methods.lesiondiffusion.insert_lesion import TargetScan, insert_lesion
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.methods.lesiondiffusion.template_bank import fit_to_crop
from medsmith.reports.lesion_label import types_labeled, with_label
from medsmith.reports.organs import is_lesion
from medsmith.reports.rules import stated_attributes
from medsmith.reports.sampling import complete_report, sample_report
from medsmith.reports.schema import LesionReport

REPORTS_SAMPLED = 12
"""Most reports that are sampled for one template until one has room in it."""


def synthesize_from_template(
    request: LesionDiffusionRequest, labels: tuple[Mapping[str, int], str], generator: LesionGenerator, seed: int
) -> Case:
    """A template of a cohort with lesions inserted.

    Args:
        request: with templates.
        labels: label names of the training cohort, and the label of the lesions.
        generator: samples mask and intensities.
        seed: of the case.

    Raises:
        RequestError: a template or an organ does not exist, or no template has room for the lesions.
    """
    assert request.templates is not None
    refusals: list[RequestError] = []
    for scan in templates_in_turn(request.templates, _rng(seed, "template")):
        file = image_file(request.templates, scan.id)
        organ_map = organ_map_of(request.organ_map, scan, file, request.organ_numbers)
        for number in range(1 if request.lesions else REPORTS_SAMPLED):
            try:
                reports = _reports(request, labels[0], (scan, organ_map), _rng(seed, f"report {number}"))
                boxes = place_boxes(reports, organ_map, _rng(seed, "box"))
            except RequestError as refusal:
                refusals.append(refusal)
            else:
                return insert_lesions((scan, organ_map), (reports, boxes), request, labels[1], generator, seed)
    last = refusals[-1]
    if len({refusal.line for refusal in refusals}) == 1:  # one template, or the report itself is at fault
        raise last
    found = f"none of the templates that were tried can take it; the last: {last.found}"
    raise RequestError("report", found, last.limit, last.cure)


def synthesize_from_bank(
    request: LesionDiffusionRequest,
    template: tuple[Case, OrganMap],
    label: str,
    generator: LesionGenerator,
    seed: int,
) -> Case:
    """A cube of the template bank with one lesion."""
    scan, organ_map = template
    rng = _rng(seed, "report")
    asked = tuple(complete_report(report, rng, request.denied(number)) for number, report in enumerate(request.lesions))
    reports = asked or (_unasked(request, scan, rng),)
    edge = min(scan.geometry.shape) * min(scan.geometry.spacing)
    fitted = tuple(fit_to_crop(report, edge) for report in reports)
    boxes = place_boxes(fitted, organ_map, _rng(seed, "box"))
    return insert_lesions((scan, organ_map), (fitted, boxes), request, label, generator, seed)


def _unasked(request: LesionDiffusionRequest, scan: Case, rng: np.random.Generator) -> LesionReport:
    """A report of the type asked for, else of one that the labels of the training cohort name, else of none."""
    kinds = (request.lesion_type,) if request.lesion_type else types_labeled(scan.label_names)
    return sample_report(kinds[int(rng.integers(len(kinds)))], rng) if kinds else LesionReport()


def insert_lesions(
    template: tuple[Case, OrganMap],
    lesions: tuple[tuple[LesionReport, ...], tuple[Box, ...]],
    request: LesionDiffusionRequest,
    label: str,
    generator: LesionGenerator,
    seed: int,
) -> Case:
    """Insert one lesion per report and box into a scan. The scan's arrays are edited in place and become the case's."""
    scan, organ_map = template
    names = with_label(scan.label_names, label)
    image = canonical_view(scan.require_image()[0], scan.geometry)
    target = TargetScan(
        image=image,
        labels=canonical_view(scan.require_labels(), scan.geometry),
        organ_map=organ_map,
        lesion_value=names[label],
        lesion_values=tuple(value for name, value in names.items() if name == label or is_lesion(name)),
        stored=scan.stored,
        enhancement=LabeledScan(image, organ_map.labels, organ_map.names, organ_map.geometry).enhancement,
    )
    records: list[Mapping[str, Any]] = [
        {
            **_placed(request, number, report),
            **insert_lesion(
                target,
                report,
                box,
                generator,
                derive_seed(seed, "lesion", number),
                request.attempts,
                request.denied(number),
                _drawn(request, number, report),
            ),
        }
        for number, (report, box) in enumerate(zip(*lesions, strict=True))
    ]
    remarks = {"remarks": request.remarks} if request.remarks else {}
    return Case(
        id="",
        image=scan.image,
        labels=scan.labels,
        geometry=scan.geometry,
        channel_names=scan.channel_names,
        label_names=names,
        stored=scan.stored,
        report=_report(records),
        provenance={"template": scan.id, "organ_map": organ_map.source, "lesions": records, **remarks},
    )


def _placed(request: LesionDiffusionRequest, number: int, report: LesionReport) -> dict[str, Any]:
    """A note for the record of a lesion in the stand-in of the organ that was asked for."""
    asked = request.lesions[number].organ if number < len(request.lesions) else None
    elsewhere = asked is not None and report.organ is not None and asked != report.organ
    return {"note": placed_in(str(asked), str(report.organ))} if elsewhere else {}


def _drawn(request: LesionDiffusionRequest, number: int, report: LesionReport) -> tuple[str, ...]:
    """The attributes of a lesion that a request for it leaves open: drawn by the rules of its type, or a default size.

    A report that is sampled as a whole is the request.
    """
    if number >= len(request.lesions):
        return ()
    asked = request.lesions[number]
    return tuple(sorted(stated_attributes(report).keys() - stated_attributes(asked).keys() - {"organ"}))


def _rng(seed: int, purpose: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(derive_seed(seed, purpose)))


def _report(records: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The case's report: measured and requested lesions, and whether each one passed."""
    return {
        "lesions": [record["measured"] for record in records if "measured" in record],
        "requested": [record["requested"] for record in records],
        "passed": [record["passed"] for record in records],
    }


def _reports(
    request: LesionDiffusionRequest,
    trained: Mapping[str, int],
    template: tuple[Case, OrganMap],
    rng: np.random.Generator,
) -> tuple[LesionReport, ...]:
    """The requested reports with missing attributes sampled; without any, one report sampled from the rules.

    CT values that were sampled are fitted to the organs of the template.
    """
    scan, organ_map = template
    image = canonical_view(scan.require_image()[0], scan.geometry)

    def fitted(report: LesionReport) -> LesionReport:
        return fitted_ct_value(report, image, organ_map.labels, organ_map.names)

    if request.lesions:
        completed = [
            completed_report(report, request.denied(number), organ_map, rng)
            for number, report in enumerate(request.lesions)
        ]
        asked = [report.ct_value_hu is not None for report in request.lesions]
        for one in itertools.compress(completed, asked):
            check_ct_value(one, image, organ_map.labels, organ_map.names)
        return tuple(one if own else fitted(one) for one, own in zip(completed, asked, strict=True))
    if request.lesion_type:
        return (fitted(with_organ_in(sample_report(request.lesion_type, rng), organ_map)),)
    return (fitted(unasked_report(trained, organ_map, rng)),)
