"""Spiculated lesions fill their box, stay in their organ, and measure as spiculated where voxels can show it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from medsmith.insertion.box import Box, bounding_box
from medsmith.insertion.spicules import body_box, with_spicules
from medsmith.measurement.spiculation import resolves_spicules, spicule_share
from medsmith.measurement.surface import radius_of
from medsmith.measurement.words import THRESHOLDS

MARGIN = 4


def body(edges):
    """The share that an ellipsoid in the middle of a box covers, and the box."""
    box = Box((MARGIN,) * 3, tuple(MARGIN + edge for edge in edges))
    half = np.array(body_box(box).shape) / 2
    places = np.indices([edge + 2 * MARGIN for edge in edges]) - np.array(box.center)[:, None, None, None]
    level = 1 - np.sqrt(sum((place / each) ** 2 for place, each in zip(places, half, strict=True)))
    return np.clip(level * half.min() + 0.5, 0, 1).astype(np.float32), box


@settings(max_examples=15, deadline=None)
@given(
    edges=st.tuples(*[st.integers(12, 26)] * 3),
    spacing=st.sampled_from([(1.33,) * 3, (0.8, 0.8, 1.6), (0.7, 0.7, 1.0)]),
    seed=st.integers(0, 1000),
)
def test_a_spiculated_lesion_fills_its_box_in_one_piece_and_measures_as_spiculated(edges, spacing, seed):
    covered, box = body(edges)
    share = with_spicules(covered, box, np.ones(covered.shape, bool), spacing, np.random.default_rng(seed))
    mask = share >= 0.5
    assert bounding_box(mask) == box
    assert label(mask)[1] == 1
    assert (share >= covered).all()
    if resolves_spicules(0.8 * radius_of(float(mask.sum() * np.prod(spacing)), 3), spacing):
        assert spicule_share(mask, spacing) >= THRESHOLDS.spicule_share > spicule_share(covered >= 0.5, spacing)


def test_spicules_stay_where_the_lesion_may_lie_and_leave_no_pieces():
    covered, box = body((20, 20, 20))
    allowed = np.ones(covered.shape, bool)
    allowed[: box.low[0] + 3] = False
    allowed[:, box.high[1] - 3 : box.high[1] - 1] = False  # a wall across the spicules, with room beyond it
    share = with_spicules(covered, box, allowed, (1.0,) * 3, np.random.default_rng(0))
    assert not share[~allowed].any()
    assert not share[:, box.high[1] - 1 :].any()


def test_the_same_seed_gives_the_same_spicules_and_nothing_gets_none():
    covered, box = body((16, 18, 20))
    allowed, spacing = np.ones(covered.shape, bool), (1.0,) * 3
    first, again, other = (
        with_spicules(covered, box, allowed, spacing, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not with_spicules(np.zeros_like(covered), box, allowed, spacing, np.random.default_rng(0)).any()


@pytest.mark.parametrize(("edges", "found"), [((20, 20, 20), (14, 14, 14)), ((3, 1, 2), (3, 1, 2))])
def test_the_body_lies_in_the_middle(edges, found):
    box = Box((5, 5, 5), tuple(5 + edge for edge in edges))
    assert body_box(box).shape == found
    assert body_box(box).center == box.center
