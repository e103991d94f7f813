"""Contours of different slices that show one structure share a slot."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from anatomy_slices import circle
from medsmith.anatomy.contours import Contour
from medsmith.anatomy.slots import aligned_starts, match_contours


def pair(rng, left=0.1, right=0.15):
    """A small circle on the left and a larger one on the right, a little moved."""
    places = [((0.3, 0.5), left), ((0.7, 0.5), right)]
    return [Contour(1, False, circle(r, np.array(c) + rng.normal(0, 0.02, 2), 64)) for c, r in places]


def slices_of(count, seed=0):
    rng = np.random.default_rng(seed)
    return [pair(rng) for _ in range(count)]


def test_two_structures_of_a_class_get_two_slots_large_before_small():
    slices = slices_of(8)
    matched = match_contours(slices)
    assert [slot.value for slot in matched.slots] == [1, 1]
    assert matched.slots[0].area > matched.slots[1].area
    for index, (small, large) in enumerate(slices):
        assert matched.slots[0].contours[index] is large
        assert matched.slots[1].contours[index] is small
    assert matched.left_out == 0
    assert matched.presence(8).all()


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_the_order_of_contours_does_not_matter(seed):
    slices = slices_of(6)
    rng = np.random.default_rng(seed)
    shuffled = [[contours[index] for index in rng.permutation(2)] for contours in slices]
    for one, other in zip(match_contours(slices).slots, match_contours(shuffled).slots, strict=True):
        assert all(one.contours[index] is other.contours[index] for index in range(6))


def test_an_absent_structure_leaves_its_slot_empty():
    slices = slices_of(8)
    slices[2], slices[5] = slices[2][:1], slices[5][1:]
    presence = match_contours(slices).presence(8)
    assert not presence[2, 0]
    assert not presence[5, 1]
    assert presence.sum() == 14


def test_rare_contours_are_left_out_and_counted():
    slices = slices_of(8)
    extra = Contour(1, False, circle(0.05, (0.5, 0.9), 64))
    for index in (1, 4):
        slices[index] = [*slices[index], extra]
    slices[0] = [*slices[0], Contour(2, False, circle(0.1, (0.2, 0.2), 64))]
    matched = match_contours(slices)
    assert len(matched.slots) == 2
    assert matched.left_out == 3
    assert extra not in [c for slot in matched.slots for c in slot.contours.values()]


def test_holes_and_outlines_have_slots_of_their_own():
    slices = [[Contour(1, False, circle(0.3, along=64)), Contour(1, True, circle(0.2, along=64))] for _ in range(4)]
    assert [slot.hole for slot in match_contours(slices).slots] == [False, True]


def test_two_slices_are_too_few():
    assert match_contours(slices_of(2)).slots == ()
    assert match_contours(slices_of(2)).left_out == 4


def test_alignment_finds_the_shift_of_each_start():
    base = circle(radii=(0.3, 0.15), along=96)
    rng = np.random.default_rng(0)
    shifts = rng.integers(-9, 10, 12)
    moved = np.stack([np.roll(base, shift, axis=0) + rng.normal(0, 0.05, 2) for shift in shifts])
    aligned = aligned_starts(moved)
    aligned -= aligned.mean(axis=1, keepdims=True)
    assert np.ptp(aligned, axis=0).max() < 1e-9
    for before, after in zip(moved, aligned_starts(moved), strict=True):
        assert {tuple(point) for point in before} == {tuple(point) for point in after}
