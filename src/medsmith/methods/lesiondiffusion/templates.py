"""Fingerprint of the cases that a request gives."""

from medsmith.cases.case_ref import CaseRef, open_cohort
from medsmith.data.fingerprint import Fingerprint
from medsmith.errors import RequestError
from medsmith.insertion.templates import scans_of
from medsmith.reports.lesion_label import with_lesion_label


def fingerprint_of(templates: CaseRef | None, training: Fingerprint) -> Fingerprint:
    """The fingerprint of synthesized cases: that of the templates, with a label for lesions.

    Raises:
        RequestError: the cohort has no such case, no case at all, or more than one channel.
    """
    if templates is None:
        return training.model_copy(update={"label_names": with_lesion_label(training.label_names)})
    scans_of(templates)
    cohort = open_cohort(templates)
    if len(cohort.channel_names) != 1:
        found = f"{templates.cohort} has channels {', '.join(cohort.channel_names)}"
        raise RequestError("templates", found, "a CT has one", "prepare a cohort of the CT alone")
    return training.model_copy(
        update={
            "channel_names": cohort.channel_names,
            "label_names": with_lesion_label(cohort.label_names),
            "file_ending": cohort.file_ending,
        }
    )
