"""Compares the masks of two cohorts, label by label and measure by measure."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from medsmith.evaluation.fidelity.bootstrap import proportion
from medsmith.evaluation.fidelity.cohort_features import CohortFeatures
from medsmith.evaluation.fidelity.comparison import ComparisonPlan, compare
from medsmith.evaluation.fidelity.masks import KOLMOGOROV_SMIRNOV
from medsmith.evaluation.fidelity.two_sample_test import TwoSampleTest, corrected, two_sample_test
from medsmith.evaluation.result import PRESENCE, ComparedMeasure, LabelComparison, quartiles
from medsmith.evaluation.scope import MIN_REAL, MIN_SYNTHETIC

Columns = Mapping[str, Float64[np.ndarray, "_"]]


def compare_masks(real: CohortFeatures, synthetic: CohortFeatures, plan: ComparisonPlan) -> dict[str, LabelComparison]:
    """Every label in both cohorts.

    Args:
        real: measures of the real cohort, of which some cases have labels.
        synthetic: likewise.
        plan: of the distances with their floors, and seed of the tests.
    """
    found = {}
    for label, of_real in real.masks.items():
        of_synthetic = synthetic.masks[label]
        counts = [(_count(of_real), len(real.with_labels)), (_count(of_synthetic), len(synthetic.with_labels))]
        both = [name for name in of_real if of_synthetic]
        tests = {name: two_sample_test(of_real[name], of_synthetic[name], seed=plan.seed) for name in both}
        has_it, has_it_too = (np.where(np.arange(total) < count, 1.0, 0.0) for count, total in counts)
        tests = corrected({PRESENCE: two_sample_test(has_it, has_it_too, seed=plan.seed), **tests})
        found[label] = LabelComparison(
            proportion(*counts[0]),
            proportion(*counts[1]),
            tests[PRESENCE],
            {name: _compared(of_real[name], of_synthetic[name], tests[name], plan) for name in both},
        )
    return found


def _compared(
    x: Float64[np.ndarray, " n"], y: Float64[np.ndarray, " m"], test: TwoSampleTest, plan: ComparisonPlan
) -> ComparedMeasure:
    enough = len(x) >= MIN_REAL and len(y) >= MIN_SYNTHETIC
    distance = compare(KOLMOGOROV_SMIRNOV, x[:, None], y[:, None], plan) if enough else None
    return ComparedMeasure(quartiles(x), quartiles(y), distance, test)


def _count(columns: Columns) -> int:
    """Cases that have the label."""
    return max((len(values) for values in columns.values()), default=0)
