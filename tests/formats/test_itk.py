"""NRRD and MetaImage: as SimpleITK writes and reads them, and refused where SimpleITK is content with half a file."""

import zlib

import numpy as np
import pytest

from medsmith.errors import MedsmithError
from medsmith.formats.files import count_volumes, read_grid, read_image, read_image_region, read_labels, stem_of
from medsmith.formats.packages import INSTALL
from medsmith.formats.volume import ReadOptions
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import prepare
from scan_files import image_array, label_array

sitk = pytest.importorskip("SimpleITK")
TURN = np.array([[0.0, -0.6, 0.8], [1.0, 0.0, 0.0], [0.0, 0.8, 0.6]])
VALUES = image_array() - 1000
ENDINGS = ("a.nrrd", "a.nhdr", "a.mha", "a.mhd")


def image_of(values):
    """A SimpleITK image of values x y z (c), oblique, LPS."""
    image = sitk.GetImageFromArray(values.transpose(2, 1, 0, *range(3, values.ndim)), isVector=values.ndim > 3)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-30.0, 12.0, 5.0))
    image.SetDirection(TURN.ravel())
    return image


def write(path, values, *, compressed=True):
    sitk.WriteImage(image_of(values), str(path), useCompression=compressed)
    return path


def refusal(call):
    with pytest.raises(MedsmithError) as caught:
        call()
    return caught.value.line


@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.parametrize("compressed", [False, True])
def test_values_and_grid_are_simpleitks(name, compressed, tmp_path):
    for dtype in (np.int16, np.uint8, np.float32):
        values = (VALUES % 200).astype(dtype)
        path = write(tmp_path / name, values, compressed=compressed)
        read = read_image(path)
        np.testing.assert_array_equal(read.values, values)
        affine = np.eye(4)
        affine[:3, :3] = np.diag([-1, -1, 1]) @ (TURN * [0.7, 0.8, 2.5])
        affine[:3, 3] = 30, -12, 5
        np.testing.assert_allclose(read.geometry.affine, affine, atol=1e-6)
        np.testing.assert_array_equal(read_grid(path).affine, read.geometry.affine)
        assert (read.stored, read.notes, stem_of(path)) == (np.dtype(dtype), (), "a")
    region = (slice(1, 4), slice(0, 11), slice(2, 3))
    np.testing.assert_array_equal(read_image_region(path, region), read.values[region])


@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_was_cut_is_refused(name, compressed, tmp_path):
    write(tmp_path / name, VALUES, compressed=compressed)
    data = max(tmp_path.iterdir(), key=lambda path: path.stat().st_size)
    data.write_bytes(data.read_bytes()[:-200])
    line = refusal(lambda: read_image(tmp_path / name))
    assert "its header gives 2.6 KiB" in line if not compressed else "ends early" in line or "damaged" in line


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_a_flipped_bit_in_a_compressed_array_is_refused(name, tmp_path):
    path = write(tmp_path / name, VALUES)
    data = bytearray(path.read_bytes())
    data[-300] ^= 16
    path.write_bytes(bytes(data))
    line = refusal(lambda: read_image(path))
    assert any(words in line for words in ("damaged", "CRC", "ends early"))


def nrrd(path, *lines, data=bytes(12 * 11 * 10)):
    head = ("NRRD0004", "type: uchar", "dimension: 3", "sizes: 12 11 10", "encoding: raw", *lines)
    path.write_bytes("\n".join(head).encode() + b"\n\n" + data)
    return path


SPACE = ("space: left-posterior-superior", "space directions: (1,0,0) (0,1,0) (0,0,1)", "space origin: (0,0,0)")
BAD_NRRD = [
    (("space: scanner-xyz", *SPACE[1:]), "space 'scanner-xyz'; a space of the patient"),
    ((SPACE[0], "space directions: (1,0,0) (0.5,1,0) (0,0,1)"), "the axes are not at right angles"),
    ((SPACE[0], "space directions: (1,0,0) (0,1,0) (0,0,99)"), "voxels of 99 mm along z"),
    ((SPACE[0], "space directions: (1,0,0) (0,nan,0) (0,0,1)"), "9 numbers; correct the header"),
    ((*SPACE, "data file: ../secret.raw"), "its array is in '../secret.raw'; one file beside the header"),
    ((*SPACE, "encoding: text"), "encoding 'text'; numbers, raw or gzip"),
    ((*SPACE, "sizes: 12 11 99999999"), "at most 8.0 GiB"),
    ((*SPACE, "sizes: 12 11 0"), "3 positive whole numbers"),
    (("spacings: 1 1 3",), "no orientation is given; voxel sizes 1 x 1 x 3 mm; pass --assume-spacing"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "words"), BAD_NRRD)
def test_headers_that_cannot_be_right_are_refused(lines, words, tmp_path):
    assert words in refusal(lambda: read_image(nrrd(tmp_path / "a.nrrd", *lines)))


def test_the_reach_of_a_header_ends_at_its_folder_in_metaimage_too(tmp_path):
    path = write(tmp_path / "a.mhd", VALUES)
    path.write_text(path.read_text().replace("a.zraw", "/etc/passwd"))
    assert "its array is in '/etc/passwd'; one file beside the header" in refusal(lambda: read_image(path))
    (tmp_path / "b.mha").write_bytes(b"<html>")
    assert "is a web page, not MetaImage" in refusal(lambda: read_image(tmp_path / "b.mha"))


