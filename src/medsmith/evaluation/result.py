"""Numerical results of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Float64

from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.comparison import Comparison, ComparisonPlan
from medsmith.evaluation.fidelity.diversity import Diversity
from medsmith.evaluation.fidelity.measured_distance import MeasuredDistance
from medsmith.evaluation.fidelity.permutation import PermutationTest
from medsmith.evaluation.fidelity.two_sample_test import TwoSampleTest
from medsmith.evaluation.fidelity.views import ViewSpec
from medsmith.evaluation.pages.page import WARNING
from medsmith.evaluation.privacy.nearest_neighbors import NearestNeighbors

Quartiles = tuple[float, float, float]
PRESENCE = "share of cases with it"


@final
@dataclass(frozen=True)
class ComparedMeasure:
    """One measure of one label in both cohorts.

    Attributes:
        real: lower quartile, median and upper quartile over the real cases that have the label.
        synthetic: the same over the synthetic cases.
        distance: Kolmogorov-Smirnov distance with its floor; None if too few cases have the label.
        test: whether all values may be of one distribution.
    """

    real: Quartiles
    synthetic: Quartiles
    distance: Comparison | None
    test: TwoSampleTest

    def as_json(self) -> Mapping[str, object]:
        """The comparison as JSON values."""
        distance = self.distance.as_json() if self.distance else None
        return {
            "real_quartiles": self.real,
            "synthetic_quartiles": self.synthetic,
            "kolmogorov_smirnov": distance,
            "permutation_test": self.test.as_json(),
        }


@final
@dataclass(frozen=True)
class LabelComparison:
    """One label in both cohorts.

    Attributes:
        real: proportion of real cases with the label.
        synthetic: proportion of synthetic cases with the label.
        presence: whether both proportions may be one.
        measures: name -> comparison of the measure.
    """

    real: Estimate
    synthetic: Estimate
    presence: TwoSampleTest
    measures: Mapping[str, ComparedMeasure]

    @property
    def tests(self) -> dict[str, TwoSampleTest]:
        """Every test, by what it is of."""
        return {PRESENCE: self.presence, **{name: measure.test for name, measure in self.measures.items()}}

    def as_json(self) -> Mapping[str, object]:
        """The comparison as JSON values."""
        return {
            "real_share_of_cases": self.real.as_json(),
            "synthetic_share_of_cases": self.synthetic.as_json(),
            "share_permutation_test": self.presence.as_json(),
            "measures": {name: measure.as_json() for name, measure in self.measures.items()},
        }


@final
@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results of comparing a synthetic cohort with a real one.

    Attributes:
        view_spec: common grid and gray range of the comparison.
        plan: splits, halvings and seed.
        extractors: name -> SHA-256 or version.
        distances: extractor, or part of its features -> statistic -> comparison of the real with the synthetic cohort.
        nearest_neighbors: nearest training case of every synthetic case; None if images were not compared.
        masks: label -> comparison of its measures.
        facts: hashes, counts, versions.
        left_out: one sentence on each part that could not be compared.
        permutations: extractor, or part of its features -> test of equal distributions.
        diversity: measure -> similarity of images within each cohort; empty if images were not compared.
        seams: AUC of a classifier of painted borders; None if nothing painted is known.
        notes: one sentence on each thing about the cohorts that limits or explains the results.
    """

    view_spec: ViewSpec
    plan: ComparisonPlan
    extractors: Mapping[str, str]
    distances: Mapping[str, Mapping[str, Comparison]]
    nearest_neighbors: NearestNeighbors | None
    masks: Mapping[str, LabelComparison]
    facts: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    permutations: Mapping[str, PermutationTest] = field(default_factory=dict)
    diversity: Mapping[str, Diversity] = field(default_factory=dict)
    seams: Estimate | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """The first statistic of each extractor beside its floor; all of them are on the page."""
        found = [f"{name}: {self._first(name)}" for name in self.extractors if name in self.distances]
        return f"Evaluation({'; '.join((*found, *(f'masks of {label} compared' for label in self.masks)))})"

    def _first(self, extractor: str) -> str:
        statistic, compared = next(iter(self.distances[extractor].items()))
        return f"{statistic} {compared.synthetic}, floor {compared.floor}"

    def measured(self) -> list[MeasuredDistance]:
        """Every distance with all that it depends on."""
        return [
            MeasuredDistance(statistic, name, self._identity(name), self.view_spec.description, compared)
            for name, statistics in self.distances.items()
            for statistic, compared in statistics.items()
        ]

    def _identity(self, name: str) -> str:
        """Of the extractor, whose name may be followed by that of a part."""
        return next(identity for extractor, identity in self.extractors.items() if name.startswith(extractor))

    def as_json(self) -> Mapping[str, object]:
        """All results as JSON values."""
        return {
            "warning": WARNING,
            "facts": dict(self.facts),
            "preprocessing": self.view_spec.description,
            "unit_of_lengths": self.view_spec.unit,
            "plan": {"splits": self.plan.splits, "halvings": self.plan.halvings, "seed": self.plan.seed},
            "extractors": dict(self.extractors),
            "distances": {
                extractor: {name: compared.as_json() for name, compared in statistics.items()}
                for extractor, statistics in self.distances.items()
            },
            "permutation_tests": {name: test.as_json() for name, test in self.permutations.items()},
            "measured": [distance.as_json() for distance in self.measured()],
            "diversity": {name: found.as_json() for name, found in self.diversity.items()},
            "seams": self.seams.as_json() if self.seams else None,
            "nearest_neighbors": self.nearest_neighbors.as_json() if self.nearest_neighbors else None,
            "masks": {name: label.as_json() for name, label in self.masks.items()},
            "left_out": list(self.left_out),
            "notes": list(self.notes),
        }


def quartiles(values: Float64[np.ndarray, " n"]) -> Quartiles:
    """Lower quartile, median and upper quartile."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)
