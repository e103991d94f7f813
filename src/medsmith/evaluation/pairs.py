"""A statistic of two samples, measured at one size against its floor: the same between two real samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64, Int

from medsmith.evaluation.bootstrap import Estimate, centred

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
        whole: real against synthetic with as many cases as both have; it has no floor of its own.
    """

    synthetic: Estimate
    floor: Estimate
    whole: Estimate

    def as_json(self) -> Mapping[str, object]:
        """Plain numbers for a JSON file."""
        parts = {"synthetic": self.synthetic, "floor": self.floor, "whole": self.whole}
        return {name: part.as_json() for name, part in parts.items()}


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
    size = min(len(real) // 2, len(synthetic))
    to_synthetic, to_real = distance.prepare(real, synthetic), distance.prepare(real, real)
    rng = np.random.default_rng(plan.seed)
    measured, floors = [], []
    for _ in range(plan.draws):
        order = rng.permutation(len(real))
        made = rng.permutation(len(synthetic))[:size]
        measured.append(_with_resamples(to_synthetic, order[:size], made, plan.resamples, rng))
        floors.append(_with_resamples(to_real, order[:size], order[size : 2 * size], plan.resamples, rng))
    whole_size = min(len(real), len(synthetic))
    rows, made = rng.permutation(len(real))[:whole_size], rng.permutation(len(synthetic))[:whole_size]
    whole = _with_resamples(to_synthetic, rows, made, -(-plan.draws * plan.resamples // 4), rng)
    return Compared(
        _pooled(measured, size, distance), _pooled(floors, size, distance), _pooled([whole], whole_size, distance)
    )


def _with_resamples(
    statistic: Statistic, x: Rows, y: Rows, resamples: int, rng: np.random.Generator
) -> tuple[float, Float64[np.ndarray, " resamples"]]:
    """The statistic of one draw, and the deviations of its resamples from their mean."""
    drawn = np.array([statistic(rng.choice(x, len(x)), rng.choice(y, len(y))) for _ in range(resamples)])
    return statistic(x, y), drawn - drawn.mean()


def _pooled(draws: list[tuple[float, Float64[np.ndarray, " resamples"]]], size: int, distance: Distance) -> Estimate:
    values, deviations = zip(*draws, strict=True)
    return centred(float(np.mean(values)), np.concatenate(deviations), size, distance.bounds)
