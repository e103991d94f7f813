"""Resamples that a statistic of pairs can be computed from."""

import numpy as np
import pytest

from medsmith.evaluation.fidelity.comparison import _resample


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_resample_holds_more_than_one_case(count: int) -> None:
    rng = np.random.default_rng(0)
    rows = np.arange(count)
    resamples = [_resample(rows, rng) for _ in range(300)]
    assert all(len(sample) == count and len(set(sample.tolist())) > 1 for sample in resamples)


def test_a_single_case_is_drawn_as_it_is() -> None:
    assert _resample(np.array([5]), np.random.default_rng(0)).tolist() == [5]
