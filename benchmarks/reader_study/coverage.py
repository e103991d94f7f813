"""How often the intervals of a reader study contain the truth: simulated readers and images (Roe and Metz 1997).

Run: python benchmarks/reader_study/coverage.py
"""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy import stats

from medsmith.evaluation.reader_study.auc import Placements, delong_covariance
from medsmith.evaluation.reader_study.equivalence import EquivalenceTest
from medsmith.evaluation.reader_study.readers import average_over_readers

STUDIES = 3000
SETTINGS = ((3, 36, 0.0), (3, 36, 0.3), (3, 60, 0.0), (3, 100, 0.0), (5, 100, 0.2), (8, 100, 0.2))


def coverage(readers: int, cases: int, spread: float) -> tuple[float, float, float]:
    """Shares of studies whose interval contains the truth, and that show equivalence: guessing, and at the margin.

    Args:
        readers: number of readers.
        cases: images of each kind.
        spread: standard deviation of the readers' d'.
    """
    rng = np.random.default_rng(0)
    inside = 0
    shown = {0.5: 0, 0.6: 0}
    for truth in shown:
        skill = float(stats.norm.ppf(truth)) * np.sqrt(2 + spread**2)
        for _ in range(STUDIES):
            skills = skill + rng.normal(0, spread, readers)
            real, synthetic = (rng.normal(0, 0.6, cases) + rng.normal(0, 0.8, (readers, cases)) for _ in range(2))
            placements = [Placements.of(r, s + d) for r, s, d in zip(real, synthetic, skills, strict=True)]
            average = average_over_readers(np.array([p.auc for p in placements]), delong_covariance(placements), cases)
            low, high = average.interval()
            inside += low <= truth <= high
            shown[truth] += EquivalenceTest(average, 0.1, 0.1).equivalent
    return inside / (2 * STUDIES), shown[0.5] / STUDIES, shown[0.6] / STUDIES


def main() -> None:
    """A row for every setting."""
    print("readers  images of each kind  sd of d'  95 % interval  equivalent: guessing  AUC .6 (false)")
    with ProcessPoolExecutor() as pool:
        for setting, row in zip(SETTINGS, pool.map(coverage, *zip(*SETTINGS, strict=True)), strict=True):
            print("{:>7}  {:>19}  {:>8}".format(*setting), "  {:>12.3f}  {:>20.3f}  {:>14.3f}".format(*row))


if __name__ == "__main__":
    main()
