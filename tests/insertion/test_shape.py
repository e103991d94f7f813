"""A field on a cube is fitted to its box and thresholded to the volume of the box's ellipsoid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.geometry import Geometry
from medsmith.insertion.box import Box, bounding_box, intersection
from medsmith.insertion.frame import FrameConfig
from medsmith.insertion.shape import (
    BEYOND_VOXELS,
    HALF,
    beyond_box,
    covered_share,
    deformed_ellipsoid,
    fitted_share,
    largest_component,
    level_by_volume,
    stretch_to_box,
)

LEVELS = tuple(np.round(np.linspace(-0.4, 0.8, 7), 1).tolist())


@settings(max_examples=25, deadline=None)
@given(
    edges=st.tuples(*[st.integers(12, 30)] * 3),
    spacing=st.tuples(*[st.sampled_from([0.8, 1.0, 1.3])] * 3),
    seed=st.integers(0, 999),
)
def test_a_field_is_stretched_to_its_box(edges, spacing, seed):
    geometry = Geometry((64, 64, 64), np.diag([*spacing, 1.0]))
    low = tuple(32 - edge // 2 for edge in edges)
    box = Box(low, tuple(a + b for a, b in zip(low, edges, strict=True)))
    frame = FrameConfig().about(box, geometry)
    made = stretch_to_box(deformed_ellipsoid(frame, box, np.random.default_rng(seed)), frame, box)
    region = frame.region
    allowed = np.ones([part.stop - part.start for part in region], dtype=bool)
    mask = covered_share(made, frame, allowed) >= HALF
    for axis, (part, low_edge, high_edge) in enumerate(zip(region, box.low, box.high, strict=True)):
        (hits,) = np.nonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        slack = 1 + frame.spacing_mm / spacing[axis]
        assert abs(part.start + hits[0] - low_edge) <= slack
        assert abs(part.start + hits[-1] + 1 - high_edge) <= slack


def cone_and_frame():
    box = Box((10, 10, 10), (30, 30, 30))
    frame = FrameConfig().about(box, Geometry((40, 40, 40), np.eye(4)))
    center = (frame.size - 1) / 2
    place = np.stack(np.meshgrid(*[np.arange(frame.size) - center] * 3, indexing="ij")) * frame.spacing_mm
    cone = (1 - np.linalg.norm(place, axis=0) / 12.0).astype(np.float32)
    return cone, frame, box, np.ones([part.stop - part.start for part in frame.region], dtype=bool)


def test_of_several_levels_the_one_of_the_ellipsoids_volume_is_taken():
    cone, frame, box, allowed = cone_and_frame()
    wanted = np.pi / 6 * 20**3
    off = {
        level: abs((covered_share(cone - np.float32(level), frame, allowed) >= HALF).sum() - wanted) for level in LEVELS
    }
    chosen = level_by_volume(cone, frame, box, allowed, LEVELS)
    assert chosen == min(off, key=off.__getitem__)
    assert chosen != LEVELS[0]


@pytest.mark.parametrize("level", [-0.3, 0.0, 0.3])
def test_the_size_holds_whatever_the_level(level):
    cone, frame, box, allowed = cone_and_frame()
    mask = fitted_share(cone, frame, box, allowed, (level,)) >= HALF
    for axis in range(3):
        (hits,) = np.nonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        assert hits[-1] + 1 - hits[0] == 20


@pytest.mark.parametrize("seed", range(4))
def test_a_lesion_goes_beyond_the_faces_of_its_box_by_less_than_its_mask(seed):
    cone, frame, box, allowed = cone_and_frame()
    beyond = beyond_box(np.random.default_rng(seed))
    assert ((beyond >= 0) & (beyond <= BEYOND_VOXELS)).all()
    plain, share = (fitted_share(cone, frame, box, allowed, (0.0,), each) for each in (None, beyond))
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        first = 10 - frame.region[axis].start
        along, ends = share.max(axis=others), plain.max(axis=others)
        assert ((along >= HALF) == (ends >= HALF)).all()
        assert (along >= HALF).sum() == 20
        for place, far in ((first - 1, beyond[axis, 0]), (first + 20, beyond[axis, 1])):
            assert ends[place] < 0.05
            assert along[place] == pytest.approx(far, abs=0.15)


def test_the_largest_component_by_faces_or_by_corners():
    mask = np.zeros((6, 6, 6), bool)
    mask[:2, 0, 0] = mask[2, 1, 1] = True  # the third touches the two at an edge of a corner alone
    mask[5, 3:, 5] = True
    mask[4, 2, 4] = True
    assert np.array_equal(np.argwhere(largest_component(mask)), [(5, 3, 5), (5, 4, 5), (5, 5, 5)])
    assert largest_component(mask, neighbors=26).sum() == 4
    assert not largest_component(np.zeros((2, 2, 2), bool)).any()


@settings(max_examples=50, deadline=None)
@given(edges=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=6, max_size=6))
def test_the_intersection_of_regions_is_the_same_voxels_seen_from_both(edges):
    (a, b, c), (d, e, f) = ([slice(low, low + count) for low, count in part] for part in (edges[:3], edges[3:]))
    first, second = (a, b, c), (d, e, f)
    pairs = zip(first, second, strict=True)
    shared = [set(range(one.start, one.stop)) & set(range(other.start, other.stop)) for one, other in pairs]
    if not all(shared):
        return
    numbers = np.arange(1000).reshape(10, 10, 10)
    here, there = intersection(first, second)
    assert np.array_equal(numbers[first][here], numbers[second][there])
    assert numbers[first][here].size == np.prod([len(part) for part in shared])


def test_the_bounding_box_is_tight():
    mask = np.zeros((9, 9, 9), bool)
    mask[2, 3:5, 8] = mask[6, 4, 7] = True
    assert bounding_box(mask) == Box((2, 3, 7), (7, 5, 9))
