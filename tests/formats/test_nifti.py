import gzip
import itertools
import random

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medsmith.errors import ContentError, FileError, GeometryError, MedsmithError
from medsmith.formats import gzip_stream, nifti, nifti_writing
from medsmith.formats.nifti_writing import write_image, write_labels
from medsmith.formats.volume import SYNTHETIC_MARK
from medsmith.geometry import Geometry
from scan_files import AFFINE, image_array, label_array, nifti_bytes, zipped

DTYPES = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
AXIS_CODES = [
    tuple(pair[flip] for pair, flip in zip(axes, flips, strict=True))
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for flips in itertools.product((0, 1), repeat=3)
]
CODES = ((1, 0), (0, 1), (1, 1), (2, 2), (4, 3), (2, 0))


_TOWARDS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


def affine_of(axis_codes, spacing, degrees=0.0):
    turn = np.radians(degrees)
    oblique = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    to_ras = np.array([_TOWARDS[code] for code in axis_codes]).T
    affine = np.eye(4)
    affine[:3, :3] = oblique @ to_ras @ np.diag(spacing)
    affine[:3, 3] = (-90.5, 120.25, 33)
    return affine


def values_of(dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 300, (9, 8, 10)).astype(np.float32)
    limits = np.iinfo(dtype)
    return rng.integers(max(limits.min, -(2**24)), min(limits.max, 2**24), (9, 8, 10)).astype(np.float32)


def test_there_are_48_axis_codes():
    assert len(set(AXIS_CODES)) == 48
    assert nib.aff2axcodes(affine_of(("P", "S", "L"), (1, 2, 3))) == ("P", "S", "L")


@pytest.mark.parametrize("axis_codes", AXIS_CODES, ids="".join)
def test_round_trip_in_every_orientation(axis_codes, tmp_path):
    """Voxels equal, affine within 1e-5 mm at the corners, orientation and codes kept; nibabel agrees."""
    for dtype, spacing, codes in zip(DTYPES, itertools.cycle([(1, 1, 1), (0.7, 0.7, 10)]), itertools.cycle(CODES)):
        path = tmp_path / "x.nii.gz"
        values, geometry = values_of(dtype), Geometry((9, 8, 10), affine_of(axis_codes, spacing), codes)
        write_image(path, values, geometry, np.dtype(dtype), synthetic=False)
        read, peer = nifti.read_image(path), nib.load(path)
        np.testing.assert_array_equal(read.values, values)
        np.testing.assert_array_equal(np.asanyarray(peer.dataobj), values)
        assert read.stored == peer.get_data_dtype() == np.dtype(dtype)
        assert read.geometry.codes == codes == (int(peer.header["sform_code"]), int(peer.header["qform_code"]))
        assert read.geometry.displacement(geometry) < 1e-5
        np.testing.assert_allclose(read.geometry.affine, peer.affine, atol=1e-5)
        assert nib.aff2axcodes(read.geometry.affine) == axis_codes


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    axis_codes=st.sampled_from(AXIS_CODES),
    spacing=st.tuples(*[st.floats(0.0625, 19.5)] * 3),
    degrees=st.floats(-180, 180),
    codes=st.sampled_from(CODES),
)
def test_oblique_affines_survive(axis_codes, spacing, degrees, codes, tmp_path):
    geometry = Geometry((9, 8, 10), affine_of(axis_codes, spacing, degrees), codes)
    path = tmp_path / "x.nii"
    write_labels(path, np.ones((9, 8, 10), np.uint8), geometry, synthetic=False)
    once = nifti.read_labels(path)
    # float32 in the header: half a unit in the last place of 300 mm is 1.5e-5. A quaternion alone loses more near
    # half a turn, where its first component is the root of a small difference; read once, it is kept exactly.
    assert once.geometry.displacement(geometry) < (1e-4 if codes[0] else 0.5)
    assert not once.notes
    write_labels(path, once.values, once.geometry, synthetic=False)
    assert nifti.read_labels(path).geometry.displacement(once.geometry) < 1e-6


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=st.sampled_from(DTYPES[:6]),
    slope=st.sampled_from([0.5, 1.0, 2.0, -1.0, 0.01]),
    intercept=st.sampled_from([0.0, -1024.0, 0.25]),
    order=st.sampled_from("<>"),
    version=st.sampled_from([1, 2]),
)
def test_scaled_values_equal_nibabels(dtype, slope, intercept, order, version, tmp_path):
    array = np.clip(image_array(), 0, 100).astype(dtype)
    path = tmp_path / "x.nii.gz"
    data = nifti_bytes(
        array, order=order, version=version, fields={"scl_slope": slope, "scl_inter": intercept, "qform_code": 0}
    )
    path.write_bytes(zipped(data))
    read = nifti.read_image(path)
    np.testing.assert_allclose(read.values, nib.load(path).get_fdata(), rtol=1e-6, atol=1e-5)
    whole = float(slope).is_integer() and intercept.is_integer()
    unscaled = (slope, intercept) == (1, 0)
    assert read.stored == (dtype if unscaled else "int16" if whole else "float32")


