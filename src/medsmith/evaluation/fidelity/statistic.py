"""A statistic of two samples together with how far every single case moves it (its jackknife)."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int

Leverage = Float64[np.ndarray, "s _"]
"""The statistic minus its value without the case, minus the mean of that over the cases of the sample."""


@final
@dataclass(frozen=True, eq=False)
class Sampled:
    """A statistic of several pairs of samples.

    Attributes:
        values: of each pair.
        of_x: leverage of each case of the first sample.
        of_y: leverage of each case of the second sample.
    """

    values: Float64[np.ndarray, " s"]
    of_x: Leverage
    of_y: Leverage


@runtime_checkable
class Statistic(Protocol):
    """Compares subsets of the rows it was made of."""

    def __call__(self, of_x: Int[np.ndarray, "s i"], of_y: Int[np.ndarray, "s j"]) -> Sampled:
        """Value and jackknife for every pair of subsets; no row may be in a subset twice."""
        ...


Prepare = Callable[[Float64[np.ndarray, "n d"]], Statistic]
"""Precomputes a statistic for the features of all cases, real ones and synthetic ones."""


@final
class Kind(Enum):
    """What a statistic is, on which its interval depends."""

    SMOOTH = "a smooth function of means over cases"
    SHARE = "a share of the cases"
    LARGEST = "the largest of many differences of shares"


@final
@dataclass(frozen=True)
class Distance:
    """A named statistic of two samples.

    Attributes:
        name: as shown in reports.
        prepare: returns the statistic for the features of all cases.
        bounds: smallest and largest possible value.
        kind: what it is.
    """

    name: str
    prepare: Prepare
    bounds: tuple[float, float]
    kind: Kind = Kind.SMOOTH


def value_between(prepare: Prepare, x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> float:
    """A statistic of two whole samples."""
    first, second = np.arange(len(x))[None], len(x) + np.arange(len(y))[None]
    return float(prepare(np.concatenate([x, y]))(first, second).values[0])


def centered(moved: Leverage) -> Leverage:
    """Minus the mean over the cases, which is the effect of the smaller sample."""
    result: Leverage = moved - moved.mean(1, keepdims=True)
    return result
