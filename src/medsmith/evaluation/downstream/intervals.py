"""Intervals over real subsets, seeds and test patients, and the patients that a gain would need."""

from functools import lru_cache
from typing import final

import numpy as np
from jaxtyping import Float64
from scipy import stats

from medsmith.evaluation.fidelity.bootstrap import LEVEL, Estimate
from medsmith.evaluation.fidelity.crossed import CrossedSpread, crossed_spread
from medsmith.evaluation.sample_size import least_count

RESAMPLES = 4000
POWER = 0.8
METHOD = "hierarchical bootstrap over subsets, seeds and test patients"
_NORMAL = float(stats.norm.ppf((1 + LEVEL) / 2))
_MOST_PATIENTS = 1_000_000
Scores = Float64[np.ndarray, "subsets seeds patients"]


@final
class Resamples:
    """Weights of the networks and of the test patients in each resample.

    Subsets are drawn with replacement, then the seeds of each of them, and independently the test patients, by whom
    all networks are tested (Davison and Hinkley 1997, section 3.8; Owen 2007, "The pigeonhole bootstrap").

    Args:
        subsets: number of subsets of real cases.
        seeds: networks of each.
        patients: tested.
        count: number of resamples.
    """

    def __init__(self, subsets: int, seeds: int, patients: int, *, count: int = RESAMPLES) -> None:
        rng = np.random.default_rng([subsets, seeds, patients])
        drawn = np.eye(subsets)[rng.integers(subsets, size=(count, subsets))]
        within = rng.multinomial(seeds, np.full(seeds, 1 / seeds), (count, subsets)) / seeds
        self.networks = np.einsum("rdk,rds->rks", drawn, within).reshape(count, -1) / subsets
        self.patients = rng.multinomial(patients, np.full(patients, 1 / patients), count) / patients

    def means(self, values: Float64[np.ndarray, "*trials subsets seeds patients"]) -> Float64[np.ndarray, "*trials r"]:
        """The mean of each resample."""
        flat = values.reshape(*values.shape[:-3], -1, values.shape[-1])
        return np.asarray(((self.networks @ flat) * self.patients).sum(axis=-1))


@lru_cache(maxsize=8)
def resamples_of(subsets: int, seeds: int, patients: int) -> Resamples:
    """The same resamples for every estimate, so that those of two arms are comparable."""
    return Resamples(subsets, seeds, patients)


def inflation_of(subsets: int, shared: float) -> float:
    """Variance of a mean over subsets that share cases, as a multiple of what independent ones would seem to have.

    If a share o of the cases of two subsets is common to both, a mean that depends on each case alike has the variance
    s^2 / K (1 + (K - 1) o) / (1 - o), where s^2 is the variance found between K subsets.

    Args:
        subsets: K.
        shared: mean o over pairs of subsets, below 1 where there are several.
    """
    return (1 + (subsets - 1) * shared) / (1 - shared) if subsets > 1 else 1.0


def spread_of(values: Scores, shared: float = 0.0) -> CrossedSpread:
    """The spread of the mean; rows are the subsets or, where there is only one, its networks.

    Args:
        values: a score per network and test patient, none missing.
        shared: see ``inflation_of``.
    """
    subsets = len(values)
    return crossed_spread(values.mean(axis=1) if subsets > 1 else values[0], inflation_of(subsets, shared))


def hierarchical_mean(
    values: Scores,
    shared: float = 0.0,
    resamples: Resamples | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """Mean with its 95 % interval over subsets, seeds and test patients.

    The resamples give the shape of the interval. Their standard deviation is that of the crossed design with the
    quantile of Student's distribution, since five subsets resampled spread by a fifth less than five new ones, and
    resampling both networks and patients counts what they do not share twice.

    Args:
        values: a score per subset, seed and test patient, none missing, at least two patients.
        shared: see ``inflation_of``.
        resamples: weights; by default those of ``resamples_of``.
        bounds: of the scores; the interval ends there.
    """
    mean, spread = float(values.mean()), spread_of(values, shared)
    found = (resamples or resamples_of(*values.shape)).means(values) - mean
    scale = float(found.std())
    ends = np.zeros(2)
    if scale > 1e-12 and spread.error > 0:
        shape = np.quantile(found / scale, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        ends = shape * spread.error * spread.quantile(LEVEL) / _NORMAL
    low, high = np.clip(mean + ends, *bounds)
    return Estimate(mean, float(low), float(high), values.shape[2], METHOD)


def patients_needed(spread: CrossedSpread, gain: float) -> int | None:
    """Test patients with which a gain is told from none with 80 % power at 5 %; None where no number suffices.

    Args:
        spread: of the paired differences found.
        gain: in the unit of the scores, above 0.
    """

    def suffices(count: int) -> bool:
        error, freedom = spread.with_columns(count)
        return bool(_errors_needed(freedom) * error <= gain)

    return least_count(suffices, 2, _MOST_PATIENTS)


def least_gain(spread: CrossedSpread) -> float:
    """The gain that these networks and patients tell from none with 80 % power at 5 %."""
    return _errors_needed(spread.freedom) * spread.error


def _errors_needed(freedom: float) -> float:
    """Standard errors that a mean must lie from 0 to be told from it with 80 % power at 5 %."""
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom) + stats.t.ppf(POWER, freedom))