def test_qforms_equal_nibabels(tmp_path):
    """Random rotations and both handednesses, read through the quaternion alone."""
    rng, path = np.random.default_rng(0), tmp_path / "x.nii"
    for _ in range(50):
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        affine = np.eye(4)
        affine[:3, :3] = rotation * rng.uniform(0.3, 5, 3)
        affine[:3, 3] = rng.uniform(-200, 200, 3)
        path.write_bytes(nifti_bytes(image_array(), affine, codes=(0, 1)))
        np.testing.assert_allclose(nifti.read_image(path).geometry.affine, nib.load(path).affine, atol=1e-9)
        np.testing.assert_allclose(nib.load(path).affine, affine, atol=2e-3)


def test_300_bit_flips_are_caught_or_harmless(tmp_path):
    """P7, with the share that nibabel returns as if nothing had happened."""
    array = np.cumsum(np.random.default_rng(0).integers(-3, 4, (16, 16, 16)), axis=0).astype(np.int16)
    good, path, rng = zipped(nifti_bytes(array)), tmp_path / "x.nii.gz", random.Random(0)
    path.write_bytes(good)
    truth = nifti.read_image(path)
    caught = fooled = 0
    for _ in range(300):
        data = bytearray(good)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            read = nifti.read_image(path)
        except MedsmithError:
            caught += 1
        else:
            np.testing.assert_array_equal(read.values, truth.values)
            assert read.geometry.displacement(truth.geometry) == 0
        fooled += _nibabel_is_fooled(path, array)
    assert caught > 280
    assert fooled > 50


def _nibabel_is_fooled(path, array):
    try:
        return not np.array_equal(np.asanyarray(nib.load(path).dataobj), array)
    except Exception:
        return False


def test_every_truncation_is_caught(tmp_path):
    good, path = zipped(nifti_bytes(image_array())), tmp_path / "x.nii.gz"
    for length in [0, 1, 2, 9, 10, 17, *range(20, len(good), 53), len(good) - 1]:
        path.write_bytes(good[:length])
        with pytest.raises(FileError):
            nifti.read_image(path)


def test_bytes_are_deterministic_and_carry_no_time(tmp_path):
    geometry = Geometry((9, 8, 10), AFFINE)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(tmp_path / name, values_of("int16"), geometry, np.dtype("int16"), synthetic=True)
    data = (tmp_path / "a.nii.gz").read_bytes()
    assert data == (tmp_path / "b.nii.gz").read_bytes()
    assert data[4:8] == bytes(4)
    assert data[3] == 0


def test_several_gzip_members_are_one_stream(tmp_path):
    data, path = nifti_bytes(image_array()), tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(data[:500]) + gzip.compress(data[500:]))
    np.testing.assert_array_equal(nifti.read_image(path).values, image_array())


@given(st.binary(max_size=3000))
def test_own_gzip_opens_with_pythons(data):
    assert gzip.decompress(gzip_stream.deflate(data)) == data


@pytest.mark.parametrize("size", [1, 1000, 65_536, 300_001])
def test_where_data_are_cut_does_not_change_the_stream(size):
    rng = np.random.default_rng(0)
    data = (rng.integers(0, 40, 500_000) + rng.integers(0, 2, 500_000).cumsum() % 7).astype(np.uint8).tobytes()
    data = data if size > 1 else data[:20_000]
    parts = [data[first : first + size] for first in range(0, len(data), size)]
    assert b"".join(gzip_stream.deflate_parts(parts)) == gzip_stream.deflate(data)
    assert gzip.decompress(gzip_stream.deflate(data)) == data


