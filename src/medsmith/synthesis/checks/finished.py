"""All checks of a synthetic case, in a fixed order."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from medsmith.cases.case import Case
from medsmith.synthesis.checks.guidance import annotation_followed
from medsmith.synthesis.checks.images import image_finite, image_noise, image_range, image_spread, not_a_copy
from medsmith.synthesis.checks.lesions import lesions_as_requested, lesions_visible
from medsmith.synthesis.checks.masks import components, foreground_share, labels_declared, labels_legal, mask_not_empty
from medsmith.synthesis.checks.result import CheckResult, Limits
from medsmith.synthesis.checks.training import TrainingFacts


@runtime_checkable
class Check(Protocol):
    """A function that checks one property of a case; its name is the check's name in the result."""

    __name__: str

    def __call__(self, case: Case, training: TrainingFacts, limits: Limits, /) -> CheckResult:
        """The result of the check."""
        ...


CHECKS: tuple[Check, ...] = (
    labels_declared,
    mask_not_empty,
    foreground_share,
    components,
    image_finite,
    image_range,
    image_spread,
    image_noise,
    not_a_copy,
)
OPTIONAL_CHECKS: tuple[Check, ...] = (lesions_visible, lesions_as_requested, labels_legal, annotation_followed)
"""Run only for methods that name them."""


def check_case(
    case: Case, training: TrainingFacts, limits: Limits, names: Sequence[str] | None = None
) -> tuple[CheckResult, ...]:
    """The result of every check; the case may be written if none has failed.

    Args:
        case: the synthetic case.
        training: statistics of the training cohort.
        limits: tolerances of the checks.
        names: the checks to run; None runs all of ``CHECKS``.
    """
    chosen = CHECKS if names is None else [check for check in (*CHECKS, *OPTIONAL_CHECKS) if check.__name__ in names]
    return tuple(check(case, training, limits) for check in chosen)
