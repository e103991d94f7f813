"""Which parts of two cohorts can be compared: images, masks, or both."""

from dataclasses import dataclass
from typing import final

import numpy as np

from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, counted
from medsmith.preparation.split import patient_groups

MIN_REAL, MIN_SYNTHETIC = 8, 4
_SEED = 0


@final
@dataclass(frozen=True)
class ComparisonScope:
    """The parts of two cohorts that are compared.

    Attributes:
        images: whether images are compared.
        copies: whether copies of training images are searched.
        masks: whether masks are compared.
        left_out: one sentence on each part that is not compared, or not for all cases.
    """

    images: bool
    copies: bool
    masks: bool
    left_out: tuple[str, ...]


def comparison_scope(real: Cohort, synthetic: Cohort, training: Cohort) -> ComparisonScope:
    """The parts that can be compared, from the files of the cases.

    Args:
        real: the real cohort.
        synthetic: the synthetic one.
        training: the training cohort of the generator.

    Raises:
        CohortError: too few cases have an image and too few have labels.
    """
    for cohort, minimum in ((real, MIN_REAL), (synthetic, MIN_SYNTHETIC)):
        if max(len(cohort.ids_with_image), len(cohort.ids_with_labels)) < minimum:
            raise CohortError(
                cohort.root, counted(len(cohort), "case"), f"at least {minimum}", "add cases, or take a larger cohort"
            )
    with_image, with_labels = _counts(real, synthetic)
    images, masks = _enough(with_image), _enough(with_labels)
    if not (images or masks):
        found = f"images in {with_image[0]} and {with_image[1]}, labels in {with_labels[0]} and {with_labels[1]} cases"
        limit = f"at least {MIN_REAL} real and {MIN_SYNTHETIC} synthetic cases with one of them"
        raise CohortError("evaluation", found, limit, "give cohorts that have the same")
    copies = images and bool(training.ids_with_image)
    left_out = [
        *_sentences("Images", "an image", with_image, (len(real), len(synthetic)), compared=images),
        *_sentences("Masks", "labels", with_labels, (len(real), len(synthetic)), compared=masks),
    ]
    if images and not copies:
        left_out.append("Copies were not searched: the training cohort has no images.")
    return ComparisonScope(images, copies, masks, tuple(left_out))


def one_of_each_patient(cohort: Cohort, group: str | None) -> Cohort:
    """One case of each patient, drawn at random but always the same; the whole cohort without an expression.

    Several cases of a patient are alike, and no test or interval over cases knows it.

    Args:
        cohort: of real cases.
        group: regular expression that finds the patient in an id; None: each case is of another one.

    Raises:
        RequestError: the expression is invalid or does not fit every id.
        CohortError: enough cases, of too few patients.
    """
    if group is None:
        return cohort
    groups = patient_groups(cohort.ids, group)
    if len(groups) < MIN_REAL <= len(cohort):
        found = f"{len(cohort)} cases of {counted(len(groups), 'patient')} (--group)"
        limit = f"at least {MIN_REAL} patients, as one case of each is compared"
        cure = "add cases of other patients; without --group each case counts as another patient"
        raise CohortError(cohort.root, found, limit, cure)
    rng = np.random.default_rng(_SEED)
    return cohort.subset(ids[rng.integers(len(ids))] for ids in groups.values())


def patients_notes(every: Cohort, compared: Cohort) -> tuple[str, ...]:
    """A sentence where only one case of each patient is compared."""
    if len(every) == len(compared):
        return ()
    return (
        f"Of {len(every)} real cases {len(compared)} are compared, one of each patient (--group): several cases of a "
        "patient are alike, and would make differences of patients look like differences of the cohorts.",
    )


def _counts(real: Cohort, synthetic: Cohort) -> tuple[tuple[int, int], tuple[int, int]]:
    """Numbers of (real, synthetic) cases with an image, and with labels."""
    with_image = len(real.ids_with_image), len(synthetic.ids_with_image)
    return with_image, (len(real.ids_with_labels), len(synthetic.ids_with_labels))


def _enough(counts: tuple[int, int]) -> bool:
    return counts[0] >= MIN_REAL and counts[1] >= MIN_SYNTHETIC


def _sentences(
    what: str, part: str, having: tuple[int, int], of: tuple[int, int], *, compared: bool
) -> tuple[str, ...]:
    if having == of:
        return ()
    counts = f"{having[0]} of {of[0]} real and {having[1]} of {of[1]} synthetic cases have {part}"
    verb = "were compared where present" if compared else "were not compared"
    return (f"{what} {verb}: {counts}.",)
