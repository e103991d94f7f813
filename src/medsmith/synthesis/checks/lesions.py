"""Checks of lesions inserted into a scan."""

from medsmith.cases.case import Case
from medsmith.synthesis.checks.result import CheckResult, Limits
from medsmith.synthesis.checks.training import TrainingFacts


def lesions_visible(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:  # noqa: ARG001
    """Number of requested lesions that could not be generated or are not visible; allowed: none."""
    lesions = (case.provenance or {}).get("lesions", ())
    invisible = [lesion for lesion in lesions if not lesion["visible"]]
    return CheckResult.of("lesions_visible", float(len(invisible)), high=0)
