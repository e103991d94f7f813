"""Checks of lesions that were put into a scan."""

from medsmith.cases.case import Case
from medsmith.synthesis.checks.training import TrainingFacts
from medsmith.synthesis.checks.verdict import Limits, Verdict


def lesions_drawn(case: Case, training: TrainingFacts, limits: Limits) -> Verdict:  # noqa: ARG001
    """Lesions asked for that could not be drawn, or that no one could see: none."""
    lesions = (case.provenance or {}).get("lesions", ())
    missing = [lesion for lesion in lesions if not lesion["visible"]]
    return Verdict.of("lesions_drawn", float(len(missing)), high=0)
