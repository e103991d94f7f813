"""Area under the ROC curve from ratings, with DeLong's variances.

A rating is higher the more certain the reader is that the image is synthetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Float64
from scipy import optimize, stats

from medsmith.evaluation.fidelity.bootstrap import LEVEL, Estimate
from medsmith.evaluation.reader_study.clusters import covariance_of_means

_TINY = 1e-9


@final
@dataclass(frozen=True, eq=False)
class Placements:
    """Structural components of an AUC (DeLong, DeLong and Clarke-Pearson 1988, equations 3 and 4).

    Attributes:
        real: per real image, the share of synthetic images rated higher; ties count half.
        synthetic: per synthetic image, the share of real images rated lower.
        real_patients: of the real images; None: each image is of another patient.
        synthetic_patients: of the synthetic images, likewise; they are taken as other patients than the real ones.
    """

    real: Float64[np.ndarray, " n"]
    synthetic: Float64[np.ndarray, " m"]
    real_patients: np.ndarray | None = None
    synthetic_patients: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        real: Float[np.ndarray, " n"],
        synthetic: Float[np.ndarray, " m"],
        real_patients: np.ndarray | None = None,
        synthetic_patients: np.ndarray | None = None,
    ) -> "Placements":
        """Components of the AUC of two sets of ratings."""
        wins = np.sign(np.subtract.outer(np.asarray(synthetic, float), np.asarray(real, float))) / 2 + 0.5
        return cls(wins.mean(axis=0), wins.mean(axis=1), real_patients, synthetic_patients)

    @property
    def patients(self) -> tuple[int, int]:
        """Numbers of patients of the real and of the synthetic images."""
        kinds = ((self.real, self.real_patients), (self.synthetic, self.synthetic_patients))
        real, synthetic = (len(images if owners is None else np.unique(owners)) for images, owners in kinds)
        return real, synthetic

    @property
    def auc(self) -> float:
        """The area under the empirical ROC curve."""
        return float(self.synthetic.mean())


def delong_covariance(readers: Sequence[Placements]) -> Float64[np.ndarray, "readers readers"]:
    """Covariance matrix of the AUCs of readers who read the same images (DeLong et al. 1988, equation 6).

    Where a patient has several images, the components are summed within patients (Obuchowski 1997; see
    ``covariance_of_means``).

    Args:
        readers: one or more, with the images in one order; at least two patients of each kind.
    """
    first = readers[0]
    of_real = covariance_of_means(np.array([r.real for r in readers]), first.real_patients)
    of_synthetic = covariance_of_means(np.array([r.synthetic for r in readers]), first.synthetic_patients)
    covariance: Float64[np.ndarray, "readers readers"] = of_real + of_synthetic
    return covariance


def auc_estimate(placements: Placements) -> Estimate:
    """AUC of one reader with its 95 % interval over patients.

    The interval is DeLong's on the logit scale; where it has none, because the AUC is 0 or 1 or there is a single
    patient of a kind, Newcombe's (2006, method 5) with as many images as there are patients.
    """
    images, (n, m) = len(placements.real) + len(placements.synthetic), placements.patients
    variance = float(delong_covariance([placements])[0, 0]) if min(n, m) > 1 else 0.0
    return _estimate(placements.auc, variance, (n, m), images)


def paired_auc(lower: Float[np.ndarray, " n"], higher: Float[np.ndarray, " n"]) -> Estimate:
    """Probability that a value of the second kind exceeds one of the first, ties counted half, of paired values.

    The values of a pair may depend on each other: a pair is a cluster with one value of each kind, whose structural
    components are added (Obuchowski 1997). The interval is otherwise that of ``auc_estimate``.

    Args:
        lower: of each pair, the value of the kind that should be lower.
        higher: of the same pairs, the other one.
    """
    placements, n = Placements.of(lower, higher), len(lower)
    of_pairs = (placements.real + placements.synthetic)[None]
    variance = float(covariance_of_means(of_pairs, None)[0, 0]) if n > 1 else 0.0
    return _estimate(placements.auc, variance, (n, n), n)


def _estimate(auc: float, variance: float, counts: tuple[int, int], cases: int) -> Estimate:
    if not 0 < auc < 1 or variance <= 0:
        low, high = newcombe_interval(auc, *counts)
        return Estimate(auc, low, high, cases, "Newcombe (method 5)")
    half = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(variance) / (auc * (1 - auc))
    logit = np.log(auc / (1 - auc))
    low, high = (float(1 / (1 + np.exp(-end))) for end in (logit - half, logit + half))
    return Estimate(auc, low, high, cases, "DeLong, logit")


def newcombe_interval(auc: float, n: int, m: int) -> tuple[float, float]:
    """95 % interval of an AUC that needs no variance estimate (Newcombe 2006, method 5).

    The ends solve |auc - t| = z sqrt(V(t)), where V is the variance of Hanley and McNeil (1982) with both sample sizes
    replaced by their mean in the factors of the ties.

    Args:
        auc: the estimate, 0 and 1 included.
        n: images of one kind.
        m: images of the other.
    """
    z, size = stats.norm.ppf((1 + LEVEL) / 2), (n + m) / 2

    def excess(t: float) -> float:
        shape = 1 + (size - 1) * ((1 - t) / (2 - t) + t / (1 + t))
        return float((auc - t) ** 2 - z**2 * t * (1 - t) * shape / (n * m))

    # At 0 and 1 the estimate itself is a root as well.
    low = 0.0 if auc <= 0 else float(optimize.brentq(excess, 0, auc - _TINY))
    high = 1.0 if auc >= 1 else float(optimize.brentq(excess, auc + _TINY, 1))
    return low, high
