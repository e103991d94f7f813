"""Overlaps learned from training maps, and contours that cross themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anatomy_slices import circle
from medsmith.anatomy.legality import crosses_itself, learn_relations, overlap_shares


def turn(a, b, c):
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def crosses_slowly(curve):
    """Every pair of edges without a common end, one at a time."""
    count = len(curve)
    edges = [(curve[index], curve[(index + 1) % count]) for index in range(count)]
    for one in range(count):
        for two in range(one + 2, count):
            if (two + 1) % count == one:
                continue
            (a, b), (c, d) = edges[one], edges[two]
            if turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0:
                return True
    return False


@given(seed=st.integers(0, 2**32), count=st.integers(4, 9))
@settings(max_examples=50, deadline=None)
def test_crossings_are_those_of_a_search_through_all_pairs(seed, count):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, count))
    radius = rng.uniform(0.1, 1, count)
    curve = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    if seed % 2:
        curve = curve[rng.permutation(count)]
    assert crosses_itself(curve) == crosses_slowly(curve)


def test_a_figure_of_eight_crosses_itself_and_a_circle_does_not():
    angle = np.arange(192) * 2 * np.pi / 192 + 0.01
    assert crosses_itself(np.stack([np.sin(angle), np.sin(2 * angle)], axis=1))
    assert not crosses_itself(circle(0.3, along=192))
    assert not crosses_itself(circle(radii=(0.4, 0.01), along=192))


def test_overlap_shares_of_disks_are_shares_of_area():
    curves = np.stack([circle(0.3), circle(0.15), circle(0.3, (0.5, 0.9))])
    shares, in_view, _ = overlap_shares(curves)
    assert shares[0, 1] == 1
    assert shares[1, 0] == pytest.approx(0.25, abs=0.01)
    np.testing.assert_allclose(np.diag(shares), 1)
    distance, r = 0.4, 0.3
    lens = 2 * r**2 * np.arccos(distance / 2 / r) - distance / 2 * np.sqrt(4 * r**2 - distance**2)
    assert shares[0, 2] * in_view[2] == pytest.approx(lens / (np.pi * r**2), abs=0.01)
    beyond = r**2 * np.arccos(1 / 3) - 0.1 * np.sqrt(r**2 - 0.01)
    np.testing.assert_allclose(in_view, [1, 1, 1 - beyond / (np.pi * r**2)], atol=0.005)


@given(st.floats(0.0005, 0.01), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_a_small_contour_within_view_is_wholly_in_view(radius, x, y):
    _, in_view, _ = overlap_shares(circle(radius, (x, y))[None])
    assert in_view == 1


NESTED = np.stack([circle(0.4), circle(0.1, (0.6, 0.5)), circle(0.1, (0.4, 0.5))])


def relations(context=(False, False, False), present=None):
    slices = np.stack([NESTED, NESTED + 0.01, NESTED - 0.01])
    there = np.ones((3, 3), bool) if present is None else present
    return learn_relations(slices, there, np.array(context))


@pytest.mark.parametrize(
    ("place", "broken"),
    [((0.6, 0.5), False), ((0.6, 0.62), False), ((0.5, 0.5), True), ((0.88, 0.5), True), ((0.41, 0.5), True)],
)
def test_a_part_stays_inside_and_neighbors_stay_apart(place, broken):
    drawn = np.stack([NESTED[0], circle(0.1, place), NESTED[2]])
    assert relations().broken(drawn) is broken


def test_labels_may_cover_more_of_context():
    drawn = np.stack([NESTED[0], circle(0.1, (0.54, 0.5)), NESTED[2]])
    assert relations().broken(drawn)
    assert not relations((True, True, False)).broken(drawn)


def test_structures_that_no_slice_shows_together_are_free():
    present = np.array([[True, True, False], [True, False, True], [True, True, False]])
    limits = relations(present=present)
    assert not limits.broken(np.stack([NESTED[0], NESTED[1], NESTED[1]]))
    assert limits.low[1, 2] == 0
    assert limits.high[1, 2] == 1


def test_structures_stay_in_the_field_of_view():
    assert relations().broken(NESTED + np.array([0.2, 0]))
    assert not relations().broken(NESTED + np.array([0.05, 0]))


def test_relations_of_some_slots_are_those_among_them():
    some = np.array([True, False, True])
    whole, part = relations(), relations().of(some)
    np.testing.assert_array_equal(part.low, whole.low[np.ix_(some, some)])
    assert not part.broken(NESTED[some])
