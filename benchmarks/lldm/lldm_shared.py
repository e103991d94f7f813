"""What the scripts of this folder share."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from medsmith import Cohort
from medsmith.data.fingerprint import Fingerprint, take_fingerprint
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort, load_cohort
from medsmith.evaluation.fidelity.bootstrap import mean_of_cases
from medsmith.progress import ConsoleProgress


def pairs_of(cohort: Cohort) -> Cohort:
    """The cases with an image and labels."""
    return cohort.subset(sorted({*cohort.ids_with_image} & {*cohort.ids_with_labels}))


def fingerprint_of(cohort: Cohort) -> Fingerprint:
    """Without the hash of the cohort."""
    return take_fingerprint(iter(cohort), cohort.file_ending, "0" * 64)


def loaded(cohort: Cohort, edge: int) -> LoadedCohort:
    """All pairs on the segmenter's grid."""
    pairs = pairs_of(cohort)
    with ConsoleProgress().task(f"read {cohort.root.name}", len(pairs)) as advance:
        return load_cohort(pairs, edge, advance)


def estimate(values: Float64[np.ndarray, " n"]) -> Mapping[str, float | int | str]:
    """Mean with its interval over the cases that have the class."""
    known = values[~np.isnan(values)]
    return mean_of_cases(known, seed=0).as_json() if len(known) > 1 else {"n": len(known)}
