"""Permutation test of equal distributions by the Gaussian maximum mean discrepancy (Gretton et al. 2012)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float64

from medsmith.evaluation.fidelity.kernel import gaussian_kernel
from medsmith.evaluation.multiple_tests import holm

PERMUTATIONS = 999
_BLOCK = 250


@final
@dataclass(frozen=True)
class PermutationTest:
    """Result of a permutation test.

    Attributes:
        value: squared Gaussian MMD of the two whole samples, unbiased.
        p: share of the permutations of real and synthetic cases, the observed one included, with at least this value.
        real: number of real cases.
        synthetic: number of synthetic cases.
        permutations: how many, at random.
        corrected: p value by Holm's procedure over all features that are compared.
    """

    value: float
    p: float
    real: int
    synthetic: int
    permutations: int
    corrected: float = 1.0

    def as_json(self) -> Mapping[str, float | int]:
        """The test as JSON values."""
        return {
            "gaussian_mmd": self.value,
            "p": self.p,
            "p_holm": self.corrected,
            "n_real": self.real,
            "n_synthetic": self.synthetic,
            "permutations": self.permutations,
        }


def permutation_test(
    real: Float64[np.ndarray, "n d"],
    synthetic: Float64[np.ndarray, "m d"],
    *,
    seed: int,
    permutations: int = PERMUTATIONS,
) -> PermutationTest:
    """Whether two samples may be of one distribution; exact at any sample size (Phipson and Smyth 2010).

    The units of the features must not depend on which case is real.

    The kernel's width is the median distance of all pairs of both samples, which no permutation changes.

    Args:
        real: features of at least two cases.
        synthetic: features of at least two cases.
        seed: of the permutations.
        permutations: their number.
    """
    matrix = gaussian_kernel(np.concatenate([real, synthetic]))
    np.fill_diagonal(matrix, 0)
    rng, count = np.random.default_rng(seed), len(matrix)
    observed = np.arange(count) < len(real)
    value = float(_discrepancies(matrix, observed[None])[0])
    exceeding = 0
    for start in range(0, permutations, _BLOCK):
        drawn = rng.permuted(np.tile(observed, (min(_BLOCK, permutations - start), 1)), axis=1)
        # Rounding must not make a permutation that gives the same groups smaller than the observed value.
        exceeding += int(np.count_nonzero(_discrepancies(matrix, drawn) >= value - 1e-12))
    return PermutationTest(value, (1 + exceeding) / (1 + permutations), len(real), len(synthetic), permutations)


def corrected(tests: Mapping[str, PermutationTest]) -> dict[str, PermutationTest]:
    """The tests with p values corrected for their number by Holm's procedure."""
    p_values = holm(np.array([test.p for test in tests.values()], np.float64))
    return {name: replace(test, corrected=float(p)) for (name, test), p in zip(tests.items(), p_values, strict=True)}


def _discrepancies(
    matrix: Float64[np.ndarray, "n n"], in_first: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
) -> Float64[np.ndarray, " p"]:
    """Unbiased MMD of every division of the cases into two groups."""
    first = in_first.astype(np.float64)
    second = 1 - first
    n, m = first[0].sum(), second[0].sum()
    of_first, of_second = first @ matrix, second @ matrix
    within = (of_first * first).sum(1) / (n * (n - 1)) + (of_second * second).sum(1) / (m * (m - 1))
    values: Float64[np.ndarray, " p"] = within - 2 * (of_first * second).sum(1) / (n * m)
    return values
