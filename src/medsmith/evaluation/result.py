"""What an evaluation found, as numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64

from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.pairs import Compared, Plan
from medsmith.evaluation.fidelity.views import Viewing
from medsmith.evaluation.pages.page import WARNING
from medsmith.evaluation.privacy.neighbours import Neighbours

Quartiles = tuple[float, float, float]


@final
@dataclass(frozen=True)
class ComparedMeasure:
    """One measure of one label in both cohorts.

    Attributes:
        real: lower quartile, median and upper quartile over the real cases that have the label.
        synthetic: the same over the synthetic cases.
        distance: Kolmogorov-Smirnov distance with its floor; None where fewer than 4 cases have the label.
    """

    real: Quartiles
    synthetic: Quartiles
    distance: Compared | None

    def as_json(self) -> Mapping[str, object]:
        """Plain numbers for a JSON file."""
        distance = self.distance.as_json() if self.distance else None
        return {
            "real_quartiles": self.real,
            "synthetic_quartiles": self.synthetic,
            "kolmogorov_smirnov": distance,
        }


@final
@dataclass(frozen=True)
class LabelComparison:
    """One label in both cohorts.

    Attributes:
        real: share of real cases that have it.
        synthetic: share of synthetic cases that have it.
        measures: by name.
    """

    real: Estimate
    synthetic: Estimate
    measures: Mapping[str, ComparedMeasure]

    def as_json(self) -> Mapping[str, object]:
        """Plain numbers for a JSON file."""
        return {
            "real_share_of_cases": self.real.as_json(),
            "synthetic_share_of_cases": self.synthetic.as_json(),
            "measures": {name: measure.as_json() for name, measure in self.measures.items()},
        }


@final
@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a synthetic cohort compares with a real one.

    Attributes:
        viewing: grid and grey range of the comparison.
        plan: draws, resamples, seed.
        extractors: name -> SHA-256 or version.
        distances: extractor -> statistic -> real against synthetic, with its floor.
        neighbours: nearest training case of every synthetic one; None where images were not compared.
        masks: label -> its measures.
        facts: hashes, counts, versions.
        left_out: a sentence on each thing that could not be compared.
    """

    viewing: Viewing
    plan: Plan
    extractors: Mapping[str, str]
    distances: Mapping[str, Mapping[str, Compared]]
    neighbours: Neighbours | None
    masks: Mapping[str, LabelComparison]
    facts: Mapping[str, str]
    left_out: tuple[str, ...] = ()

    def as_json(self) -> Mapping[str, object]:
        """Everything as plain numbers and text."""
        return {
            "warning": WARNING,
            "facts": dict(self.facts),
            "viewing": self.viewing.sentence,
            "unit_of_lengths": self.viewing.unit,
            "plan": {"draws": self.plan.draws, "resamples": self.plan.resamples, "seed": self.plan.seed},
            "extractors": dict(self.extractors),
            "distances": {
                extractor: {name: compared.as_json() for name, compared in statistics.items()}
                for extractor, statistics in self.distances.items()
            },
            "neighbours": self.neighbours.as_json() if self.neighbours else None,
            "masks": {name: label.as_json() for name, label in self.masks.items()},
            "left_out": list(self.left_out),
        }


def quartiles(values: Float64[np.ndarray, " n"]) -> Quartiles:
    """Lower quartile, median, upper quartile."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)
