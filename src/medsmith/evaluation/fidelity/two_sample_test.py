"""Permutation test whether one measure is distributed alike in two cohorts, by the Kolmogorov-Smirnov distance.

Ties need no correction: every permutation divides the same values, ties among them, in another way.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from medsmith.evaluation.multiple_tests import holm

PERMUTATIONS = 4999
LEVEL = 0.05
"""P value up to which cohorts are said to differ."""
_CELLS = 1_000_000


@final
@dataclass(frozen=True)
class TwoSampleTest:
    """Result of the test of one measure.

    Attributes:
        value: Kolmogorov-Smirnov distance of all cases.
        p: share of the divisions of the cases with at least this distance, the observed one included.
        smallest: p value of the largest distance that any division of these values has.
        real: number of real cases.
        synthetic: number of synthetic cases.
        divisions: all of them where they are at most ``PERMUTATIONS``, else random ones and the observed one.
        corrected: p value by Holm's procedure over the measures of the label.
    """

    value: float
    p: float
    smallest: float
    real: int
    synthetic: int
    divisions: int
    corrected: float = 1.0

    def as_json(self) -> Mapping[str, float | int]:
        """The test as JSON values."""
        return {
            "kolmogorov_smirnov": self.value,
            "p": self.p,
            "p_holm": self.corrected,
            "smallest_possible_p": self.smallest,
            "n_real": self.real,
            "n_synthetic": self.synthetic,
            "divisions": self.divisions,
        }


def two_sample_test(
    real: Float64[np.ndarray, " n"],
    synthetic: Float64[np.ndarray, " m"],
    *,
    seed: int,
    permutations: int = PERMUTATIONS,
) -> TwoSampleTest:
    """Whether a measure may be of one distribution in both cohorts; exact at any number of cases.

    All divisions of the cases into groups of these sizes are compared, or random ones where there are more than
    ``permutations`` (Phipson and Smyth 2010).

    Args:
        real: the measure of at least one case.
        synthetic: likewise.
        seed: of the random divisions.
        permutations: their number.
    """
    n, m = len(real), len(synthetic)
    order = np.argsort(np.concatenate([real, synthetic]), kind="stable")
    values = np.concatenate([real, synthetic])[order]
    ends = np.append(values[1:] != values[:-1], True)
    observed = _distances((order < n)[None], ends, (n, m))[0]
    rows = np.arange(n + m)
    largest = _distances(np.stack([rows < n, rows >= m]), ends, (n, m)).max()
    whole = math.comb(n + m, n) <= permutations
    reached = np.zeros(2, int) if whole else np.ones(2, int)
    divisions = 0 if whole else 1
    for block in _all_divisions(n, m) if whole else _random_divisions(n, m, permutations, seed):
        found = _distances(block, ends, (n, m))
        reached += [np.count_nonzero(found >= observed), np.count_nonzero(found >= largest)]
        divisions += len(block)
    p, smallest = reached / divisions
    return TwoSampleTest(float(observed) / (n * m), float(p), float(smallest), n, m, divisions)


def corrected(tests: Mapping[str, TwoSampleTest]) -> dict[str, TwoSampleTest]:
    """The tests with p values by Holm's procedure over those that can reach ``LEVEL``.

    Others cannot show a difference whatever it is, and count for nothing (Tarone 1990): whether a test is one of them
    follows from the values alone, not from which case is real.
    """
    able = [name for name, test in tests.items() if test.smallest <= LEVEL]
    p_values = holm(np.array([tests[name].p for name in able], np.float64))
    of_able = dict(zip(able, p_values.tolist(), strict=True))
    return {name: replace(test, corrected=of_able.get(name, 1.0)) for name, test in tests.items()}


def can_differ(tests: Mapping[str, TwoSampleTest]) -> bool:
    """Whether any difference of the cohorts, however large, could reach ``LEVEL`` after the correction."""
    able = [test.smallest for test in tests.values() if test.smallest <= LEVEL]
    return bool(able) and min(able) * len(able) <= LEVEL


def _distances(
    in_first: Bool[np.ndarray, "d cases"], ends: Bool[np.ndarray, " cases"], sizes: tuple[int, int]
) -> Int64[np.ndarray, " d"]:
    """Kolmogorov-Smirnov distance of each division of sorted cases, times the product of the sizes: a whole number.

    Args:
        in_first: whether each case, sorted by its value, is in the first group.
        ends: whether it is the last one of its value.
        sizes: of the groups.
    """
    n, m = sizes
    steps = np.where(in_first, np.int64(m), np.int64(-n))
    distances: Int64[np.ndarray, " d"] = np.abs(np.cumsum(steps, axis=1)[:, ends]).max(axis=1)
    return distances


def _all_divisions(n: int, m: int) -> Iterator[Bool[np.ndarray, "d cases"]]:
    chosen = np.array(list(combinations(range(n + m), n)))
    divisions = np.zeros((len(chosen), n + m), bool)
    np.put_along_axis(divisions, chosen, True, axis=1)
    yield divisions


def _random_divisions(n: int, m: int, count: int, seed: int) -> Iterator[Bool[np.ndarray, "d cases"]]:
    rng, first = np.random.default_rng(seed), np.arange(n + m) < n
    size = max(1, _CELLS // (n + m))
    for start in range(0, count, size):
        yield rng.permuted(np.tile(first, (min(size, count - start), 1)), axis=1)
