"""Planes of a grid in the patient, and gray values as pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from export_cohorts import OBLIQUE, SAGITTAL, SHAPE
from medsmith.errors import GeometryError
from medsmith.exporting.pixels import as_pixels
from medsmith.exporting.planes import planes_of
from medsmith.geometry import Geometry


def grid(affine):
    return Geometry(SHAPE, np.asarray(affine, np.float64))


def places(geometry):
    """Position LPS of every voxel, x y z 3."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    return (index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]) * [-1, -1, 1]


def check_places(geometry):
    """Every pixel lies where its voxel does."""
    planes, where = planes_of(geometry, "scan"), places(geometry)
    found = np.stack([planes.arranged(where[..., axis]) for axis in range(3)], axis=-1)
    s, r, c = np.meshgrid(*map(np.arange, found.shape[:3]), indexing="ij")
    expected = (
        planes.first
        + s[..., None] * planes.slices
        + r[..., None] * planes.pixel_spacing[0] * planes.rows
        + c[..., None] * planes.pixel_spacing[1] * planes.columns
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert np.cross(planes.columns, planes.rows) @ planes.slices > 0
    return planes


@given(turn=arrays(float, 3, elements=st.floats(-180, 180)), flips=st.tuples(*[st.sampled_from((-1, 1))] * 3))
def test_each_pixel_lies_where_its_voxel_does(turn, flips):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * flips * [0.7, 1.1, 3.0]
    affine[:3, 3] = 5, -80, 12
    check_places(grid(affine))


def test_an_axial_scan_is_shown_with_left_on_the_right_and_the_back_below():
    planes = check_places(grid(np.diag([0.8, 1.2, 3.0, 1.0])))
    assert planes.orientation == [1, 0, 0, 0, 1, 0]
    assert planes.pixel_spacing == (1.2, 0.8)
    assert planes.slices.tolist() == [0, 0, 3]


def test_a_sagittal_scan_keeps_its_planes_with_the_feet_below():
    planes = check_places(grid(SAGITTAL))
    assert planes.orientation == [0, 1, 0, 0, 0, -1]
    assert planes.count == SHAPE[2]


def test_an_oblique_scan_is_turned_only_by_whole_axes():
    planes = check_places(grid(OBLIQUE))
    assert planes.axes == (2, 1, 0)


def test_a_sheared_grid_is_refused():
    affine = np.eye(4)
    affine[0, 2] = 0.3
    with pytest.raises(GeometryError, match=r"scan: voxel axes that meet at 73\.30 degrees; those of a DICOM series"):
        planes_of(grid(affine), "scan")


def test_a_picture_without_spacing_is_refused():
    with pytest.raises(GeometryError, match="slide: voxel sizes in mm are unknown"):
        planes_of(Geometry.plain((4, 4, 1)), "slide")


@given(arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32)))
def test_pixels_give_back_the_gray_values_within_half_a_step(gray):
    pixels = as_pixels(gray)
    back = pixels.values.astype(np.float64) * pixels.slope + pixels.intercept
    assert np.abs(back - gray).max() == pixels.error <= pixels.slope * 0.501 + 1e-8 * np.abs(gray).max()


@pytest.mark.parametrize(("low", "high", "signed"), [(-1024, 3071, True), (0, 65535, False)])
def test_whole_numbers_of_16_bits_are_kept(low, high, signed):
    pixels = as_pixels(np.array([[low, high]], np.float32))
    assert (pixels.values.tolist(), pixels.slope, pixels.error, pixels.signed) == ([[low, high]], 1, 0, signed)
