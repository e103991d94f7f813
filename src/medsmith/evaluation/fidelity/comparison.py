"""Compares a real with a synthetic sample by a statistic, and with its floor: two real samples of the same size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
from jaxtyping import Float64, Int

from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.half_samples import (
    Jackknifed,
    Spread,
    correlation_of,
    freedom_of,
    interval_of,
    interval_of_difference,
    spreads,
    spreads_of_largest,
)
from medsmith.evaluation.fidelity.statistic import Distance, Kind, Sampled, Statistic

Stack = Int[np.ndarray, "s _"]
MIN_HALVED = 4
_OF_EQUAL = (False, True, False)
"""Of synthetic, floor and excess: which compare equal distributions."""
_CELLS = 4_000_000


@final
@dataclass(frozen=True)
class ComparisonPlan:
    """Number of random splits of a comparison, and of halvings for its intervals.

    Attributes:
        splits: random splits of the real cohort into disjoint halves, each with a sample of the synthetic cohort.
        halvings: random halvings of both cohorts, by which the jackknife is corrected.
        seed: of the splits, halvings and exchanges.
    """

    splits: int = 4
    halvings: int = 32
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
    rows = np.arange(len(real))[None], len(real) + np.arange(len(synthetic))[None]
    measure = partial(_with_floor, statistic, splits=plan.splits, rng=rng)
    found = measure(rows)
    of_synthetic, of_floor, of_excess = _spreads(distance.kind, measure, found, rows, plan, rng)
    to_synthetic = interval_of(float(found.values[0, 0]), of_synthetic, size, distance.bounds, distance.kind)
    floor = interval_of(float(found.values[0, 1]), of_floor, size, distance.bounds, distance.kind)
    correlation = correlation_of(*map(float, found.jackknife[0]))
    excess = interval_of_difference(to_synthetic, floor, of_excess, correlation, distance.kind)
    return Comparison(to_synthetic, floor, excess, _whole(distance, statistic, rows, plan))


def _spreads(
    kind: Kind,
    measure: Callable[[tuple[Stack, Stack]], Jackknifed],
    found: Jackknifed,
    rows: tuple[Stack, Stack],
    plan: ComparisonPlan,
    rng: np.random.Generator,
) -> list[Spread]:
    """The spread of every part of what was found, by measuring halves and exchanges of the same cases."""
    parts = found.values.shape[1]
    size = min(rows[0].shape[1] // (1 if parts == 1 else 2), rows[1].shape[1])
    halved = measure(_halves(rows, plan.halvings, rng)) if size >= MIN_HALVED and plan.halvings else None
    if kind is Kind.LARGEST and plan.halvings:
        return spreads_of_largest(halved, measure(_exchanged(rows, 2 * plan.halvings, rng)), size)
    return spreads(found, halved, size, of_equal=_OF_EQUAL[:parts])


def _with_floor(statistic: Statistic, rows: tuple[Stack, Stack], splits: int, rng: np.random.Generator) -> Jackknifed:
    """Synthetic, floor and excess of each pair of cohorts, each the mean over random splits of the real cases."""
    size = min(rows[0].shape[1] // 2, rows[1].shape[1])
    real, made = (rng.permuted(np.repeat(side, splits, axis=0), axis=1) for side in rows)
    first, second = real[:, :size], real[:, size : 2 * size]
    # If there are twice as many synthetic cases as needed, the two samples of them are disjoint.
    pairs = ((first, made[:, :size]), (second, made[:, -size:]), (first, second))
    found = [_in_chunks(statistic, *pair) for pair in pairs]
    one, other, floor = (part.values.reshape(-1, splits).mean(1) for part in found)
    cases = int(max(side.max() for side in rows)) + 1
    of_one, of_other, of_floor = (_moved(*each, splits, cases) for each in zip(pairs, found, strict=True))
    of_synthetic = (of_one + of_other) / 2
    values = np.stack([(one + other) / 2, floor, (one + other) / 2 - floor], axis=1)
    moved = np.stack([of_synthetic, of_floor, of_synthetic - of_floor], axis=1)
    return Jackknifed(values, (moved**2).sum(2) * (size - 1) / size, freedom_of(moved))


def _moved(pair: tuple[Stack, Stack], found: Sampled, splits: int, cases: int) -> Float64[np.ndarray, "pairs _"]:
    """How far each case moves the mean over the splits of its pair of cohorts."""
    count = len(found.values) // splits
    start = cases * np.repeat(np.arange(count), splits)[:, None]
    total = np.zeros(count * cases)
    for rows, leverage in zip(pair, (found.of_x, found.of_y), strict=True):
        total += np.bincount((rows + start).ravel(), leverage.ravel(), len(total))
    return total.reshape(count, cases) / splits


def _halves(
    rows: tuple[Stack, Stack], halvings: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "h _"], Int[np.ndarray, "h _"]]:
    """Random halves of two cohorts; rows 2 i and 2 i + 1 share no case."""
    real, made = (rng.permuted(np.repeat(side, halvings, axis=0), axis=1) for side in rows)
    at, half = real.shape[1] // 2, made.shape[1] // 2
    return real[:, : 2 * at].reshape(2 * halvings, at), made[:, : 2 * half].reshape(2 * halvings, half)


def _exchanged(
    rows: tuple[Stack, Stack], exchanges: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "e _"], Int[np.ndarray, "e _"]]:
    """Cohorts of the same sizes after random exchanges of cases between them."""
    both = rng.permuted(np.repeat(np.concatenate(rows, axis=1), exchanges, axis=0), axis=1)
    return both[:, : rows[0].shape[1]], both[:, rows[0].shape[1] :]


def _in_chunks(statistic: Statistic, of_x: Stack, of_y: Stack) -> Sampled:
    """The statistic of all pairs of samples, as many at a time as memory allows."""
    step = max(1, _CELLS // (of_x.shape[1] * of_y.shape[1]))
    found = [statistic(of_x[at : at + step], of_y[at : at + step]) for at in range(0, len(of_x), step)]
    return Sampled(
        np.concatenate([part.values for part in found]),
        np.concatenate([part.of_x for part in found]),
        np.concatenate([part.of_y for part in found]),
    )


def _whole(distance: Distance, statistic: Statistic, rows: tuple[Stack, Stack], plan: ComparisonPlan) -> Estimate:
    """Real against synthetic at the largest common number of cases."""
    rng = np.random.default_rng(plan.seed)
    size = min(side.shape[1] for side in rows)
    real, made = (rng.permuted(side, axis=1)[:, :size] for side in rows)
    measure = partial(_alone, statistic)
    found = measure((real, made))
    (spread,) = _spreads(distance.kind, measure, found, (real, made), plan, rng)
    return interval_of(float(found.values[0, 0]), spread, size, distance.bounds, distance.kind)


def _alone(statistic: Statistic, pair: tuple[Stack, Stack]) -> Jackknifed:
    """The statistic of each pair of samples."""
    found = _in_chunks(statistic, *pair)
    count = found.of_x.shape[1]
    moved = np.concatenate([found.of_x, found.of_y], axis=1)[:, None]
    return Jackknifed(found.values[:, None], (moved**2).sum(2) * (count - 1) / count, freedom_of(moved))
