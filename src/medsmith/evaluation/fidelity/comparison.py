"""Compares a real with a synthetic sample by a statistic, and with its floor: two real samples of the same size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64, Int

from medsmith.evaluation.fidelity.bootstrap import Estimate, centered_interval

Rows = Int[np.ndarray, " rows"]


Statistic = Callable[[Rows, Rows], float]
"""Compares a subset of the rows of one sample with a subset of another; rows may repeat."""
Prepare = Callable[[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]], Statistic]
"""Precomputes a statistic for two samples of features."""


@final
@dataclass(frozen=True)
class Distance:
    """A named statistic of two samples.

    Attributes:
        name: as shown in reports.
        prepare: returns the statistic for two samples.
        bounds: smallest and largest possible value.
    """

    name: str
    prepare: Prepare
    bounds: tuple[float, float]


@final
@dataclass(frozen=True)
class ComparisonPlan:
    """Number of random splits and bootstrap resamples of a comparison.

    Attributes:
        splits: random splits of the real cohort into disjoint halves, each with a sample of the synthetic cohort.
        resamples: bootstrap resamples of each split.
        seed: of the splits and resamples.
    """

    splits: int = 20
    resamples: int = 25
    seed: int = 0


@final
@dataclass(frozen=True)
class Comparison:
    """A statistic with its floor.

    Attributes:
        synthetic: real against synthetic, n cases each; mean over splits.
        floor: real against disjoint real, n cases each; mean over splits.
        excess: synthetic minus floor; both use the same first real sample, which cancels its sampling error.
        whole: real against synthetic at the largest common number of cases; it has no floor.
    """

    synthetic: Estimate
    floor: Estimate
    excess: Estimate
    whole: Estimate

    def as_json(self) -> Mapping[str, object]:
        """The comparison as JSON values."""
        parts = {"synthetic": self.synthetic, "floor": self.floor, "excess": self.excess, "whole": self.whole}
        return {name: part.as_json() for name, part in parts.items()}


@final
@dataclass(frozen=True, eq=False)
class _Split:
    """One real sample against a synthetic one (column 0) and against a disjoint real one (column 1)."""

    values: Float64[np.ndarray, " 2"]
    resampled: Float64[np.ndarray, "resamples 2"]

    @property
    def deviations(self) -> Float64[np.ndarray, "resamples 2"]:
        centered: Float64[np.ndarray, "resamples 2"] = self.resampled - self.resampled.mean(axis=0)
        return centered


def compare(
    distance: Distance, real: Float64[np.ndarray, "n d"], synthetic: Float64[np.ndarray, "m d"], plan: ComparisonPlan
) -> Comparison:
    """Compute a statistic at the largest sample size for which two disjoint real samples exist.

    Args:
        distance: the statistic.
        real: features of the real cohort.
        synthetic: features of the synthetic cohort.
        plan: number of splits and resamples.
    """
    size, rng = min(len(real) // 2, len(synthetic)), np.random.default_rng(plan.seed)
    to_synthetic, to_real = distance.prepare(real, synthetic), distance.prepare(real, real)
    splits = []
    for _ in range(plan.splits):
        order, generated = rng.permutation(len(real)), rng.permutation(len(synthetic))[:size]
        samples = (order[:size], generated, order[size : 2 * size])
        splits.append(_measure_split((to_synthetic, to_real), samples, plan.resamples, rng))
    values = np.mean([split.values for split in splits], axis=0)
    deviations = np.concatenate([split.deviations for split in splits])
    return Comparison(
        synthetic=centered_interval(float(values[0]), deviations[:, 0], size, distance.bounds),
        floor=centered_interval(float(values[1]), deviations[:, 1], size, distance.bounds),
        excess=centered_interval(
            float(values[0] - values[1]), deviations[:, 0] - deviations[:, 1], size, (-np.inf, np.inf)
        ),
        whole=_whole(distance, to_synthetic, (len(real), len(synthetic)), plan),
    )


def _measure_split(
    statistics: tuple[Statistic, Statistic], samples: tuple[Rows, Rows, Rows], resamples: int, rng: np.random.Generator
) -> _Split:
    to_synthetic, to_real = statistics

    def both(real: Rows, generated: Rows, other: Rows) -> tuple[float, float]:
        return to_synthetic(real, generated), to_real(real, other)

    resampled = [both(*(_resample(rows, rng) for rows in samples)) for _ in range(resamples)]
    return _Split(np.array(both(*samples)), np.array(resampled))


def _resample(rows: Rows, rng: np.random.Generator) -> Rows:
    """Sample as many rows with replacement; repeated if all are the same row, for which KID and covariance fail."""
    while True:
        resampled = rng.choice(rows, len(rows))
        if len(rows) == 1 or (resampled != resampled[0]).any():
            return resampled


def _whole(distance: Distance, statistic: Statistic, counts: tuple[int, int], plan: ComparisonPlan) -> Estimate:
    size, rng = min(counts), np.random.default_rng(plan.seed)
    real, generated = (rng.permutation(count)[:size] for count in counts)
    resamples = -(-plan.splits * plan.resamples // 4)
    values = np.array([statistic(_resample(real, rng), _resample(generated, rng)) for _ in range(resamples)])
    return centered_interval(statistic(real, generated), values - values.mean(), size, distance.bounds)
