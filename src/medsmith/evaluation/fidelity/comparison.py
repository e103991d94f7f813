"""Compares a real with a synthetic sample by a statistic, and with its floor: two real samples of the same size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64, Int

from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.half_samples import corrected_factor, interval_of, interval_of_difference
from medsmith.evaluation.fidelity.statistic import Distance, Sampled, Statistic

Rows = Int[np.ndarray, "_"]
Stack = Int[np.ndarray, "s _"]
MIN_HALVED = 4
_CELLS = 4_000_000


@final
@dataclass(frozen=True)
class ComparisonPlan:
    """Number of random splits of a comparison, and of halvings for its intervals.

    Attributes:
        splits: random splits of the real cohort into disjoint halves, each with a sample of the synthetic cohort.
        halvings: random halvings of both cohorts, on which the jackknife is corrected.
        seed: of the splits and halvings.
    """

    splits: int = 4
    halvings: int = 16
    seed: int = 0


@final
@dataclass(frozen=True)
class Comparison:
    """A statistic with its floor.

    Attributes:
        synthetic: real against synthetic, n cases each; mean over splits.
        floor: real against disjoint real, n cases each; mean over splits.
        excess: synthetic minus floor; both use the same real samples, which cancels part of their sampling error.
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
class _Estimator:
    """The three parts (synthetic, floor, excess) on some cases, with their jackknife variance.

    Attributes:
        values: of the parts.
        jackknife: variance of each part by leaving out one case at a time.
    """

    values: Float64[np.ndarray, " 3"]
    jackknife: Float64[np.ndarray, " 3"]


def compare(
    distance: Distance, real: Float64[np.ndarray, "n d"], synthetic: Float64[np.ndarray, "m d"], plan: ComparisonPlan
) -> Comparison:
    """Compute a statistic at the largest sample size for which two disjoint real samples exist.

    What is estimated, and covered by the intervals, is the expected statistic of two independent samples of that
    size: real and synthetic, real and real, and the difference of both.

    Args:
        distance: the statistic.
        real: features of the real cohort.
        synthetic: features of the synthetic cohort.
        plan: number of splits and halvings.
    """
    size, rng = min(len(real) // 2, len(synthetic)), np.random.default_rng(plan.seed)
    statistic = distance.prepare(np.concatenate([real, synthetic]))
    rows = np.arange(len(real)), len(real) + np.arange(len(synthetic))
    found = _estimate(statistic, rows, plan.splits, rng)
    halves = [_halves(statistic, rows, plan.splits, rng) for _ in range(plan.halvings)] if size >= MIN_HALVED else []
    variances = found.jackknife * corrected_factor(
        np.array([[half.values for half in pair] for pair in halves]),
        np.array([[half.jackknife for half in pair] for pair in halves]),
    )
    of_synthetic, of_floor = (
        interval_of(float(value), float(variance), size, distance.bounds)
        for value, variance in zip(found.values[:2], variances[:2], strict=True)
    )
    excess = interval_of_difference(float(found.values[2]), float(variances[2]), size, distance.bounds)
    return Comparison(of_synthetic, of_floor, excess, _whole(distance, statistic, rows, plan))


def _estimate(statistic: Statistic, rows: tuple[Rows, Rows], splits: int, rng: np.random.Generator) -> _Estimator:
    """The three parts, each the mean over random splits of the real cases into two samples."""
    real, made = rows
    size = min(len(real) // 2, len(made))
    order = np.array([rng.permutation(real)[: 2 * size] for _ in range(splits)])
    drawn = np.array([rng.permutation(made) for _ in range(splits)])
    first, second = order[:, :size], order[:, size:]
    # If there are twice as many synthetic cases as needed, the two samples of them are disjoint.
    pairs = ((first, drawn[:, :size]), (second, drawn[:, -size:]), (first, second))
    one, other, floor = (_in_chunks(statistic, *pair) for pair in pairs)
    values = np.array([(one.values.mean() + other.values.mean()) / 2, floor.values.mean()])
    moved = np.zeros((3, int(max(real.max(), made.max())) + 1))
    for part, found, pair in ((0, one, pairs[0]), (0, other, pairs[1]), (1, floor, pairs[2])):
        weight = (1 if part else 0.5) / splits
        np.add.at(moved[part], pair[0], weight * found.of_x)
        np.add.at(moved[part], pair[1], weight * found.of_y)
    moved[2] = moved[0] - moved[1]
    return _Estimator(np.append(values, values[0] - values[1]), (moved**2).sum(1) * (size - 1) / size)


def _halves(
    statistic: Statistic, rows: tuple[Rows, Rows], splits: int, rng: np.random.Generator
) -> tuple[_Estimator, _Estimator]:
    """The three parts on two disjoint halves of both cohorts."""
    real, made = (rng.permutation(side) for side in rows)
    at, half = len(real) // 2, len(made) // 2
    return (
        _estimate(statistic, (real[:at], made[:half]), splits, rng),
        _estimate(statistic, (real[at : 2 * at], made[half : 2 * half]), splits, rng),
    )


def _in_chunks(statistic: Statistic, of_x: Stack, of_y: Stack) -> Sampled:
    """The statistic of all pairs of samples, as many at a time as memory allows."""
    step = max(1, _CELLS // (of_x.shape[1] * of_y.shape[1]))
    found = [statistic(of_x[at : at + step], of_y[at : at + step]) for at in range(0, len(of_x), step)]
    return Sampled(
        np.concatenate([part.values for part in found]),
        np.concatenate([part.of_x for part in found]),
        np.concatenate([part.of_y for part in found]),
    )


def _whole(distance: Distance, statistic: Statistic, rows: tuple[Rows, Rows], plan: ComparisonPlan) -> Estimate:
    """Real against synthetic at the largest common number of cases."""
    rng = np.random.default_rng(plan.seed)
    size = min(map(len, rows))
    real, made = (rng.permutation(side)[:size] for side in rows)
    value, variance = _with_variance(statistic(real[None], made[None]))
    pairs, half = [], size // 2
    for _ in range(plan.halvings if size >= MIN_HALVED else 0):
        one, other = rng.permutation(real), rng.permutation(made)
        cuts = (slice(half), slice(half, 2 * half))
        pairs.append([_with_variance(statistic(one[None, cut], other[None, cut])) for cut in cuts])
    halves = np.array(pairs).reshape(len(pairs), 2, 2, 1) if pairs else np.zeros((0, 2, 2, 1))
    factor = corrected_factor(halves[:, :, 0], halves[:, :, 1])
    return interval_of(value, variance * float(factor[0]), size, distance.bounds)


def _with_variance(found: Sampled) -> tuple[float, float]:
    """Value and jackknife variance of a single pair of samples."""
    count = found.of_x.shape[1]
    squares = (found.of_x**2).sum() + (found.of_y**2).sum()
    return float(found.values[0]), float(squares) * (count - 1) / count
