"""Paired draws: what is said of two requests that differ in one word, all else and all seeds alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medsmith.evaluation.fidelity.bootstrap import mean_of_cases

RESAMPLES = 2000


def auc(first: np.ndarray, second: np.ndarray) -> float:
    """Share of all couples in which the first is larger; ties count half."""
    differences = first[:, None] - second[None]
    return float((differences > 0).mean() + (differences == 0).mean() / 2)


def summary(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Mapping[str, Any]:
    """AUC, paired difference, share of pairs in order, and AUC with the words of each pair swapped by lot.

    Args:
        first: measured where the word was said that should give more.
        second: measured where its opposite was said; the same pairs.
        seed: of resamples and swaps.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    there = np.isfinite(a) & np.isfinite(b)
    a, b = a[there], b[there]
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(a), (RESAMPLES, len(a)))
    curve = [auc(a[pick], b[pick]) for pick in picks]
    low, high = np.quantile(curve, (0.025, 0.975))
    swapped = rng.random((RESAMPLES, len(a))) < 0.5
    shuffled = [auc(np.where(swap, b, a), np.where(swap, a, b)) for swap in swapped]
    difference = mean_of_cases(a - b, seed=seed)
    return {
        "n": len(a),
        "auc": {"value": round(auc(a, b), 3), "low": round(float(low), 3), "high": round(float(high), 3)},
        "difference": {
            "value": round(difference.value, 3),
            "low": round(difference.low, 3),
            "high": round(difference.high, 3),
        },
        "in_order": round(float((a > b).mean()), 3),
        "shuffled_auc": {
            "mean": round(float(np.mean(shuffled)), 3),
            "low": round(float(np.quantile(shuffled, 0.025)), 3),
            "high": round(float(np.quantile(shuffled, 0.975)), 3),
        },
        "means": [round(float(a.mean()), 3), round(float(b.mean()), 3)],
    }
