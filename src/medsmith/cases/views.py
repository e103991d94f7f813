"""Read-only cohorts made of others without copying files."""

from collections.abc import Mapping
from dataclasses import replace

from medsmith.cases.case_files import CaseFiles
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError

_ALIKE = ("channel_names", "label_names", "file_ending", "label_of")


def images_alone(cohort: Cohort) -> Cohort:
    """The images of a cohort without their labels."""
    cases = {case_id: CaseFiles(cohort.files(case_id).channels, labels=None) for case_id in cohort.ids_with_image}
    layout = replace(cohort.layout, label_names={"background": 0}, label_of={}, cases=cases, notes=())
    return Cohort(cohort.root, layout)


def joined(cohorts: Mapping[str, Cohort]) -> Cohort:
    """The cases of several cohorts, without their reports and provenance.

    Args:
        cohorts: name -> cohort, at least one; the name and "-" are put before the ids.

    Raises:
        CohortError: channels, labels or file endings differ.
    """
    first = next(iter(cohorts.values()))
    for other in cohorts.values():
        for what in _ALIKE:
            ours, theirs = getattr(first.layout, what), getattr(other.layout, what)
            if ours != theirs:
                found = f"{what} {theirs}, while {first.root} has {ours}"
                raise CohortError(other.root, found, "both are used as one", "run medsmith prepare on both alike")
    cases = {f"{name}-{case_id}": other.files(case_id) for name, other in cohorts.items() for case_id in other.ids}
    return Cohort(first.root, replace(first.layout, cases=cases, notes=()))
