"""Checks of the image."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from medsmith.case import Case
from medsmith.checks.training import TrainingFacts
from medsmith.checks.verdict import Limits, Verdict
from medsmith.data.fingerprint import HIGH, LOW
from medsmith.data.similarity import nearest, thumbnails

# Rounding to float32 on the way from model space to stored units, as a share of the range.
_ROUNDING = 1e-3


def _finite(case: Case) -> Iterator[Float32[np.ndarray, " voxels"]]:
    """The finite voxels of each channel; a zero where there is none."""
    for channel in case.image:
        kept = channel[np.isfinite(channel)]
        yield kept if kept.size else np.zeros(1, np.float32)


def image_finite(case: Case, training: TrainingFacts, limits: Limits) -> Verdict:  # noqa: ARG001
    """Voxels that are not finite: none."""
    return Verdict.of("image_finite", float((~np.isfinite(case.image)).sum()), high=0)


def image_range(case: Case, training: TrainingFacts, limits: Limits) -> Verdict:  # noqa: ARG001
    """How far grey values leave the range seen in training, as a share of its width: not at all."""
    ranges = training.fingerprint.full_range
    excess = [
        max(low - float(values.min()), float(values.max()) - high, 0.0) / max(high - low, 1e-6)
        for values, (low, high) in zip(_finite(case), ranges, strict=True)
    ]
    return Verdict.of("image_range", max(excess), high=_ROUNDING)


def image_spread(case: Case, training: TrainingFacts, limits: Limits) -> Verdict:
    """Spread between the 0.5 and 99.5 percentiles, as a share of training's median: the image is not constant."""
    ranges = training.fingerprint.robust_range
    spreads = [
        float(np.subtract(*np.percentile(values, (HIGH, LOW)))) / max(high - low, 1e-6)
        for values, (low, high) in zip(_finite(case), ranges, strict=True)
    ]
    return Verdict.of("image_spread", min(spreads), low=limits.spread)


def not_a_copy(case: Case, training: TrainingFacts, limits: Limits) -> Verdict:  # noqa: ARG001
    """Similarity to the nearest training image: no more than different real scenes reach (data/similarity.py)."""
    if training.thumbnails is None or training.copy_threshold is None:
        return Verdict.not_made("not_a_copy", "the run keeps no thumbnails of its training cohort")
    edge = training.thumbnails.shape[1]
    scores, _ = nearest(thumbnails([np.nan_to_num(case.image, posinf=0, neginf=0)], edge), training.thumbnails)
    return Verdict.of("not_a_copy", float(scores[0]), high=training.copy_threshold)
