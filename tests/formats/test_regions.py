"""Parts of scans: the voxels of the whole, without the whole in memory."""

import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medsmith.cases.canonical import canonical_geometry, canonical_view, region_in_file
from medsmith.cases.cohort import Cohort
from medsmith.errors import ContentError, FileError, GeometryError
from medsmith.formats import files, nifti
from medsmith.formats.volume import ReadOptions
from scan_files import AFFINE, good_source, image_array, label_array, nifti_bytes, png_bytes, zipped

MIB = 2**20


def regions(shape):
    ends = [st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).map(sorted) for n in shape]
    return st.tuples(*[end.map(lambda two: slice(two[0], two[1] + 1)) for end in ends])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    region=regions((12, 11, 10)),
    gz=st.booleans(),
    order=st.sampled_from("<>"),
    kind=st.sampled_from(["uint8", "int16", "float32"]),
    scale=st.sampled_from([(1.0, 0.0), (1.0, -1024.0), (0.5, 3.25)]),
)
def test_a_region_is_that_part_of_the_whole(tmp_path, region, gz, order, kind, scale):
    fields = {"scl_slope": scale[0], "scl_inter": scale[1]}
    data = nifti_bytes(image_array(dtype=kind), order=order, fields=fields)
    path = tmp_path / "x.nii"
    path.write_bytes(zipped(data) if gz else data)  # a wrong name does not matter
    assert np.array_equal(nifti.read_image_region(path, region), nifti.read_image(path).values[region])
    if scale == (1.0, 0.0):
        assert np.array_equal(nifti.read_labels_region(path, region), nifti.read_labels(path).values[region])
    assert nifti.read_grid(path).affine == pytest.approx(nifti.read_image(path).geometry.affine)


def test_one_of_several_volumes_and_a_picture(tmp_path):
    path, region = tmp_path / "x.nii.gz", (slice(2, 5), slice(0, 11), slice(3, 4))
    path.write_bytes(zipped(nifti_bytes(image_array((12, 11, 10, 3)))))
    second = ReadOptions(volume=1)
    assert np.array_equal(nifti.read_image_region(path, region, second), nifti.read_image(path, second).values[region])
    with pytest.raises(GeometryError, match="3 volumes"):
        nifti.read_image_region(path, region)
    picture = tmp_path / "x.png"
    picture.write_bytes(png_bytes(label_array()[:, :, 3]))
    flat = (slice(1, 8), slice(2, 9), slice(0, 1))
    assert np.array_equal(files.read_image_region(picture, flat), files.read_image(picture).values[flat])
    assert np.array_equal(files.read_labels_region(picture, flat), files.read_labels(picture).values[flat])
    assert files.read_grid(picture).shape == files.read_image(picture).geometry.shape


@pytest.mark.parametrize("gz", [True, False])
def test_a_file_that_ends_early_is_one_line(tmp_path, gz):
    data = nifti_bytes(np.random.default_rng(0).integers(0, 99, (40, 40, 40)).astype(np.int16))
    path = tmp_path / "x.nii.gz"
    path.write_bytes((zipped(data) if gz else data)[:-9000])
    with pytest.raises(FileError, match=r"cannot be read .*; copy or download the file again"):
        nifti.read_image_region(path, (slice(0, 40), slice(0, 40), slice(39, 40)))


def test_values_of_a_region_are_checked(tmp_path):
    values = np.zeros((12, 11, 10), np.float32)
    values[3, 3, 3] = np.nan
    path = tmp_path / "x.nii"
    path.write_bytes(nifti_bytes(values))
    assert not nifti.read_image_region(path, (slice(4, 9), slice(0, 9), slice(0, 9))).any()
    with pytest.raises(ContentError, match="1 NaN"):
        nifti.read_image_region(path, (slice(0, 9), slice(0, 9), slice(0, 9)))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_a_region_of_a_cohort_in_canonical_axes(tmp_path, axes, flips):
    affine = np.eye(4)
    affine[:3, :3] = np.diag(flips)[:, axes]
    good_source(tmp_path)
    for folder, array in (("images", image_array()), ("labels", label_array())):
        (tmp_path / folder / "a.nii.gz").write_bytes(zipped(nifti_bytes(array, affine)))
    cohort = Cohort.open(tmp_path)
    case, grid = cohort["a"], cohort.geometry("a")
    assert canonical_geometry(grid).shape == canonical_view(case.require_labels(), case.geometry).shape
    region = slice(2, 6), slice(1, 8), slice(3, 7)
    there = region_in_file(region, grid)
    image = canonical_view(cohort.image_region("a", there)[0], grid)
    assert np.array_equal(image, canonical_view(case.require_image()[0], case.geometry)[region])
    labels = canonical_view(cohort.labels_region("a", there), grid)
    assert np.array_equal(labels, canonical_view(case.require_labels(), case.geometry)[region])


@pytest.mark.parametrize("gz", [True, False])
def test_a_region_takes_little_memory(tmp_path, gz):
    data = nifti_bytes(image_array((256, 256, 200)), AFFINE)
    path = tmp_path / "x.nii"
    path.write_bytes(gzip.compress(data, 1) if gz else data)
    assert len(data) > 24 * MIB
    del data
    tracemalloc.start()
    try:
        part = nifti.read_image_region(path, (slice(80, 160), slice(80, 160), slice(190, 191)))
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()
    assert part.shape == (80, 80, 1)
