"""Bootstrap over whole groups: slices of one patient are alike, so that patients are resampled, not slices."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float64, Int64

RESAMPLES = 2000


def resampled_rows(groups: Sequence[str], rng: np.random.Generator) -> Iterator[Int64[np.ndarray, " rows"]]:
    """Without end, the rows of as many groups as there are, drawn with replacement.

    Args:
        groups: of each row.
        rng: draws one set of groups each time that rows are taken.
    """
    names = sorted(set(groups))
    rows = [np.flatnonzero(np.array(groups) == name) for name in names]
    while True:
        yield np.concatenate([rows[index] for index in rng.integers(len(names), size=len(names))])


def interval(values: Float64[np.ndarray, " n"], groups: Sequence[str]) -> list[float]:
    """Mean and 95 % percentile interval, resampling groups; NaN is left out.

    Args:
        values: one per row.
        groups: of each row; their own names where rows are independent.
    """
    draws = resampled_rows(groups, np.random.default_rng(0))
    means = [np.nanmean(values[next(draws)]) for _ in range(RESAMPLES)]
    return [float(np.nanmean(values)), *(float(value) for value in np.nanpercentile(means, (2.5, 97.5)))]
