"""How often the interval of a paired AUC holds the true value; the result goes to coverage.json beside this file.

python benchmarks/adherence/coverage.py [TRIALS]

Pairs of normal values whose means differ by a shift, with a correlation within pairs; the true AUC is
Phi(shift / sqrt 2), whatever the correlation.
"""

import sys
from pathlib import Path

import numpy as np
from scipy import stats

from medsmith.evaluation.reader_study.auc import paired_auc
from medsmith.formats.atomic import write_json
from medsmith.machine import facts

HERE = Path(__file__).parent
SIZES = (10, 20, 50)
SETTINGS = ((0.0, 0.0), (0.0, 0.7), (0.5, 0.5), (1.0, 0.5), (2.0, 0.7), (3.0, 0.0))


def share_held(n: int, shift: float, correlation: float, trials: int) -> float:
    """Share of the intervals that hold the true AUC."""
    rng, truth, held = np.random.default_rng(0), stats.norm.cdf(shift / np.sqrt(2)), 0
    covariance = [[1, correlation], [correlation, 1]]
    for _ in range(trials):
        lower, higher = rng.multivariate_normal([0, shift], covariance, n).T
        found = paired_auc(lower, higher)
        held += found.low <= truth <= found.high
    return held / trials


def main(trials: int) -> None:
    """Measure, and keep the shares."""
    rows = [
        {"pairs": n, "shift": shift, "correlation": correlation, "held": share_held(n, shift, correlation, trials)}
        for n in SIZES
        for shift, correlation in SETTINGS
    ]
    write_json(HERE / "coverage.json", {"trials": trials, "rows": rows, "facts": facts()})
    for row in rows:
        print(row)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
