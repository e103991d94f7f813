"""Checks of lesions inserted into a scan."""

from dataclasses import replace

from medsmith.cases.case import Case
from medsmith.synthesis.checks.result import AS_REQUESTED, CheckResult, Limits
from medsmith.synthesis.checks.training import TrainingFacts
from medsmith.synthesis.lesion_values import asked_verdicts


def lesions_visible(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:  # noqa: ARG001
    """Number of requested lesions that could not be generated or are not visible; allowed: none."""
    lesions = (case.provenance or {}).get("lesions", ())
    invisible = [lesion for lesion in lesions if not lesion["visible"]]
    return CheckResult.of("lesions_visible", float(len(invisible)), high=0)


def lesions_as_requested(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:  # noqa: ARG001
    """Number of lesions that miss an attribute that was asked for, as measured; allowed: none. It is about these."""
    lesions = (case.provenance or {}).get("lesions", ())
    missed = [
        {verdict["attribute"] for verdict in asked_verdicts(lesion) if not verdict["passed"]} for lesion in lesions
    ]
    result = CheckResult.of(AS_REQUESTED, float(sum(map(bool, missed))), high=0)
    return replace(result, about=tuple(sorted(set().union(*missed))))
