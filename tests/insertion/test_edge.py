"""Mask and image cannot disagree: the share of a lesion in each voxel is one half on the border of its mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from medsmith.geometry import Geometry
from medsmith.insertion.box import Box
from medsmith.insertion.edge import (
    LEAST_SOFT_EDGE_MM,
    SCANNER_MM,
    SOFT_EDGE_MM,
    _discrete_gaussian,
    blurred_by_scanner,
    distance_to_border,
    edge_width_mm,
    with_edge,
)
from medsmith.insertion.frame import Frame
from medsmith.insertion.shape import covered_share
from medsmith.measurement.margin import margin_width
from medsmith.measurement.words import THRESHOLDS

SHAPE = (24, 20, 22)


def places_of(frame):
    """Positions of the voxels of a cube in mm about its middle."""
    steps = (np.arange(frame.size) - (frame.size - 1) / 2) * frame.spacing_mm
    return np.stack(np.meshgrid(*[steps] * 3, indexing="ij"))


def scan(spacing, shape=(40, 40, 40)):
    return Geometry(shape, np.diag([*spacing, 1.0]))


@settings(max_examples=20, deadline=None)
@given(shift=st.integers(-8, 8), axis=st.integers(0, 2), step=st.sampled_from([0.7, 1.0, 1.9]))
def test_a_plane_cuts_the_share_of_a_voxel_that_lies_on_its_side(shift, axis, step):
    frame = Frame(scan((1.0, 1.0, 1.0)), (20.0, 20.0, 20.0), 24, step)
    offset = shift / 4  # planes between the sampled places, so that shares are exact
    share = frame.share_above((offset - places_of(frame)[axis]).astype(np.float32), 0.0)
    voxels = np.arange(frame.region[axis].start, frame.region[axis].stop) - 20.0
    wanted = np.clip(offset - voxels + 0.5, 0, 1)
    profile = np.moveaxis(share, axis, 0)
    inner = np.abs(voxels) < 4
    np.testing.assert_allclose(
        profile[inner], np.broadcast_to(wanted[inner, None, None], profile[inner].shape), atol=1e-6
    )
    if shift % 4 == 0:
        assert (profile[voxels == offset] == 0.5).all()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5), (2.0, 1.0, 1.4)])
def test_the_shares_of_a_ball_add_up_to_its_volume_and_the_mask_is_half_of_each_voxel(spacing):
    radius, edges = 8.3, np.array(spacing)
    shape = tuple(int(count) for count in np.ceil(30 / edges))
    low = tuple(round((30 - 2 * radius) / 2 / edge) for edge in edges)
    box = Box(low, tuple(a + round(2 * radius / edge) for a, edge in zip(low, edges, strict=True)))
    frame = Frame.about(box, scan(spacing, shape), 32)
    field = (radius - np.linalg.norm(places_of(frame), axis=0)).astype(np.float32)
    allowed = np.ones([part.stop - part.start for part in frame.region], bool)
    share = covered_share(field, frame, allowed)
    assert share.sum() * edges.prod() == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.01)
    depth = (
        radius
        - np.linalg.norm(
            (np.indices(share.shape).T + [part.start for part in frame.region] - frame.center) * edges, axis=-1
        ).T
    )
    farthest = np.linalg.norm(edges) / 2
    assert (share[depth > farthest + 0.1] == 1).all()
    assert not share[depth < -farthest - 0.1].any()
    assert share[np.abs(depth) < 0.1].min() > 0
    partial = (share > 0) & (share < 1)
    assert np.corrcoef(share[partial], depth[partial])[0, 1] > 0.9


def test_a_second_part_of_a_field_and_voxels_that_are_not_allowed_have_no_share():
    frame = Frame(scan((1.0, 1.0, 1.0)), (20.0, 20.0, 20.0), 32, 1.0)
    x, y, z = places_of(frame)
    first = 7.2 - np.sqrt((x + 4) ** 2 + y**2 + z**2)
    second = 2.4 - np.sqrt((x - 9) ** 2 + y**2 + z**2)
    allowed = np.ones([part.stop - part.start for part in frame.region], bool)
    allowed[:, :, 18:] = False
    share = covered_share(np.maximum(first, second).astype(np.float32), frame, allowed)
    assert not share[~allowed].any()
    assert not share[24:].any()
    assert (share[12, 16, 10:18] == 1).all()


@st.composite
def covered_and_allowed(draw):
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    places = np.indices(SHAPE).T - np.array(SHAPE) / 2 + rng.uniform(-2, 2, 3)
    distance = np.linalg.norm(places / rng.uniform(0.6, 1.3, 3), axis=-1).T
    covered = np.clip(rng.uniform(1.5, 7) - distance + 0.5, 0, 1).astype(np.float32)
    allowed = np.ones(SHAPE, bool)
    allowed[: draw(st.integers(0, 14))] = False
    return np.where(allowed, covered, np.float32(0)), allowed


@settings(max_examples=40, deadline=None)
@given(made=covered_and_allowed(), spacing=st.tuples(*[st.sampled_from([0.6, 1.0, 3.0])] * 3), width=st.floats(0, 9))
def test_whatever_the_width_the_mask_is_where_the_share_is_half_and_nothing_lies_outside_its_organ(
    made, spacing, width
):
    covered, allowed = made
    share = with_edge(covered, allowed, spacing, width)
    np.testing.assert_array_equal(share >= 0.5, covered >= 0.5)
    assert not share[~allowed].any()
    assert share.min() >= 0
    mask = covered >= 0.5
    if mask.any() and width > 0 and (allowed & ~mask).any():
        deepest = distance_to_border(allowed & ~mask, spacing)[mask].max()
        thick = deepest >= min(width, LEAST_SOFT_EDGE_MM) / 2
        assert share.max() > 0.95 or share.max() == covered.max() or not thick


@pytest.mark.parametrize("step", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("diameter", [5.0, 6.5, 9.0])
@pytest.mark.parametrize("width", [0.0, SOFT_EDGE_MM])
def test_small_lesions_have_the_margin_that_is_asked_for(diameter, step, width):
    edge = 2 * round(12 / step)
    places = (np.indices((edge,) * 3) - (edge - 1.3) / 2) * step
    distance = diameter / 2 - np.linalg.norm(places, axis=0)
    covered = np.clip(distance / step + 0.5, 0, 1).astype(np.float32)
    share = with_edge(covered, np.ones(covered.shape, bool), (step,) * 3, width)
    noisy = 40 + 60 * share + np.random.default_rng(0).normal(0, 5, share.shape)
    measured = margin_width(noisy, covered >= 0.5, (), (step,) * 3, 5.0)
    assert measured is not None
    assert (measured >= THRESHOLDS.ill_defined_mm) == (width > 0)


@settings(max_examples=20, deadline=None)
@given(made=covered_and_allowed(), spacing=st.tuples(*[st.sampled_from([0.6, 1.0, 3.0])] * 3))
def test_the_blur_of_the_scanner_moves_no_border(made, spacing):
    covered, allowed = made
    share = blurred_by_scanner(covered, allowed, spacing)
    np.testing.assert_array_equal(share >= 0.5, covered >= 0.5)
    assert not share[~allowed].any()
    assert (share >= 0).all()
    assert (share <= 1 + 1e-6).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_sharp_edge_is_that_of_the_scanner(axis):
    """A plane through the faces of voxels: the integral of a Gaussian."""
    step, edge = 0.1, 80
    covered = np.zeros((edge,) * 3, np.float32)
    np.moveaxis(covered, axis, 0)[: edge // 2] = 1
    share = blurred_by_scanner(covered, np.ones(covered.shape, bool), (step,) * 3)
    depth = (edge / 2 - 0.5 - np.arange(edge)) * step
    line = np.moveaxis(share, axis, 0)[:, 5, 5]
    np.testing.assert_allclose(line, ndtr(depth / SCANNER_MM), atol=0.006)


@pytest.mark.parametrize("variance", [1e-3, 0.03, 0.4, 20.0])
def test_the_blur_has_its_variance_on_coarse_voxels(variance):
    taps = _discrete_gaussian(variance)
    places = np.arange(len(taps)) - len(taps) // 2
    assert taps.sum() == pytest.approx(1)
    assert (taps * places**2).sum() == pytest.approx(variance, rel=2e-3)


@pytest.mark.parametrize("step", [0.5, 1.0, 2.5])
def test_the_blur_stops_at_the_organ_and_near_the_lesion(step):
    allowed, covered = np.ones((24, 9, 9), bool), np.zeros((24, 9, 9), np.float32)
    covered[:12] = 1
    share = blurred_by_scanner(covered, allowed, (step,) * 3)
    assert not share[12 + int(np.ceil(3 * SCANNER_MM / step)) :].any()
    allowed[12:] = False
    np.testing.assert_allclose(blurred_by_scanner(covered, allowed, (step,) * 3), covered, atol=1e-6)


@pytest.mark.parametrize("width", [0.0, 5e-324, 1e-300, 0.005])
def test_an_edge_of_hardly_any_width_is_sharp(width):
    covered = np.zeros((8, 8, 8), np.float32)
    covered[:4] = 1
    covered[4] = 0.25
    np.testing.assert_array_equal(with_edge(covered, np.ones((8, 8, 8), bool), (1.0, 1.0, 1.0), width), covered)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_wide_edge_is_a_smooth_step_centered_on_the_border(axis):
    spacing = (1.0, 0.8, 2.5)
    covered = np.zeros((40, 40, 40), np.float32)
    np.moveaxis(covered, axis, 0)[:20] = 1
    share = with_edge(covered, np.ones(covered.shape, bool), spacing, 6.0)
    away = (np.arange(40) - 19.5) * spacing[axis]
    t = np.clip(0.5 - away / 6.0, 0, 1)
    np.testing.assert_allclose(np.moveaxis(share, axis, 0)[:, 20, 20], t**2 * (3 - 2 * t), atol=1e-6)


def test_at_the_border_of_the_organ_the_lesion_does_not_fade():
    covered = np.zeros((40, 20, 20), np.float32)
    covered[10:30] = 1
    allowed = np.ones(covered.shape, bool)
    allowed[:10] = False
    share = with_edge(covered, allowed, (1.0, 1.0, 1.0), 6.0)[:, 10, 10]
    assert not share[:10].any()
    assert (share[10:27] == 1).all()
    assert 0.5 < share[29] < 1
    assert 0 < share[30] < 0.5


def test_distances_end_at_the_faces_of_voxels():
    others = np.zeros((9, 9, 9), bool)
    others[4, 4, 4] = True
    distance = distance_to_border(others, (1.0, 2.0, 5.0))
    assert distance[4, 4, 4] == 0
    assert [distance[5, 4, 4], distance[4, 6, 4], distance[4, 4, 5]] == pytest.approx([0.5, 3.0, 2.5])
    assert distance[5, 5, 4] == pytest.approx(np.sqrt(5) / 2)


def test_the_words_of_the_margin_decide_and_without_them_the_density():
    assert edge_width_mm("well-defined margin", "low-density ground-glass opacity") == 0
    assert edge_width_mm("ill-defined margin", None) == SOFT_EDGE_MM
    assert edge_width_mm(None, "low-density ground-glass opacity") == SOFT_EDGE_MM
    assert edge_width_mm(None, "hypodense") == 0