def test_sizes_alone_are_taken_where_told(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", "spacings: 1 1 3")
    read = read_labels(path, ReadOptions(assume_spacing=True))
    np.testing.assert_array_equal(read.geometry.affine, np.diag([1, 1, 3, 1]))
    assert read.notes == ("no orientation: 1 x 1 x 3 mm along R, A, S assumed",)


def test_of_several_volumes_one_is_chosen(tmp_path):
    path = write(tmp_path / "a.nrrd", np.stack([VALUES, VALUES + 7], axis=3))
    assert count_volumes(path) == 2
    assert "2 volumes; one is needed; pass --volume K, 0 to 1" in refusal(lambda: read_image(path))
    np.testing.assert_array_equal(read_image(path, ReadOptions(volume=1)).values, VALUES + 7)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_another_volume_than_the_only_one_is_refused(name, tmp_path):
    path = write(tmp_path / name, VALUES)
    np.testing.assert_array_equal(read_image(path, ReadOptions(volume=0)).values, VALUES)
    line = refusal(lambda: read_image(path, ReadOptions(volume=3)))
    assert f"{name}: has one volume, not volume 3; volumes are counted from 0" in line


def test_without_simpleitk_one_line_names_the_extra(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mha", VALUES)
    monkeypatch.setattr("medsmith.formats.packages.find_spec", lambda _: None)
    line = refusal(lambda: read_image(path))
    assert line == f"{path}: is NRRD or MetaImage; reading it takes SimpleITK; {INSTALL}"


def slicer(path, layers, segments, *, first=(0, 0, 0)):
    """A .seg.nrrd: layers x y z (c), segments of (name, layer, value), cropped to begin at a voxel."""
    image = image_of(layers)
    image.SetOrigin(image_of(np.zeros((2, 2, 2), np.uint8)).TransformIndexToPhysicalPoint([int(i) for i in first]))
    for place, (name, layer, value) in enumerate(segments):
        for key, text in (("ID", f"Segment_{place + 1}"), ("Name", name), ("Layer", layer), ("LabelValue", value)):
            image.SetMetaData(f"Segment{place}_{key}", str(text))
    image.SetMetaData("Segmentation_ReferenceImageExtentOffset", " ".join(map(str, first)))
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


TUMOR, LIVER = label_array(), label_array()[::-1].copy()
TUMOR[6:] = LIVER[:6] = 0


def cohort_of(folder, layers, segments, *, first=(0, 0, 0), **options):
    (folder / "in").mkdir(parents=True)
    write(folder / "in" / "s1.nrrd", VALUES)
    slicer(folder / "in" / "s1.seg.nrrd", layers, segments, first=first)
    return prepare(folder / "in", folder / "out", PrepareOptions(**options)).stored("s1")


def test_segments_of_slicer_keep_their_names(tmp_path):
    case = cohort_of(tmp_path, TUMOR * 5 + LIVER * 2, [("Tumor", 0, 5), ("Liver, left", 0, 2)])
    assert case.label_names == {"background": 0, "Tumor": 1, "Liver, left": 2}
    np.testing.assert_array_equal(case.labels, TUMOR + 2 * LIVER)
    np.testing.assert_array_equal(case.image[0], VALUES)


def test_segments_of_slicer_are_chosen_and_may_overlap_elsewhere(tmp_path):
    layers = np.stack([TUMOR, np.maximum(LIVER, TUMOR)], axis=3)
    segments = [("Tumor", 0, 1), ("Liver", 1, 1)]
    case = cohort_of(tmp_path / "a", layers, segments, segment_names={"lesion": "tumor"})
    assert case.label_names == {"background": 0, "lesion": 1}
    np.testing.assert_array_equal(case.labels, TUMOR)
    case = cohort_of(tmp_path / "b", layers, segments, label_names={"organ": 2})
    np.testing.assert_array_equal(case.labels, np.maximum(LIVER, TUMOR))
    line = refusal(lambda: cohort_of(tmp_path / "c", layers, segments))
    assert f"segment 2 shares {TUMOR.sum()} voxels with an earlier one; a voxel has one label" in line
    line = refusal(lambda: cohort_of(tmp_path / "d", layers, segments, segment_names={"x": "Spleen"}))
    assert "no segment fits label x; there are Tumor, Liver" in line


def test_a_cropped_segmentation_comes_back_to_the_grid_of_its_scan(tmp_path):
    case = cohort_of(tmp_path / "a", TUMOR[2:9, 3:8, 1:9], [("Tumor", 0, 1)], first=(2, 3, 1))
    np.testing.assert_array_equal(case.labels, TUMOR)
    line = refusal(lambda: cohort_of(tmp_path / "b", TUMOR[2:10, :8, :8], [("Tumor", 0, 1)], first=(9, 3, 1)))
    assert "labeled voxels lie outside the image; all lie inside; is it of another scan?" in line


def test_zlib_streams_hold_what_the_header_says(tmp_path):
    path = write(tmp_path / "a.mha", VALUES)
    head = path.read_bytes().split(b"LOCAL\n")[0] + b"LOCAL\n"
    path.write_bytes(head + zlib.compress(bytes(100)))
    assert "100 bytes of voxels; its header gives 2.6 KiB" in refusal(lambda: read_image(path))
    path.write_bytes(head + zlib.compress(bytes(2**24)))
    assert "holds more than its header says" in refusal(lambda: read_image(path))
