"""Estimates with intervals. Cases are the unit that is drawn again: patients differ, pixels do not vote.

Three intervals are used, each named in what is written:

- ``BCa bootstrap`` (Efron 1987) for means over cases: corrected for bias and skewness.
- ``centred bootstrap`` for distances between samples. A resample holds some cases twice, which by itself moves a
  Fréchet distance up and a coverage down; only its spread is used, laid round the estimate.
- ``Wilson`` (1927) for shares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Float64
from scipy import stats

LEVEL = 0.95
_BLOCK = 500


@final
@dataclass(frozen=True)
class Estimate:
    """A number, its 95 % interval and how many cases it rests on.

    Attributes:
        value: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
        n: cases (of each cohort, where two are compared).
        interval: how the interval was made.
    """

    value: float
    low: float
    high: float
    n: int
    interval: str

    def as_json(self) -> Mapping[str, float | int | str]:
        """Plain numbers for a JSON file."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "interval": self.interval}

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def mean_of_cases(values: Float[np.ndarray, " n"], *, seed: int, resamples: int = 10_000) -> Estimate:
    """Mean over cases with its BCa bootstrap interval.

    Args:
        values: one number per case; paired differences are passed as differences.
        seed: decides the resamples.
        resamples: how many.
    """
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return Estimate(mean, mean, mean, len(values), "BCa bootstrap over cases")
    means = np.sort(_resampled_means(values, seed, resamples))
    low, high = np.quantile(means, _bca_levels(values, means))
    return Estimate(mean, float(low), float(high), len(values), "BCa bootstrap over cases")


def _resampled_means(values: Float64[np.ndarray, " n"], seed: int, resamples: int) -> Float64[np.ndarray, " resamples"]:
    rng = np.random.default_rng(seed)
    blocks = [min(_BLOCK, resamples - start) for start in range(0, resamples, _BLOCK)]
    return np.concatenate([values[rng.integers(0, len(values), (size, len(values)))].mean(axis=1) for size in blocks])


def _bca_levels(
    values: Float64[np.ndarray, " n"], means: Float64[np.ndarray, " resamples"]
) -> Float64[np.ndarray, " 2"]:
    """Quantile levels corrected for bias z0 and acceleration a (Efron 1987, equation 3.9)."""
    below = (np.count_nonzero(means < values.mean()) + np.count_nonzero(means <= values.mean())) / 2
    z0 = stats.norm.ppf(np.clip(below / len(means), 1 / len(means), 1 - 1 / len(means)))
    # The jackknife of a mean: leaving case i out moves it by (mean - value_i) / (n - 1).
    moved = values - values.mean()
    acceleration = (moved**3).sum() / (6 * ((moved**2).sum()) ** 1.5)
    z = z0 + stats.norm.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    levels: Float64[np.ndarray, " 2"] = stats.norm.cdf(z0 + z / (1 - acceleration * z))
    return levels


def centred(
    value: float, deviations: Float64[np.ndarray, " resamples"], n: int, bounds: tuple[float, float]
) -> Estimate:
    """An estimate with the spread of its resamples laid round it.

    Args:
        value: the estimate.
        deviations: resampled statistics, less the mean of their own draw.
        n: cases of each cohort.
        bounds: values that the statistic can take at all; the interval ends there.
    """
    ends = value + np.quantile(deviations, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = np.clip(ends, *bounds)
    return Estimate(value, float(low), float(high), n, "centred bootstrap over cases")


def share(hits: int, n: int) -> Estimate:
    """A share of n cases with its Wilson interval."""
    interval = stats.binomtest(hits, n).proportion_ci(LEVEL, method="wilson")
    return Estimate(hits / n, float(interval.low), float(interval.high), n, "Wilson")
