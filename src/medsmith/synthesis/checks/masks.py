"""Checks of the label map."""

import numpy as np

from medsmith.cases.case import Case
from medsmith.data.fingerprint import count_components
from medsmith.synthesis.checks.result import CheckResult, Limits
from medsmith.synthesis.checks.training import TrainingFacts

NO_LABELS = "the case has no labels"


def labels_declared(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:  # noqa: ARG001
    """Number of voxels with an undeclared label; allowed: none."""
    if case.labels is None:
        return CheckResult.skipped("labels_declared", NO_LABELS)
    declared = list(training.fingerprint.label_names.values())
    # Slice by slice: for a whole volume np.isin would allocate an eight-byte index per voxel.
    undeclared = sum(int((~np.isin(part, declared)).sum()) for part in case.labels)
    return CheckResult.of("labels_declared", float(undeclared), high=0)


def labels_legal(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:  # noqa: ARG001
    """Number of ways in which a drawn label map is unlike those of training; allowed: ``limits.label_problems``."""
    problems = (case.provenance or {}).get("label_problems")
    if problems is None:
        return CheckResult.skipped("labels_legal", "the label map was not drawn by the method")
    return CheckResult.of("labels_legal", float(len(problems)), high=limits.label_problems)


def mask_not_empty(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:  # noqa: ARG001
    """Number of labeled voxels; required: at least one, if every training case has some."""
    if case.labels is None:
        return CheckResult.skipped("mask_not_empty", NO_LABELS)
    if training.fingerprint.foreground[0] == 0:
        return CheckResult.skipped("mask_not_empty", "training has cases without labeled voxels")
    return CheckResult.of("mask_not_empty", float((case.labels > 0).sum()), low=1)


def foreground_share(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:
    """Fraction of labeled voxels; allowed: the range seen in training, widened by ``limits.foreground``."""
    if case.labels is None:
        return CheckResult.skipped("foreground_share", NO_LABELS)
    least, most = training.fingerprint.foreground
    low, high = limits.foreground[0] * least, min(limits.foreground[1] * most, 1.0)
    return CheckResult.of("foreground_share", float((case.labels > 0).mean()), low, high)


def components(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:
    """Number of connected components of labeled voxels; allowed: ``limits.components`` times the most in training."""
    if case.labels is None:
        return CheckResult.skipped("components", NO_LABELS)
    most = training.fingerprint.components
    return CheckResult.of("components", count_components(case.labels), high=limits.components * most)
