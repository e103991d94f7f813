"""Estimates with 95 % intervals over cases; the case, not the pixel, is the unit of resampling.

Six kinds of interval are used, each named in the results:

- ``BCa bootstrap`` (Efron 1987) for means over cases: corrected for bias and skewness.
- ``jackknife over cases, corrected on half-samples`` for distances between samples (half_samples.py beside). A
  bootstrap is no use there: repeated cases bias a Fréchet distance upward and a coverage downward.
- ``half-samples and exchanges of cases`` for Kolmogorov-Smirnov distances, which have no derivative (there as well).
- ``Student's t`` for means over few cases, of which a bootstrap gives intervals that are too narrow.
- ``Satterthwaite`` (1946) for means over test cases and over subsets of training cases that were drawn again.
- ``Wilson`` (1927) for proportions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Float64
from scipy import stats

from medsmith.evaluation.fidelity.crossed import crossed_spread

LEVEL = 0.95
_BLOCK = 500


@final
@dataclass(frozen=True)
class Estimate:
    """A point estimate with its 95 % interval and number of cases.

    Attributes:
        value: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
        n: number of cases (per cohort, if two are compared).
        interval: method of the interval.
    """

    value: float
    low: float
    high: float
    n: int
    interval: str

    def as_json(self) -> Mapping[str, float | int | str]:
        """The estimate as JSON values."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "interval": self.interval}

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def mean_of_few(
    values: Float64[np.ndarray, " n"], unit: str, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> Estimate:
    """Mean with Student's interval: a bootstrap of few patients is too narrow (false alarms in 13 % at 6 patients).

    Args:
        values: of each patient, at least one known; NaN for one without. A single one has an interval without end.
        unit: what they are of, for the name of the interval: "patients".
        bounds: of the values; the interval ends there.
    """
    values = values[~np.isnan(values)]
    mean, count = float(np.mean(values)), len(values)
    error = float(np.std(values, ddof=1) / np.sqrt(count)) if count > 1 else np.inf
    half = float(stats.t.ppf((1 + LEVEL) / 2, max(count - 1, 1))) * error
    low, high = np.clip((mean - half, mean + half), *bounds)
    return Estimate(mean, float(low), float(high), count, f"Student's t over {unit}")


def mean_over_subsets(values: Float64[np.ndarray, "subsets cases"], unit: str) -> Estimate:
    """Mean over subsets of training cases and over test cases, both random, with Satterthwaite's 95 % interval.

    Args:
        values: one per subset and case, none missing. A single subset gives Student's interval over cases.
        unit: what the columns are, for the name of the interval: "patients".

    Raises:
        ValueError: a value is missing.
    """
    if np.isnan(values).any():
        raise ValueError("a value of a subset and case is missing")
    subsets, cases = values.shape
    if subsets == 1 or cases == 1:
        return mean_of_few(values.mean(0 if subsets == 1 else 1), unit if subsets == 1 else "subsets")
    mean, spread = float(values.mean()), crossed_spread(values)
    half = spread.quantile(LEVEL) * spread.error
    return Estimate(mean, mean - half, mean + half, cases, f"Satterthwaite over {subsets} subsets and {unit}")


def mean_of_cases(values: Float[np.ndarray, " n"], *, seed: int, resamples: int = 10_000) -> Estimate:
    """Mean over cases with its BCa bootstrap interval.

    Args:
        values: one value per case; for a paired comparison, the differences.
        seed: of the resampling.
        resamples: number of resamples.
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
    centered = values - values.mean()
    acceleration = (centered**3).sum() / (6 * ((centered**2).sum()) ** 1.5)
    z = z0 + stats.norm.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    levels: Float64[np.ndarray, " 2"] = stats.norm.cdf(z0 + z / (1 - acceleration * z))
    return levels


def proportion(hits: int, n: int) -> Estimate:
    """The proportion hits / n with its Wilson interval."""
    interval = stats.binomtest(hits, n).proportion_ci(LEVEL, method="wilson")
    return Estimate(hits / n, float(interval.low), float(interval.high), n, "Wilson")
