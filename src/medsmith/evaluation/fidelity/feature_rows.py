"""The features that are compared together: all of an extractor, and each of its parts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64

from medsmith.evaluation.fidelity.cohort_features import CohortFeatures
from medsmith.evaluation.fidelity.comparison import Comparison, ComparisonPlan, compare
from medsmith.evaluation.fidelity.coverage import COVERAGE, DENSITY
from medsmith.evaluation.fidelity.extractors import WHOLE, Extractor
from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.kernel import GAUSSIAN, KID
from medsmith.evaluation.fidelity.permutation import PermutationTest, permutation_test
from medsmith.evaluation.fidelity.radiomics import Radiomics, standardize
from medsmith.evaluation.fidelity.statistic import Distance
from medsmith.evaluation.fidelity.views import ViewSpec

STATISTICS = (FRECHET, KID, GAUSSIAN, DENSITY, COVERAGE)


@final
@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Features of both cohorts that are compared together.

    Attributes:
        name: of the extractor, and of the part of its features.
        real: of the real cohort.
        synthetic: of the synthetic cohort.
        together: what a statistic of them is.
        tested: the same of both cohorts, for the permutation test, in units that do not depend on which case is real.
    """

    name: str
    real: Float64[np.ndarray, "n d"]
    synthetic: Float64[np.ndarray, "m d"]
    together: Callable[[Distance], Distance]
    tested: tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]]

    def compare(self, plan: ComparisonPlan) -> dict[str, Comparison]:
        """All statistics by name."""
        return {each.name: compare(self.together(each), self.real, self.synthetic, plan) for each in STATISTICS}

    def test(self, plan: ComparisonPlan) -> PermutationTest:
        """Whether both may be of one distribution."""
        return permutation_test(*self.tested, seed=plan.seed)


def feature_rows(
    real: CohortFeatures, synthetic: CohortFeatures, extractors: Sequence[Extractor], view_spec: ViewSpec
) -> Iterator[FeatureRows]:
    """All features of every extractor, then each part of them."""
    for extractor in extractors:
        x, y = real.features[extractor.name], synthetic.features[extractor.name]
        u, v = x, y
        if extractor.name == Radiomics.name:
            pooled, _ = standardize(np.concatenate([x, y]), y)
            u, v = pooled[: len(x)], pooled[len(x) :]
            x, y = standardize(x, y)
        parts = extractor.parts(view_spec)
        yield FeatureRows(extractor.name, x, y, parts.together, (u, v))
        for part, of in parts.columns.items():
            name, tested = f"{extractor.name}, {part}", (u[:, of], v[:, of])
            yield FeatureRows(name, x[:, of], y[:, of], WHOLE.together, tested)
