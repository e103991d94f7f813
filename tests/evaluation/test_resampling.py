"""Resamples that a statistic of pairs can be computed from."""

import numpy as np
import pytest

from medsmith.evaluation.fidelity.comparison import _resample


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_resample_holds_more_than_one_case(count: int) -> None:
    rng = np.random.default_rng(0)
    rows = np.arange(count)
    draws = [_resample(rows, rng) for _ in range(300)]
    assert all(len(draw) == count and len(set(draw.tolist())) > 1 for draw in draws)


def test_a_single_case_is_drawn_as_it_is() -> None:
    assert _resample(np.array([5]), np.random.default_rng(0)).tolist() == [5]