def test_how_many_slices_are_written_at_a_time_does_not_change_the_file(tmp_path, monkeypatch):
    geometry, values = Geometry((9, 8, 10), AFFINE), values_of("int16")
    for name in ("a.nii.gz", "a.nii"):
        write_image(tmp_path / name, values, geometry, np.dtype("int16"), synthetic=True)
        whole = (tmp_path / name).read_bytes()
        for chunk, array in ((1, values), (500, values), (500, np.asfortranarray(values))):
            monkeypatch.setattr(nifti_writing, "_CHUNK", chunk)
            write_image(tmp_path / name, array, geometry, np.dtype("int16"), synthetic=True)
            assert (tmp_path / name).read_bytes() == whole
            monkeypatch.undo()


def test_synthetic_files_say_so(tmp_path):
    geometry = Geometry((9, 8, 10), AFFINE)
    for synthetic in (True, False):
        path = tmp_path / f"{synthetic}.nii.gz"
        write_labels(path, np.ones((9, 8, 10), np.uint8), geometry, synthetic=synthetic)
        descrip = bytes(nib.load(path).header["descrip"]).rstrip(b"\0").decode()
        assert descrip == (SYNTHETIC_MARK if synthetic else "")
    assert len(SYNTHETIC_MARK) < 80


@pytest.mark.parametrize(
    ("stored", "value", "words"),
    [
        ("uint8", 256.0, "uint8 holds 0 to 255"),
        ("uint8", -0.6, "uint8 holds"),
        ("int16", 32768.0, "int16 holds"),
        ("int16", np.nan, "1 NaN or infinite"),
        ("float32", np.inf, "1 NaN or infinite"),
    ],
)
def test_nothing_wraps_on_output(stored, value, words, tmp_path):
    values = np.zeros((9, 8, 10), np.float32)
    values[1, 2, 3] = value
    with pytest.raises(ContentError, match=words):
        write_image(tmp_path / "x.nii", values, Geometry((9, 8, 10), AFFINE), np.dtype(stored), synthetic=True)
    assert not list(tmp_path.iterdir())


def test_whole_numbers_are_rounded_not_cut(tmp_path):
    values = np.full((9, 8, 10), 1.7, np.float32)
    write_image(tmp_path / "x.nii", values, Geometry((9, 8, 10), AFFINE), np.dtype("uint8"), synthetic=True)
    assert (nifti.read_image(tmp_path / "x.nii").values == 2).all()


def test_dtypes_without_a_nifti_form_and_long_axes_are_refused(tmp_path):
    geometry = Geometry((9, 8, 10), AFFINE)
    with pytest.raises(FileError, match="float16 has no NIfTI form"):
        write_image(tmp_path / "x.nii", values_of("int16"), geometry, np.dtype("float16"), synthetic=True)
    long = Geometry((40000, 1, 1), AFFINE)
    with pytest.raises(GeometryError, match="NIfTI-1 ends at 32767"):
        write_labels(tmp_path / "x.nii", np.zeros((40000, 1, 1), np.uint8), long, synthetic=True)


def test_stray_text_of_the_source_does_not_reach_the_output(tmp_path):
    """Of one file every text field, an extension, and the gzip header."""
    secrets = {name: f"DOE_{name}"[:length].encode() for name, length in _TEXT_FIELDS.items()}
    data = nifti_bytes(image_array(), fields=secrets, extension=b"PatientName=DOE^JANE")
    source = tmp_path / "source.nii.gz"
    with source.open("wb") as raw, gzip.GzipFile("DOE_file.nii", "wb", fileobj=raw) as stream:
        stream.write(data)
    assert b"DOE" in gzip.decompress(source.read_bytes())
    read = nifti.read_image(source)
    np.testing.assert_array_equal(read.values, image_array())
    out = tmp_path / "out.nii.gz"
    write_image(out, read.values, read.geometry, read.stored, synthetic=False)
    assert b"DOE" not in out.read_bytes() + gzip.decompress(out.read_bytes())


_TEXT_FIELDS = {"data_type": 10, "db_name": 18, "intent_name": 16, "descrip": 80, "aux_file": 24}


def test_labels_keep_their_values_through_scaling(tmp_path):
    path = tmp_path / "x.nii.gz"
    path.write_bytes(zipped(nifti_bytes(label_array(), fields={"scl_slope": 2.0, "scl_inter": 0.0})))
    assert set(np.unique(nifti.read_labels(path).values)) == {0, 2}


def test_a_two_dimensional_file_is_one_slice(tmp_path):
    path = tmp_path / "x.nii"
    path.write_bytes(nifti_bytes(image_array((12, 11))))
    read = nifti.read_image(path)
    assert read.geometry.shape == (12, 11, 1)
    assert read.geometry.dimensions == 2
