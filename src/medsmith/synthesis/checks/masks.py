"""Checks of the label map."""

import numpy as np

from medsmith.cases.case import Case
from medsmith.data.fingerprint import count_components
from medsmith.synthesis.checks.training import TrainingFacts
from medsmith.synthesis.checks.verdict import Limits, Verdict

NO_LABELS = "the case has no labels"


def labels_declared(case: Case, training: TrainingFacts, limits: Limits) -> Verdict:  # noqa: ARG001
    """Voxels whose label nobody declared: none."""
    if case.labels is None:
        return Verdict.not_made("labels_declared", NO_LABELS)
    declared = list(training.fingerprint.label_names.values())
    # By slices: looked up at once, every voxel would take eight bytes for an index.
    strange = sum(int((~np.isin(part, declared)).sum()) for part in case.labels)
    return Verdict.of("labels_declared", float(strange), high=0)


def mask_not_empty(case: Case, training: TrainingFacts, limits: Limits) -> Verdict:  # noqa: ARG001
    """Labelled voxels: at least one, if every training case has some."""
    if case.labels is None:
        return Verdict.not_made("mask_not_empty", NO_LABELS)
    if training.fingerprint.foreground[0] == 0:
        return Verdict.not_made("mask_not_empty", "training has cases without labelled voxels")
    return Verdict.of("mask_not_empty", float((case.labels > 0).sum()), low=1)


def foreground_share(case: Case, training: TrainingFacts, limits: Limits) -> Verdict:
    """Share of labelled voxels: within the range seen in training, with a tolerance."""
    if case.labels is None:
        return Verdict.not_made("foreground_share", NO_LABELS)
    least, most = training.fingerprint.foreground
    low, high = limits.foreground[0] * least, min(limits.foreground[1] * most, 1.0)
    return Verdict.of("foreground_share", float((case.labels > 0).mean()), low, high)


def components(case: Case, training: TrainingFacts, limits: Limits) -> Verdict:  # noqa: ARG001
    """Connected components of labelled voxels: no more than any training case has."""
    if case.labels is None:
        return Verdict.not_made("components", NO_LABELS)
    return Verdict.of("components", count_components(case.labels), high=training.fingerprint.components)
