"""The canonical view, and the cube about a lesion."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from insertion_scans import ORIENTATIONS, grid, oriented
from medsmith.cases.canonical import canonical_geometry, canonical_view
from medsmith.data.resizing import resize
from medsmith.geometry import Geometry
from medsmith.insertion.box import Box
from medsmith.insertion.frame import Frame


def field(geometry, gradient=(1.0, -2.0, 0.5), constant=30.0):
    """A scan that varies linearly in the patient."""
    voxels = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), axis=-1)
    places = voxels @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    return (places @ np.array(gradient) + constant).astype(np.float32)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_is_seen_alike_without_a_copy(codes):
    canonical = grid((5, 6, 7), (0.7, 1.1, 2.0))
    geometry, _ = oriented(canonical, codes)
    assert nib.aff2axcodes(geometry.affine) == tuple(codes)
    array = field(geometry)
    view = canonical_view(array, geometry)
    assert np.shares_memory(view, array)
    seen = canonical_geometry(geometry)
    assert seen.shape == canonical.shape == view.shape
    np.testing.assert_allclose(seen.affine, canonical.affine, atol=1e-12)
    np.testing.assert_array_equal(view, field(canonical))
    view[1, 2, 3] = 9999
    assert (array == 9999).sum() == 1


def test_an_oblique_scan_is_taken_along_the_nearest_axes():
    angle = np.deg2rad(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    geometry = Geometry((5, 6, 7), turn @ np.diag([-1.0, -1.0, 3.0, 1.0]), codes=(2, 0))
    array = field(geometry)
    seen = canonical_geometry(geometry)
    assert nib.aff2axcodes(seen.affine) == ("R", "A", "S")
    assert seen.codes == (2, 0)
    np.testing.assert_allclose(canonical_view(array, geometry), field(seen), atol=1e-4)


def test_the_longest_edge_of_the_box_fills_its_share():
    scan = grid((100, 100, 100), (0.5, 0.5, 2.0))
    frame = Frame.about(Box((10, 10, 10), (30, 30, 20)), scan, size=64)
    assert frame.spacing_mm == pytest.approx(20 / (0.625 * 64))
    assert Frame.about(Box((10, 10, 10), (12, 12, 11)), scan, 64).spacing_mm == 0.5
    assert Frame.about(Box((10, 10, 10), (60, 60, 60)), scan, 64, coarsest_mm=1.0).spacing_mm == 1.0
    inside = frame.inside(Box((10, 10, 10), (30, 30, 20)))
    edges = [np.ptp(index) + 1 for index in np.nonzero(inside)]
    assert edges == [20, 20, 40]


def test_a_cube_that_is_the_scan_is_the_scan():
    scan = grid((12, 12, 12), (1.3, 1.3, 1.3))
    volume = np.random.default_rng(0).normal(size=scan.shape).astype(np.float32)
    frame = Frame(scan, (5.5, 5.5, 5.5), 12, 1.3)
    np.testing.assert_allclose(frame.resample_in(volume, -1000.0), volume, atol=1e-6)
    assert frame.region == (slice(0, 12),) * 3
    np.testing.assert_allclose(frame.resample_out(volume), volume, atol=1e-6)


@pytest.mark.parametrize("size", [8, 16, 24, 40])
def test_over_the_whole_scan_it_is_the_rule_of_resizing(size):
    scan = grid((24, 24, 24))
    volume = np.random.default_rng(1).normal(size=scan.shape).astype(np.float32)
    frame = Frame(scan, (11.5, 11.5, 11.5), size, 24 / size)
    np.testing.assert_allclose(frame.resample_in(volume, 0.0), resize(volume, (size,) * 3), atol=1e-5)


def test_growing_is_linear_interpolation():
    scan = grid((20, 22, 24), (1.0, 1.5, 3.0))
    volume = np.random.default_rng(2).normal(size=scan.shape).astype(np.float32)
    frame = Frame(scan, (9.2, 10.1, 11.7), 20, 0.6)
    first = np.array(frame.center) - 9.5 * 0.6 / np.array(scan.spacing)
    axes = [first[axis] + np.arange(20) * 0.6 / scan.spacing[axis] for axis in range(3)]
    expected = map_coordinates(volume, np.meshgrid(*axes, indexing="ij"), order=1)
    np.testing.assert_allclose(frame.resample_in(volume, 0.0), expected, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.floats(0.4, 5.0)] * 3),
    st.tuples(*[st.integers(8, 30)] * 3),
    st.tuples(*[st.floats(-0.2, 1.2)] * 3),
    st.floats(0.3, 4.0),
    st.integers(4, 20),
)
def test_constants_and_what_lies_outside(spacing, shape, place, cube_mm, size):
    scan = grid(shape, spacing)
    center = tuple(share * (count - 1) for share, count in zip(place, shape, strict=True))
    frame = Frame(scan, center, size, cube_mm)
    taken = frame.resample_in(np.full(shape, 40, dtype=np.int16), -1000.0)
    assert set(np.unique(taken.round(3))) <= {40.0, -1000.0}
    to_scan = np.linalg.inv(scan.affine) @ frame.geometry.affine
    index = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"), axis=-1)
    voxels = index @ to_scan[:3, :3].T + to_scan[:3, 3]
    clear = np.abs(np.abs(voxels - (np.array(shape) - 1) / 2) - np.array(shape) / 2).min(axis=-1) > 1e-6
    outside = (np.abs(voxels - (np.array(shape) - 1) / 2) > np.array(shape) / 2).any(axis=-1)
    np.testing.assert_array_equal((taken == -1000)[clear], outside[clear])
    given_back = frame.resample_out(np.full((size,) * 3, 7.0, dtype=np.float32))
    assert given_back.shape == tuple(part.stop - part.start for part in frame.region)
    assert np.allclose(given_back, 7.0)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.floats(0.5, 4.0)] * 3), st.floats(0.4, 2.5), st.integers(8, 16))
def test_what_varies_linearly_comes_back(spacing, cube_mm, size):
    # Large enough to hold the cube and the filter.
    shape = tuple(int((size + 4) * cube_mm / edge) + 9 for edge in spacing)
    scan = grid(shape, spacing)
    x, y, z = (count / 2 - 0.3 for count in shape)
    frame = Frame(scan, (x, y, z), size, cube_mm)
    volume = field(scan)
    places = field(frame.geometry)
    shrinks = cube_mm > min(spacing)
    # A triangle that is sampled at whole voxels may shift by a small part of one.
    slack = 0.1 * max(spacing) * 3.5 if shrinks else 2e-3
    np.testing.assert_allclose(frame.resample_in(volume, 0.0), places, atol=slack)
    inner = tuple(slice(part.start + 2, part.stop - 2) for part in frame.region)
    if cube_mm < 2 * min(spacing):
        np.testing.assert_allclose(frame.resample_out(places)[2:-2, 2:-2, 2:-2], volume[inner], atol=2e-3)


def test_labels_are_taken_whole():
    scan = grid((20, 20, 10), (1.0, 1.0, 2.0))
    labels = np.random.default_rng(3).integers(0, 200, scan.shape).astype(np.uint8)
    frame = Frame(scan, (9.5, 9.5, 4.5), 40, 0.5)
    np.testing.assert_array_equal(frame.resample_labels_in(labels), np.kron(labels, np.ones((2, 2, 4), np.uint8)))
    beyond = Frame(scan, (30.0, 9.5, 4.5), 8, 1.0).resample_labels_in(labels, outside=0)
    assert beyond.dtype == np.uint8
    assert not beyond.any()


def test_the_cube_lies_where_its_grid_says_in_every_orientation():
    canonical = grid((30, 31, 32), (0.9, 1.1, 1.7))
    box = Box((8, 9, 10), (20, 19, 18))
    cubes = []
    for codes in ORIENTATIONS:
        geometry, _ = oriented(canonical, codes)
        seen = canonical_geometry(geometry)
        frame = Frame.about(box, seen, 16)
        cubes.append(frame.resample_in(canonical_view(field(geometry, (0.3, 0.2, 1.0)), geometry), 0.0))
    for cube in cubes[1:]:
        np.testing.assert_allclose(cube, cubes[0], atol=1e-4)
    np.testing.assert_allclose(cubes[0], field(frame.geometry, (0.3, 0.2, 1.0)), atol=0.1)


def test_only_the_needed_part_of_a_file_is_read(tmp_path):
    path = tmp_path / "scan.raw"
    scan = grid((512, 512, 2000))
    with path.open("wb") as file:
        file.truncate(512 * 512 * 2000 * 2)
    volume = np.memmap(path, dtype=np.int16, mode="r", shape=scan.shape, order="F")
    frame = Frame.about(Box((250, 250, 1000), (270, 270, 1020)), scan, 32)
    assert not frame.resample_in(volume, 0.0).any()
    assert max(part.stop - part.start for part in frame.region) == 32
