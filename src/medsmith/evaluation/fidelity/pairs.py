"""A statistic of two samples, measured at one size against its floor: the same between two real samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64, Int

from medsmith.evaluation.fidelity.bootstrap import Estimate, centred

Rows = Int[np.ndarray, " rows"]


Statistic = Callable[[Rows, Rows], float]
"""A number that compares some rows of one sample with some rows of another; rows may repeat."""
Prepare = Callable[[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]], Statistic]
"""Looks at two samples of features once and answers for any parts of them."""


@final
@dataclass(frozen=True)
class Distance:
    """A statistic by name.

    Attributes:
        name: as it is printed.
        prepare: makes the statistic of two samples.
        bounds: values that it can take.
    """

    name: str
    prepare: Prepare
    bounds: tuple[float, float]


@final
@dataclass(frozen=True)
class Plan:
    """How often and at which sizes samples are compared.

    Attributes:
        draws: disjoint halves of the real cohort and samples of the synthetic one.
        resamples: bootstrap resamples of each draw.
        seed: decides both.
    """

    draws: int = 20
    resamples: int = 25
    seed: int = 0


@final
@dataclass(frozen=True)
class Compared:
    """A statistic with its floor.

    Attributes:
        synthetic: real against synthetic, n cases each: mean over draws.
        floor: real against real, n cases each, disjoint: mean over draws.
        excess: synthetic less floor; both share the first real sample, so that its chance cancels.
        whole: real against synthetic with as many cases as both have; it has no floor of its own.
    """

    synthetic: Estimate
    floor: Estimate
    excess: Estimate
    whole: Estimate

    def as_json(self) -> Mapping[str, object]:
        """Plain numbers for a JSON file."""
        parts = {"synthetic": self.synthetic, "floor": self.floor, "excess": self.excess, "whole": self.whole}
        return {name: part.as_json() for name, part in parts.items()}


@final
@dataclass(frozen=True, eq=False)
class _Draw:
    """One real sample against a synthetic and a disjoint real one; column 0 is the former, column 1 the latter."""

    values: Float64[np.ndarray, " 2"]
    resampled: Float64[np.ndarray, "resamples 2"]

    @property
    def deviations(self) -> Float64[np.ndarray, "resamples 2"]:
        moved: Float64[np.ndarray, "resamples 2"] = self.resampled - self.resampled.mean(axis=0)
        return moved


def compare(
    distance: Distance, real: Float64[np.ndarray, "n d"], synthetic: Float64[np.ndarray, "m d"], plan: Plan
) -> Compared:
    """Measures a statistic at the largest size at which two disjoint real samples exist as well.

    Args:
        distance: which statistic.
        real: features of the real cohort.
        synthetic: features of the synthetic cohort.
        plan: draws and resamples.
    """
    size, rng = min(len(real) // 2, len(synthetic)), np.random.default_rng(plan.seed)
    to_synthetic, to_real = distance.prepare(real, synthetic), distance.prepare(real, real)
    draws = []
    for _ in range(plan.draws):
        order, made = rng.permutation(len(real)), rng.permutation(len(synthetic))[:size]
        samples = (order[:size], made, order[size : 2 * size])
        draws.append(_draw((to_synthetic, to_real), samples, plan.resamples, rng))
    values = np.mean([draw.values for draw in draws], axis=0)
    deviations = np.concatenate([draw.deviations for draw in draws])
    return Compared(
        synthetic=centred(float(values[0]), deviations[:, 0], size, distance.bounds),
        floor=centred(float(values[1]), deviations[:, 1], size, distance.bounds),
        excess=centred(float(values[0] - values[1]), deviations[:, 0] - deviations[:, 1], size, (-np.inf, np.inf)),
        whole=_whole(distance, to_synthetic, (len(real), len(synthetic)), plan),
    )


def _draw(
    statistics: tuple[Statistic, Statistic], samples: tuple[Rows, Rows, Rows], resamples: int, rng: np.random.Generator
) -> _Draw:
    to_synthetic, to_real = statistics

    def both(real: Rows, made: Rows, other: Rows) -> tuple[float, float]:
        return to_synthetic(real, made), to_real(real, other)

    drawn = [both(*(_redrawn(rows, rng) for rows in samples)) for _ in range(resamples)]
    return _Draw(np.array(both(*samples)), np.array(drawn))


def _redrawn(rows: Rows, rng: np.random.Generator) -> Rows:
    """As many rows, drawn with repeats; one row alone, of which KID and covariance say nothing, is drawn again."""
    while True:
        drawn = rng.choice(rows, len(rows))
        if len(rows) == 1 or (drawn != drawn[0]).any():
            return drawn


def _whole(distance: Distance, statistic: Statistic, counts: tuple[int, int], plan: Plan) -> Estimate:
    size, rng = min(counts), np.random.default_rng(plan.seed)
    real, made = (rng.permutation(count)[:size] for count in counts)
    resamples = -(-plan.draws * plan.resamples // 4)
    drawn = np.array([statistic(_redrawn(real, rng), _redrawn(made, rng)) for _ in range(resamples)])
    return centred(statistic(real, made), drawn - drawn.mean(), size, distance.bounds)
