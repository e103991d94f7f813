"""All checks of a finished case, in one order."""

from collections.abc import Callable

from medsmith.case import Case
from medsmith.checks.images import image_finite, image_range, image_spread, not_a_copy
from medsmith.checks.masks import components, foreground_share, labels_declared, mask_not_empty
from medsmith.checks.training import TrainingFacts
from medsmith.checks.verdict import Limits, Verdict

Check = Callable[[Case, TrainingFacts, Limits], Verdict]
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


def check_case(case: Case, training: TrainingFacts, limits: Limits) -> tuple[Verdict, ...]:
    """The verdict of every check; the case may be written if none has failed."""
    return tuple(check(case, training, limits) for check in CHECKS)
