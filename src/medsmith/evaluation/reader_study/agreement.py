"""Agreement of readers with each other, and of each with himself."""

import numpy as np
from jaxtyping import Int
from sklearn.metrics import cohen_kappa_score


def fleiss_kappa(counts: Int[np.ndarray, "n k"]) -> float | None:
    """Agreement beyond chance of several readers (Fleiss 1971); None if all calls are the same.

    Args:
        counts: per case, how many readers chose each of k categories; as many readers for every case, at least two.
    """
    readers = int(counts[0].sum())
    shares = counts.sum(axis=0) / counts.sum()
    by_chance = float((shares**2).sum())
    if by_chance == 1:
        return None
    observed = ((counts**2).sum(axis=1) - readers) / (readers * (readers - 1))
    return float((observed.mean() - by_chance) / (1 - by_chance))


def cohen_kappa(
    first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"], *, weights: str | None = None
) -> float | None:
    """Agreement beyond chance of two rounds (Cohen 1960); None if all answers of both are the same.

    Args:
        first: answers of the first round.
        second: of the second.
        weights: "quadratic" for ordered answers, None for categories.
    """
    if len(first) == 0 or len(np.unique(np.concatenate([first, second]))) < 2:
        return None
    return float(cohen_kappa_score(first, second, weights=weights))
