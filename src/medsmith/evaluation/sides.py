"""What two cohorts can be compared in: images, masks, or both."""

from dataclasses import dataclass
from typing import final

from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError

FEWEST_REAL, FEWEST_SYNTHETIC = 8, 4


@final
@dataclass(frozen=True)
class Sides:
    """What is compared.

    Attributes:
        images: whether images are.
        copies: whether copies of training images are looked for.
        masks: whether labels are.
        left_out: a sentence on each thing that is not, or not of every case.
    """

    images: bool
    copies: bool
    masks: bool
    left_out: tuple[str, ...]


def compared_sides(real: Cohort, synthetic: Cohort, training: Cohort) -> Sides:
    """What can be compared, from the files that the cases have.

    Args:
        real: the real cohort.
        synthetic: the synthetic one.
        training: what the generator learnt from.

    Raises:
        CohortError: too few cases have an image, and too few have labels.
    """
    for cohort, fewest in ((real, FEWEST_REAL), (synthetic, FEWEST_SYNTHETIC)):
        if max(len(cohort.ids_with_image), len(cohort.ids_with_labels)) < fewest:
            raise CohortError(cohort.root, f"{len(cohort)} cases", f"at least {fewest}", "add cases")
    pictured, labelled = _counts(real, synthetic)
    images, masks = _enough(pictured), _enough(labelled)
    if not (images or masks):
        found = f"images in {pictured[0]} and {pictured[1]}, labels in {labelled[0]} and {labelled[1]} cases"
        limit = f"at least {FEWEST_REAL} real and {FEWEST_SYNTHETIC} synthetic cases with one of them"
        raise CohortError("evaluation", found, limit, "give cohorts that have the same")
    copies = images and bool(training.ids_with_image)
    left_out = [
        *_sentences("Images", "an image", pictured, (len(real), len(synthetic)), compared=images),
        *_sentences("Masks", "labels", labelled, (len(real), len(synthetic)), compared=masks),
    ]
    if images and not copies:
        left_out.append("Copies were not looked for: the training cohort has no images.")
    return Sides(images, copies, masks, tuple(left_out))


def _counts(real: Cohort, synthetic: Cohort) -> tuple[tuple[int, int], tuple[int, int]]:
    """Real and synthetic cases with an image, and with labels."""
    pictured = len(real.ids_with_image), len(synthetic.ids_with_image)
    return pictured, (len(real.ids_with_labels), len(synthetic.ids_with_labels))


def _enough(counts: tuple[int, int]) -> bool:
    return counts[0] >= FEWEST_REAL and counts[1] >= FEWEST_SYNTHETIC


def _sentences(
    what: str, part: str, having: tuple[int, int], of: tuple[int, int], *, compared: bool
) -> tuple[str, ...]:
    if having == of:
        return ()
    counts = f"{having[0]} of {of[0]} real and {having[1]} of {of[1]} synthetic cases have {part}"
    verb = "were compared where there are any" if compared else "were not compared"
    return (f"{what} {verb}: {counts}.",)
