"""The naive observer: a linear classifier on simple image statistics that knows no anatomy.

Where it separates the two kinds, they differ in noise, sharpness or gray values; readers may then see the difference
too, and if they do not, equivalence in their eyes does not mean that the images are alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64, UInt16
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.reader_study.auc import Placements, auc_estimate
from medsmith.evaluation.reader_study.plan import SYNTHETIC
from medsmith.evaluation.reader_study.selection import ShownCase

_RINGS, _BINS = 16, 16
_ENOUGH = 20
"""Images of each kind, to learn from and to be tested on: tested on 20, the interval of an AUC of .5 is .33 to .67."""
_QUANTILES = (0.1, 0.5, 0.9, 0.99)
_DESCRIPTION = (
    "logistic regression on the radial power spectrum, the histogram of gray values and quantiles of the gradient, "
    "on the images as readers see them"
)


@final
@dataclass(frozen=True, eq=False)
class NaiveObserver:
    """Result of the naive observer on the cases that it was not trained on.

    Attributes:
        auc: with DeLong's interval.
        trained: real and synthetic cases it was trained on.
        tested: real and synthetic cases it was tested on.
        roc: false and true positive rates.
    """

    auc: Estimate
    trained: tuple[int, int]
    tested: tuple[int, int]
    roc: tuple[tuple[float, float], ...]

    @property
    def line(self) -> str:
        """One sentence for terminal and report."""
        (a, b), (c, d) = self.trained, self.tested
        return (
            f"naive observer: AUC {self.auc.value:.2f} ({self.auc.low:.2f} to {self.auc.high:.2f}) on {c} real and "
            f"{d} synthetic images, trained on {a} and {b} of other patients{self.warning}"
        )

    @property
    def warning(self) -> str:
        """What it means that the interval lies above .5, or that there are few images; else empty."""
        if self.auc.low > 0.5:
            return "; simple image statistics alone tell the two kinds apart"
        if min(*self.trained, *self.tested) >= _ENOUGH:
            return ""
        few = f"fewer than {_ENOUGH} images of a kind to learn from or to be tested on"
        return f"; with {few}, it may overlook what tells the two kinds apart"

    def as_json(self) -> Mapping[str, Any]:
        """The result as JSON values."""
        return {
            "auc": self.auc.as_json(),
            "description": _DESCRIPTION,
            "roc": self.roc,
            "tested": self.tested,
            "trained": self.trained,
            "warning": self.warning,
        }


def naive_observer(
    stacks: Sequence[UInt16[np.ndarray, "_ _ _"]], cases: Sequence[ShownCase], rng: np.random.Generator
) -> NaiveObserver:
    """Trains on one half of the patients of each kind and tests on the other.

    Args:
        stacks: images as readers see them; of a stack the middle slice is used.
        cases: theirs.
        rng: decides the halves.
    """
    features = np.array([_features(stack[len(stack) // 2]) for stack in stacks])
    truth = np.array([case.kind == SYNTHETIC for case in cases])
    training = _halves(cases, rng)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    model.fit(features[training], truth[training])
    scores, signal = model.decision_function(features[~training]), truth[~training]
    owners = np.array([case.patient for case in cases])[~training]
    placements = Placements.of(scores[~signal], scores[signal], owners[~signal], owners[signal])
    sizes = [(int((~truth & part).sum()), int((truth & part).sum())) for part in (training, ~training)]
    return NaiveObserver(auc_estimate(placements), sizes[0], sizes[1], roc_points(scores[~signal], scores[signal]))


def roc_points(
    real: Float64[np.ndarray, " n"], synthetic: Float64[np.ndarray, " m"]
) -> tuple[tuple[float, float], ...]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1); a larger score means synthetic."""
    cuts = np.unique(np.concatenate([real, synthetic]))[::-1]
    return ((0.0, 0.0), *((float((real >= cut).mean()), float((synthetic >= cut).mean())) for cut in cuts))


def _halves(cases: Sequence[ShownCase], rng: np.random.Generator) -> np.ndarray:
    """Whether a case is trained on: patients in random order until half of the cases of its kind are, never all."""
    training = np.zeros(len(cases), bool)
    for kind in sorted({case.kind for case in cases}):
        members = [i for i, case in enumerate(cases) if case.kind == kind]
        for patient in rng.permutation(sorted({cases[i].patient for i in members}))[:-1]:
            if 2 * training[members].sum() < len(members) - 1:
                training[[i for i in members if cases[i].patient == patient]] = True
    return training


def _features(image: UInt16[np.ndarray, "r c"]) -> Float64[np.ndarray, " features"]:
    gray = image.astype(np.float64) / max(int(image.max()), 1)
    gradient = np.hypot(ndimage.sobel(gray, 0), ndimage.sobel(gray, 1))
    histogram = np.histogram(gray, _BINS, (0, 1))[0] / gray.size
    steps = np.quantile(gradient, _QUANTILES)
    return np.concatenate([_spectrum(gray), np.sqrt(histogram), np.log(steps + 1e-4)])


def _spectrum(gray: Float64[np.ndarray, "r c"]) -> Float64[np.ndarray, " rings"]:
    """Logarithm of the mean power in rings of equal width up to half the sampling frequency."""
    taper = np.outer(*(np.hanning(edge) for edge in gray.shape))
    power = np.abs(np.fft.fft2((gray - gray.mean()) * taper)) ** 2
    radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(edge) for edge in gray.shape), indexing="ij"))
    ring = np.minimum((radius / 0.5 * _RINGS).astype(int), _RINGS)
    sums, counts = (np.bincount(ring.ravel(), weights, _RINGS + 1) for weights in (power.ravel(), None))
    rings: Float64[np.ndarray, " rings"] = np.log(sums[:_RINGS] / np.maximum(counts[:_RINGS], 1) + 1e-9)
    return rings
