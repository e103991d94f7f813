"""How slices are displayed: the patient's right on the left, the front or the head at the top."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from cohort_cases import make_case
from medsmith.cases.canonical import canonical_case
from medsmith.cases.display import displayed, displayed_place
from medsmith.geometry import Geometry

R, A, S = np.eye(3)
EDGE = 12


def slice_along(first, second, third):
    """A slice whose voxel axes run along these directions of the patient, with its center at the origin."""
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([first, second, third])
    affine[:3, 3] = -affine[:3, :3] @ [(EDGE - 1) / 2, (EDGE - 1) / 2, 0]
    positions = np.stack(np.meshgrid(*[np.arange(EDGE)] * 2, [0], indexing="ij"), -1) @ affine[:3, :3].T + affine[:3, 3]
    return Geometry((EDGE, EDGE, 1), affine), positions


@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=2)))
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("axes", "left", "top"), [((R, A, S), R, A), ((R, S, A), R, S), ((A, S, R), A, S)],
    ids=["axial", "coronal", "sagittal"],
)  # fmt: skip
def test_right_and_front_are_on_the_left_front_and_head_at_the_top(axes, left, top, swapped, signs):
    """However the file stores the slice."""
    first, second = axes[1::-1] if swapped else axes[:2]
    geometry, positions = slice_along(first * signs[0], second * signs[1], axes[2])
    for direction, axis in ((left, 0), (top, 1)):
        case = canonical_case(replace(make_case(geometry=geometry), image=(positions @ direction)[None].astype("f4")))
        shown = displayed(case.require_image()[0, :, :, 0], case.geometry.spacing_known)
        assert (np.diff(shown, axis=axis) < 0).all()


def test_a_picture_is_displayed_as_it_is():
    case = make_case()
    image = case.require_image()[0, :, :, 0]
    assert not case.geometry.spacing_known
    assert np.array_equal(displayed(image, case.geometry.spacing_known), image)


def test_a_stack_is_displayed_slice_by_slice():
    stack = np.random.default_rng(0).random((5, 4, 3))
    shown = displayed(stack, oriented=True)
    for index in range(3):
        assert np.array_equal(shown[..., index], displayed(stack[..., index], oriented=True))


@pytest.mark.parametrize("oriented", [False, True])
def test_a_place_lies_where_its_voxel_is_displayed(oriented):
    plane = np.zeros((8, 10))
    plane[1, 7] = 1
    at = np.array([1.5 / 8, 7.5 / 10, 0.125])
    shown = displayed_place(at, oriented)
    assert np.argwhere(displayed(plane, oriented))[0] + 0.5 == pytest.approx(shown[:2] * (8, 10))
    assert shown[2] == at[2]
    assert np.array_equal(displayed_place(shown, oriented), at)
