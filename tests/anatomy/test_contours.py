"""Contours of label maps and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anatomy_slices import circle, dice, ellipse
from cohort_cases import DATA
from medsmith.anatomy.contours import Contour, _even, _from_start, paint, trace_classes
from medsmith.phantoms.breast.phantom import make_breast_case

SIZE = (96, 96)


def trace(masks, **options):
    return trace_classes(masks, 48, **options).contours


def repainted(masks, order, points=48):
    return paint([contour.spline(points) for contour in trace(masks)], order, next(iter(masks.values())).shape)


@st.composite
def blobs(draw):
    """A union of overlapping disks around the center."""
    mask = np.zeros(SIZE, bool)
    for _ in range(draw(st.integers(1, 4))):
        center = draw(st.floats(0.42, 0.58)), draw(st.floats(0.42, 0.58))
        mask |= ellipse(SIZE, center, (draw(st.floats(0.1, 0.2)), draw(st.floats(0.1, 0.2))))
    return mask


@given(mask=blobs(), shift=st.tuples(st.integers(-15, 15), st.integers(-15, 15)))
@settings(max_examples=25, deadline=None)
def test_a_shifted_mask_has_shifted_contours(mask, shift):
    (one,) = trace({1: mask})
    (other,) = trace({1: np.roll(mask, shift, (0, 1))})
    np.testing.assert_allclose(other.curve, one.curve + np.array(shift) / SIZE, atol=1e-9)


@given(mask=blobs())
@settings(max_examples=25, deadline=None)
def test_a_mirrored_mask_has_mirrored_contours(mask):
    (one,) = trace({1: mask})
    (other,) = trace({1: mask[::-1]})
    mirrored = np.roll(one.curve[::-1] * (-1, 1) + (1, 0), 1, axis=0)
    np.testing.assert_allclose(other.curve, mirrored, atol=1e-9)


@given(mask=blobs(), roll=st.integers(0, 383))
@settings(max_examples=25, deadline=None)
def test_the_start_does_not_depend_on_the_first_point(mask, roll):
    (contour,) = trace({1: mask})
    rolled = _from_start(np.roll(contour.curve, roll, axis=0))
    np.testing.assert_allclose(rolled[0], _from_start(contour.curve)[0], atol=1e-9)


@given(mask=blobs())
@settings(max_examples=25, deadline=None)
def test_a_mask_is_found_again(mask):
    (contour,) = trace({3: mask})
    assert np.array_equal(paint([contour], (3,), SIZE) == 3, mask)
    assert dice(repainted({3: mask}, (3,)) == 3, mask) > 0.985


def test_a_circle_starts_ahead_and_is_evenly_spaced():
    (contour,) = trace({1: ellipse((200, 200), (0.5, 0.5), (0.3, 0.3))})
    expected = circle(0.3)
    assert np.abs(contour.curve - expected).max() < 0.01
    assert contour.area == pytest.approx(np.pi * 0.09, rel=0.01)
    assert not contour.hole


def test_the_start_of_a_crescent_is_its_foremost_point():
    """The centroid (0.34, 0.34) of this angle lies outside it, with nothing ahead."""
    curve = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.2], [0.2, 0.2], [0.2, 0.95], [0.1, 0.9]])
    np.testing.assert_allclose(_from_start(curve)[0], [0.2, 0.95])


def test_arc_length_is_measured_in_the_units_of_the_extent():
    rectangle = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    points = _even(rectangle, 8, np.array([3.0, 1.0]))
    np.testing.assert_allclose(points[:4], [[0.0, 0.0], [1 / 3, 0.0], [2 / 3, 0.0], [1.0, 0.0]], atol=1e-12)


def test_a_hole_and_an_island_in_it_stay():
    mask = ellipse(SIZE, (0.5, 0.5), (0.4, 0.4)) & ~ellipse(SIZE, (0.5, 0.5), (0.25, 0.25))
    mask |= ellipse(SIZE, (0.5, 0.5), (0.1, 0.1))
    contours = trace({1: mask})
    assert sorted(contour.hole for contour in contours) == [False, False, True]
    assert np.array_equal(paint(contours, (1,), SIZE) == 1, mask)
    assert dice(repainted({1: mask}, (1,)) == 1, mask) > 0.99


def test_a_hole_where_another_class_lies_is_none():
    outer, inner = ellipse(SIZE, (0.5, 0.5), (0.4, 0.4)), ellipse(SIZE, (0.5, 0.5), (0.2, 0.2))
    contours = trace({1: outer & ~inner, 2: inner})
    assert [(contour.value, contour.hole) for contour in contours] == [(1, False), (2, False)]
    regions = paint(contours, (1, 2), SIZE)
    assert np.array_equal(regions == 2, inner)
    assert np.array_equal(regions > 0, outer)


def test_masks_that_touch_the_border_are_closed_there():
    mask = ellipse(SIZE, (0.0, 0.5), (0.3, 0.3))
    (contour,) = trace({1: mask})
    assert contour.curve[:, 0].min() == pytest.approx(0, abs=1e-12)
    assert np.array_equal(paint([contour], (1,), SIZE) == 1, mask)


def test_fragments_are_dropped_and_counted():
    mask = ellipse(SIZE, (0.5, 0.5), (0.3, 0.3))
    mask[2, 2] = mask[5:7, 80] = True
    traced = trace_classes({1: mask}, 48)
    assert len(traced.contours) == 1
    assert traced.fragments == 2


def test_the_painted_map_can_have_any_size():
    contours = trace({1: ellipse((256, 256), (0.52, 0.47), (0.31, 0.22))})
    for size in ((64, 64), (256, 256), (512, 300)):
        assert dice(paint(contours, (1,), size) == 1, ellipse(size, (0.52, 0.47), (0.31, 0.22))) > 0.99


def test_a_class_can_be_cut_off_at_the_edge_of_another():
    body, lung = Contour(1, False, circle(0.3)), Contour(2, False, circle(0.2, (0.75, 0.5)))
    free, cut = paint([body, lung], (1, 2), SIZE), paint([body, lung], (1, 2), SIZE, {2: 1})
    assert np.array_equal(cut > 0, paint([body], (1,), SIZE) > 0)
    assert np.array_equal(cut == 2, (free == 2) & (cut > 0))
    assert (free == 2).sum() > (cut == 2).sum() > 0
    assert np.array_equal(paint([lung], (1, 2), SIZE, {2: 1}) == 2, free == 2)


def test_breast_phantoms_are_found_again():
    for seed in range(6):
        mask = make_breast_case(seed, "x", 128).require_labels()[:, :, 0] == 1
        assert dice(repainted({1: mask}, (1,)) == 1, mask) >= 0.98


@pytest.mark.skipif(not DATA.exists(), reason="the real data are not here")
def test_real_organs_are_found_again():
    for path in sorted((DATA / "chest-ct-slices" / "labels").iterdir())[::60]:
        labels = np.array(Image.open(path)).T
        masks = {int(value): labels == value for value in np.unique(labels) if value}
        regions = repainted(masks, (2, 4, 1, 3))
        assert all(dice(regions == value, mask) >= 0.98 for value, mask in masks.items())


def test_a_contour_keeps_its_class_as_a_spline():
    contour = Contour(7, True, circle(0.2))
    smooth = contour.spline(16)
    assert (smooth.value, smooth.hole) == (7, True)
    assert smooth.area == pytest.approx(contour.area, rel=1e-2)
