"""The power to show equivalence to chance, and the images it takes with given readers.

The variance of an average over readers has parts that more images make smaller and one that only more readers do. In
the model of Obuchowski and Rockette (1995), MS(R), the variance between r readers, has the expectation
reader + own(n) with own(n) = V - Cov: V is the variance of one reader's number over n images and Cov the covariance of
two readers'. V and Cov are proportional to 1 / n. The power is that of the two one-sided tests with Hillis' degrees of
freedom where readers truly guess: MS(R) is a multiple of chi square with r - 1 degrees of freedom, independent of the
average.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64
from scipy import stats

from medsmith.evaluation.sample_size import least_count

LEVEL, POWER = 0.05, 0.8
_QUANTILES = 400
_MOST_IMAGES = 1_000_000
_LEAST_SHARE = 1e-4
"""Share of MS(R) in the variance below which Student's distribution is the normal one."""


@final
@dataclass(frozen=True)
class VarianceParts:
    """The parts of the variance of an average over readers.

    Attributes:
        reader: variance of the readers' true numbers, which no image makes smaller.
        shared: covariance of the errors of two readers of the same images, Cov.
        own: variance of the error that a reader does not share with others, V - Cov.
    """

    reader: float
    shared: float
    own: float

    def with_images(self, factor: float) -> "VarianceParts":
        """The parts with so many times the images."""
        return VarianceParts(self.reader, self.shared / factor, self.own / factor)

    def variance(self, readers: int) -> float:
        """Variance of the average of so many readers."""
        return (self.reader + self.own) / readers + self.shared


def equivalence_power(parts: VarianceParts, readers: int, margin: float) -> float:
    """Probability that equivalence is shown at 5 % by readers who truly guess.

    Args:
        parts: of the variance with the images of the study.
        readers: their number; one reader is fixed, and the normal distribution holds.
        margin: half width of the range that counts as chance.
    """
    error = np.sqrt(parts.variance(readers))
    if error == 0:
        return 1.0
    half = stats.norm.ppf(1 - LEVEL) * error if readers == 1 else _half_intervals(parts, readers)
    return float(np.mean(np.clip(2 * stats.norm.cdf((margin - half) / error) - 1, 0, 1)))


def images_needed(parts: VarianceParts, readers: int, images: int, margin: float) -> int | None:
    """Images with which these readers show equivalence with 80 % power; None where no number of images suffices.

    Args:
        parts: of the variance, as found.
        readers: their number.
        images: with which it was found.
        margin: half width of the range that counts as chance.
    """

    def suffices(count: int) -> bool:
        return equivalence_power(parts.with_images(count / images), readers, margin) >= POWER

    return least_count(suffices, 1, _MOST_IMAGES)


def _half_intervals(parts: VarianceParts, readers: int) -> Float64[np.ndarray, " q"]:
    """Half widths of the 90 % interval at equally likely values of MS(R)."""
    levels = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    between = (parts.reader + parts.own) * stats.chi2.ppf(levels, readers - 1) / (readers - 1)
    total = between + readers * parts.shared
    freedom = (readers - 1) / np.maximum(between / total, _LEAST_SHARE) ** 2
    half: Float64[np.ndarray, " q"] = stats.t.ppf(1 - LEVEL, freedom) * np.sqrt(total / readers)
    return half
