"""Fingerprint of the cases that a request gives, and the label of their lesions."""

from functools import lru_cache

from medsmith.cases.case_ref import CaseRef, open_cohort
from medsmith.data.fingerprint import Fingerprint
from medsmith.errors import RequestError
from medsmith.insertion.templates import scans_of
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.reports.lesion_label import lesion_label, with_label


def label_of_lesions(request: LesionDiffusionRequest, training: Fingerprint) -> str:
    """The label of synthetic lesions: as asked, else one that no real lesion has.

    Raises:
        RequestError: the cohort has no such case.
    """
    if request.label_as is not None:
        return request.label_as
    if request.templates is None:
        return lesion_label(training.label_names, real=False)
    return lesion_label(open_cohort(request.templates).label_names, real=_some_are_real(request.templates))


@lru_cache(maxsize=16)
def _some_are_real(templates: CaseRef) -> bool:
    """Whether a template is real; reads their provenance once per process."""
    cohort = open_cohort(templates)
    return not all(cohort.is_synthetic(id) for id in scans_of(templates))


def fingerprint_of(request: LesionDiffusionRequest, training: Fingerprint) -> Fingerprint:
    """The fingerprint of synthesized cases: that of the templates, with a label for lesions.

    Raises:
        RequestError: the cohort has no such case, no case at all, or more than one channel.
    """
    templates, label = request.templates, label_of_lesions(request, training)
    if templates is None:
        return training.model_copy(update={"label_names": with_label(training.label_names, label)})
    scans_of(templates)
    cohort = open_cohort(templates)
    if len(cohort.channel_names) != 1:
        found = f"{templates.cohort} has channels {', '.join(cohort.channel_names)}"
        raise RequestError("templates", found, "a CT has one", "prepare a cohort of the CT alone")
    return training.model_copy(
        update={
            "channel_names": cohort.channel_names,
            "label_names": with_label(cohort.label_names, label),
            "file_ending": cohort.file_ending,
        }
    )
