"""All checks of a finished case, in one order."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from medsmith.cases.case import Case
from medsmith.synthesis.checks.images import image_finite, image_range, image_spread, not_a_copy
from medsmith.synthesis.checks.lesions import lesions_drawn
from medsmith.synthesis.checks.masks import components, foreground_share, labels_declared, mask_not_empty
from medsmith.synthesis.checks.training import TrainingFacts
from medsmith.synthesis.checks.verdict import Limits, Verdict


@runtime_checkable
class Check(Protocol):
    """Looks at one side of a case; its name is that of its verdict."""

    __name__: str

    def __call__(self, case: Case, training: TrainingFacts, limits: Limits, /) -> Verdict:
        """The verdict."""
        ...


CHECKS: tuple[Check, ...] = (
    labels_declared,
    mask_not_empty,
    foreground_share,
    components,
    image_finite,
    image_range,
    image_spread,
    not_a_copy,
)
SPECIAL: tuple[Check, ...] = (lesions_drawn,)
"""Made only for methods that name them."""


def check_case(
    case: Case, training: TrainingFacts, limits: Limits, names: Sequence[str] | None = None
) -> tuple[Verdict, ...]:
    """The verdict of every check; the case may be written if none has failed.

    Args:
        case: as it was drawn.
        training: what the checks know of the training cohort.
        limits: how strict they are.
        names: of the checks that apply; None for all that are not special.
    """
    chosen = CHECKS if names is None else [check for check in (*CHECKS, *SPECIAL) if check.__name__ in names]
    return tuple(check(case, training, limits) for check in chosen)
