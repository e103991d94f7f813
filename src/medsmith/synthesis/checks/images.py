"""Checks of the image."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from medsmith.cases.canonical import canonical_case
from medsmith.cases.case import Case
from medsmith.data.fingerprint import HIGH, LOW
from medsmith.data.scaling import gray_to_model
from medsmith.data.similarity import COPY_MEASURES, thumbnails
from medsmith.measurement.noise_level import noise_levels
from medsmith.synthesis.checks.result import CheckResult, Limits
from medsmith.synthesis.checks.training import TrainingFacts

# One gray value of 256 in model space, which is 2 wide.
_GRAY_VALUE = 2 / 256
NO_IMAGE = "the case has no image"


def _finite(image: Float32[np.ndarray, "c x y z"]) -> Iterator[Float32[np.ndarray, " voxels"]]:
    """The finite voxels of each channel; a single zero for a channel without any."""
    for channel in image:
        kept = channel[np.isfinite(channel)]
        yield kept if kept.size else np.zeros(1, np.float32)


def image_finite(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:  # noqa: ARG001
    """Number of voxels that are not finite; allowed: none."""
    if case.image is None:
        return CheckResult.skipped("image_finite", NO_IMAGE)
    return CheckResult.of("image_finite", float((~np.isfinite(case.image)).sum()), high=0)


def image_range(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:
    """How far gray values leave the training range, as a fraction of its width; rejects what no scan shows."""
    if case.image is None:
        return CheckResult.skipped("image_range", NO_IMAGE)
    ranges = training.fingerprint.full_range
    excess = [
        max(low - float(values.min()), float(values.max()) - high, 0.0) / max(high - low, 1e-6)
        for values, (low, high) in zip(_finite(case.image), ranges, strict=True)
    ]
    return CheckResult.of("image_range", max(excess), high=limits.beyond_range)


def image_spread(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:
    """Width between the 0.5 and 99.5 percentiles, relative to the median width in training; rejects flat images."""
    if case.image is None:
        return CheckResult.skipped("image_spread", NO_IMAGE)
    ranges = training.fingerprint.robust_range
    spreads = [
        float(np.subtract(*np.percentile(values, (HIGH, LOW)))) / max(high - low, 1e-6)
        for values, (low, high) in zip(_finite(case.image), ranges, strict=True)
    ]
    return CheckResult.of("image_spread", min(spreads), low=limits.spread)


def image_noise(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:
    """Noise relative to the largest in training; rejects noise instead of an image, and what is left of it in one.

    Both are measured in model space, on the network's grid. Noise below one of 256 gray values counts as that value.
    """
    if case.image is None:
        return CheckResult.skipped("image_noise", NO_IMAGE)
    if training.noise_levels is None:
        return CheckResult.skipped("image_noise", "the run keeps no noise levels to compare with")
    image = gray_to_model(np.nan_to_num(case.image, posinf=0, neginf=0), training.fingerprint).numpy()
    relative = noise_levels(image) / np.maximum(training.noise_levels, _GRAY_VALUE)
    return CheckResult.of("image_noise", float(relative.max()), high=limits.noise)


def not_a_copy(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:  # noqa: ARG001
    """Similarity to the nearest training image; allowed: what different real scenes reach (data/similarity.py)."""
    if case.image is None:
        return CheckResult.skipped("not_a_copy", NO_IMAGE)
    if training.thumbnails is None or training.copy_threshold is None:
        return CheckResult.skipped("not_a_copy", "the run keeps no thumbnails to compare with")
    if training.copy_measure not in COPY_MEASURES:
        return CheckResult.skipped("not_a_copy", "the run's copy threshold is of a measure that is not known here")
    edge = training.thumbnails.shape[1]
    image = np.nan_to_num(canonical_case(case).require_image(), posinf=0, neginf=0)
    scores = COPY_MEASURES[training.copy_measure](thumbnails([image], edge), training.thumbnails)
    return CheckResult.of("not_a_copy", float(scores.max()), high=training.copy_threshold)
