"""The smallest number that suffices, against a search one by one."""

from hypothesis import given
from hypothesis import strategies as st

from medsmith.evaluation.sample_size import least_count


@given(st.integers(1, 300), st.integers(1, 5))
def test_it_is_the_first_that_suffices(wanted, least):
    assert least_count(lambda count: count >= wanted, least, 1000) == max(wanted, least)


def test_none_suffices():
    assert least_count(lambda _: False, 1, 1000) is None
