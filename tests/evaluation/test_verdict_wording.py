"""What the page says of a distance against its floor."""

import pytest

from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.comparison import Comparison
from medsmith.evaluation.pages.evaluation_page import _verdict


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.0, 3.0, "The cohorts differ by more than chance"),
        (-1.0, 3.0, "does not distinguish the cohorts"),
        (-3.0, -1.0, "Synthetic cases lie nearer to the real ones than other real cases do, as copies would"),
    ],
)
def test_a_verdict_is_that_of_the_interval_of_the_excess(low, high, said):
    part = Estimate(5.0, 4.0, 6.0, 20, "a method")
    assert said in _verdict(Comparison(part, part, Estimate((low + high) / 2, low, high, 20, "a method"), part))
