"""Cohorts whose labels of lesions are one label, and whose other labels are left out."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError
from medsmith.progress import Progress
from medsmith.reports.organs import is_lesion

NAMES: Mapping[str, int] = {"background": 0, "lesion": 1}


def lesions_alone(cohort: Cohort, out: Path, progress: Progress) -> Cohort:
    """The same cases with the lesions as their only label; a second call continues.

    Args:
        cohort: with labels of lesions, by their names.
        out: folder of the new cohort.
        progress: of the cases.

    Raises:
        CohortError: no label is that of a lesion, or the folder holds something else.
    """
    values = lesion_values(cohort)
    written = Cohort.create(out, channel_names=cohort.channel_names, label_names=NAMES, file_ending=cohort.file_ending)
    with progress.task(f"lesions of {cohort.root.name}", len(cohort)) as advance:
        for id in cohort.ids:
            if id not in written:
                written.write(_reduced(cohort.stored(id), values))
            advance(1, id)
    written.finish()
    return Cohort.open(out)


def lesion_values(cohort: Cohort) -> list[int]:
    """The labels whose names are those of lesions.

    Raises:
        CohortError: there is none.
    """
    values = [value for name, value in cohort.label_names.items() if value and is_lesion(name)]
    if not values:
        found = f"the labels {', '.join(cohort.label_names)}"
        raise CohortError(cohort.root, found, "one that names lesions, such as lesion, tumor or cyst", "rename it")
    return values


def _reduced(case: Case, values: list[int]) -> Case:
    labels = None if case.labels is None else np.isin(case.labels, values).astype(np.uint8)
    return replace(case, labels=labels, label_names=NAMES)
