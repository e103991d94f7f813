"""The average over readers, with readers and cases random (Obuchowski and Rockette 1995; Hillis 2014).

Each reader has one number (an AUC, a share of right answers) with an error that depends on the cases. The errors of
readers who read the same cases are correlated. With MS(R) the variance of the numbers between readers and Cov the mean
covariance between the errors of two readers, the variance of the average of r readers is

    (MS(R) + r max(Cov, 0)) / r

with (MS(R) + r max(Cov, 0))^2 / (MS(R)^2 / (r - 1)) degrees of freedom (Hillis, Obuchowski and Berbaum 2011). The
result then holds for other readers and other cases of the same kind. A single reader has no MS(R): the result holds for
this reader.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float, Float64
from scipy import stats

from medsmith.evaluation.reader_study.clusters import covariance_of_means
from medsmith.evaluation.reader_study.power import VarianceParts

RANDOM = "Obuchowski-Rockette with Hillis' degrees of freedom, readers and cases random"
FIXED = "normal, cases random; holds for this reader"


@final
@dataclass(frozen=True)
class ReaderAverage:
    """An average over readers with its standard error.

    Attributes:
        value: the average.
        error: standard error.
        freedom: degrees of freedom; infinite where the normal distribution is used.
        readers: number of readers.
        cases: number of cases that all of them read.
        parts: of the variance: those of the readers and those of the cases.
    """

    value: float
    error: float
    freedom: float
    readers: int
    cases: int
    parts: VarianceParts

    @property
    def method(self) -> str:
        """How the interval was found."""
        return RANDOM if self.readers > 1 else FIXED

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval at this level, within [0, 1]."""
        half = float(stats.t.ppf((1 + level) / 2, self.freedom)) * self.error
        return max(0.0, self.value - half), min(1.0, self.value + half)

    def probability_above(self, bound: float) -> float:
        """The p of the one-sided test of value <= bound against value > bound."""
        if self.error == 0:
            return float(self.value <= bound)
        return float(stats.t.sf((self.value - bound) / self.error, self.freedom))

    def as_json(self) -> Mapping[str, Any]:
        """The average as JSON values."""
        low, high = self.interval()
        freedom = self.freedom if np.isfinite(self.freedom) else None
        return {
            "value": self.value,
            "low": low,
            "high": high,
            "standard_error": self.error,
            "variance_parts": asdict(self.parts),
            "degrees_of_freedom": freedom,
            "readers": self.readers,
            "cases": self.cases,
            "interval": self.method,
        }


def average_over_readers(
    values: Float[np.ndarray, " r"], covariance: Float64[np.ndarray, "r r"], cases: int
) -> ReaderAverage:
    """The average of one number per reader.

    Args:
        values: one per reader.
        covariance: of their errors over cases.
        cases: number of cases that all readers read.
    """
    count, mean = len(values), float(np.mean(values))
    between = float(np.var(values, ddof=1)) if count > 1 else 0.0
    single = float(np.diag(covariance).mean())
    shared = max(float(covariance[~np.eye(count, dtype=bool)].mean()) if count > 1 else single, 0.0)
    total = between + count * shared
    if total == 0:  # all readers right, or wrong, in every case: half a case is added, as for d' and c
        share = (mean * cases + 0.5) / (cases + 1)
        variance = share * (1 - share) / cases
        return ReaderAverage(mean, float(np.sqrt(variance)), np.inf, count, cases, VarianceParts(0.0, variance, 0.0))
    freedom = total**2 / (between**2 / (count - 1)) if between > 0 else np.inf
    own = max(single - shared, 0.0)
    parts = VarianceParts(max(between - own, 0.0), shared, own)
    return ReaderAverage(mean, float(np.sqrt(total / count)), float(freedom), count, cases, parts)


def outcome_covariance(
    outcomes: Float[np.ndarray, "r n"], patients: np.ndarray | None = None
) -> Float64[np.ndarray, "r r"]:
    """Covariance of the readers' shares of right answers.

    A pair depends on the others with its real patient and on those with its synthetic one. The sum of the two
    clustered covariances has what both share twice, and this is subtracted (Cameron, Gelbach and Miller 2011).

    Args:
        outcomes: 1 for a right answer and 0 for a wrong one, per reader and pair.
        patients: n x 2, the real and the synthetic patient of each pair; None: each image is of another one.
    """
    if patients is None:
        return covariance_of_means(outcomes, None)
    real, synthetic = (np.unique(column, return_inverse=True)[1] for column in patients.T)
    both = real * (synthetic.max() + 1) + synthetic
    parts = [covariance_of_means(outcomes, owners) for owners in (real, synthetic, both)]
    covariance: Float64[np.ndarray, "r r"] = parts[0] + parts[1] - parts[2]
    return covariance
