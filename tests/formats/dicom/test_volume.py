"""Series as volumes: to the voxel as SimpleITK reads them, and what is refused."""

import logging
import math
import warnings
from pathlib import Path

import numpy as np
import pytest

from medsmith.errors import GeometryError, MedsmithError
from medsmith.formats.dicom.series import find_dicom_files, read_series_of
from medsmith.formats.dicom.volume import read_volume
from medsmith.formats.packages import quiet
from medsmith.formats.volume import ReadOptions

pytest.importorskip("highdicom")
from dicom_files import SHAPE, pydicom, save, slices_of, uid, voxels_of

sitk = pytest.importorskip("SimpleITK")
S, C = math.sin(0.4), math.cos(0.4)
OBLIQUE = (C, S, 0.0, -S * C, C * C, S)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def series_in(folder):
    (found,) = read_series_of(folder, find_dicom_files(folder))
    return found


def refusal(folder):
    with pytest.raises(MedsmithError) as caught:
        read_volume(series_in(folder))
    return caught.value.line


def itk_reading(paths):
    """Voxels x y z, and affine in RAS+, of slices sorted along the normal by GDCM."""
    folder = {str(path.parent) for path in paths}
    assert len(folder) == 1
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder.pop()))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ affine


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (np.int16, {}),
        (np.uint16, {"intercept": 0}),
        (np.int16, {"slope": 2, "axes": OBLIQUE}),
        (np.int16, {"axes": SAGITTAL, "modality": "MR"}),
        (np.uint16, {"slope": 0.25, "intercept": -3.5}),
    ],
)
def test_a_series_is_read_as_simpleitk_reads_it(dtype, options, tmp_path):
    voxels = voxels_of().astype(dtype)
    voxels[0, 0, 0] = 60000 if dtype == np.uint16 else -2000
    for index, data in enumerate(slices_of(voxels, **options)):
        data.save_as(tmp_path / f"{(index * 5) % 9}", enforce_file_format=True)
    read = read_volume(series_in(tmp_path))
    values, affine = itk_reading(list(tmp_path.iterdir()))
    np.testing.assert_array_equal(read.values, values)
    np.testing.assert_allclose(read.geometry.affine, affine, atol=1e-5)
    assert read.stored == (np.float32 if options.get("slope") == 0.25 else dtype)


def test_voxels_lie_where_the_header_says(tmp_path):
    """The formula of PS3.3 C.7.6.2.1.1, in RAS+."""
    slices = slices_of(voxels_of(), axes=OBLIQUE)
    grid = read_volume(series_in(save(tmp_path, slices))).geometry
    down, across = (float(edge) for edge in slices[4].PixelSpacing)
    place = (
        np.array(slices[4].ImagePositionPatient, float)
        + 7 * across * np.array(OBLIQUE[:3])
        + 2 * down * np.array(OBLIQUE[3:])
    )
    np.testing.assert_allclose((grid.affine @ [7, 2, 4, 1])[:3], place * [-1, -1, 1], atol=1e-5)
    assert grid.shape == SHAPE[::-1]


def test_a_multi_frame_image_equals_its_slices(tmp_path):
    from highdicom.legacy import LegacyConvertedEnhancedCTImage

    slices = slices_of(voxels_of())
    for data in slices:
        data.AcquisitionNumber = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = LegacyConvertedEnhancedCTImage(slices, uid("enhanced"), 5, uid("enhanced", 1), 1)
    save(tmp_path / "many", slices)
    save(tmp_path / "one", [frames])
    one, many = (read_volume(series_in(tmp_path / name)) for name in ("one", "many"))
    np.testing.assert_array_equal(one.values, many.values)
    np.testing.assert_allclose(one.geometry.affine, many.geometry.affine, atol=1e-6)
    assert one.stored == many.stored == np.int16
    with pytest.raises(
        GeometryError, match=r"9 frames of 12 x 11\): has one volume, not volume 1; volumes are counted"
    ):
        read_volume(series_in(tmp_path / "one"), ReadOptions(volume=1))


def changed(**changes):
    def change(slices):
        for name, value in changes.items():
            setattr(slices[4], name, value)

    return change


def drop(*places):
    def change(slices):
        for place in sorted(places, reverse=True):
            del slices[place]

    return change


def twice(slices):
    slices[5].ImagePositionPatient = slices[4].ImagePositionPatient


def of_another_size(slices):
    """Among the slices, at positions of their own."""
    twice(slices)
    slices[5].Rows, slices[5].Columns = slices[5].Columns, slices[5].Rows


def tilted(slices):
    for index, data in enumerate(slices):
        x, y, z = data.ImagePositionPatient
        data.ImagePositionPatient = [x, y + 0.5 * index, z]


def all_of(**changes):
    def change(slices):
        for data in slices:
            for name, value in changes.items():
                setattr(data, name, value)

    return change


REFUSED = [
    ("a gap", drop(4), "slices 3 and 4 by position lie 5 mm apart, most others 2.5 mm; steps equal to 1%"),
    ("a repeat", twice, "9 slices at 8 positions, up to 2 at one, and neither temporal positions, "),
    ("uneven", changed(ImagePositionPatient=["-10", "5", "31"]), "slices 3 and 4 by position lie 3.5 mm apart"),
    ("tilted", tilted, "the slices are stacked 11.3 degrees off their normal (a tilted gantry?)"),
    ("turned", changed(ImageOrientationPatient=[0, 1, 0, -1, 0, 0]), "1 of 9 slices are turned against the first"),
    ("another size", changed(PixelSpacing=["1", "1"]), "slices of 2 different pixel spacings"),
    ("no spacing", changed(PixelSpacing=None), "lacks PixelSpacing; each slice is placed in the patient"),
    ("no width", changed(PixelSpacing=["0", "1"]), "PixelSpacing holds something else; 2 numbers above 0; export the"),
    ("no place", changed(ImagePositionPatient=["5", "30"]), "ImagePositionPatient holds something else; 3 numbers;"),
    ("others among them", of_another_size, "slices of 2 different rows: 11, 12; the slices of a volume are alike"),
    ("few", drop(1, 2, 3, 4, 5, 6, 7), "12 x 11 x 2 voxels; at least 8 along each axis"),
    ("frames of reference", changed(FrameOfReferenceUID="1.2.3"), "the slices have different frames of reference"),
    ("spacing in metres", all_of(PixelSpacing=["0.0008", "0.0007"]), "voxels of 0.0007 mm along x; 0.05 to 20 mm"),
    ("short", changed(PixelData=b"\0" * 100), "its voxels cannot be decoded (ValueError)"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_no_regular_volume_is_refused_with_folder_series_fact_and_cure(change, words, tmp_path):
    slices = slices_of(voxels_of())
    change(slices)
    line = refusal(save(tmp_path, slices))
    assert words in line
    assert line.startswith(str(tmp_path))
    assert "series 2 (CT, " in line or ", file " in line
    assert str(slices[0].SeriesInstanceUID) not in line


@pytest.mark.parametrize("name", ["RLE", "bigendian", "implicit", "jp2klossless", "jpeg_ls_lossless", "padded"])
def test_pydicoms_own_files_hold_the_same_voxels(name, tmp_path):
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    found = []
    for source in ("MR_small.dcm", f"MR_small_{name}.dcm"):
        target = tmp_path / source / "IM"
        target.parent.mkdir()
        target.write_bytes((folder / source).read_bytes())
        found.append(read_volume(series_in(target.parent)))
    np.testing.assert_array_equal(found[0].values, found[1].values)
    np.testing.assert_array_equal(found[0].values[:, :, 0], pydicom.dcmread(folder / "MR_small.dcm").pixel_array.T)


def test_a_file_without_uids_is_refused_by_place(tmp_path):
    slices = slices_of(voxels_of())
    del slices[0].StudyInstanceUID
    save(tmp_path, slices)
    with pytest.raises(MedsmithError, match="file 7 of 9: lacks StudyInstanceUID; patient, study and series are told"):
        series_in(tmp_path)


def test_padding_loss_and_marks_are_stated_and_nothing_is_rewritten(tmp_path):
    voxels = voxels_of()
    voxels[:, :, 0] = -2000
    slices = slices_of(voxels)
    for data in slices:
        data.add_new(0x00280120, "US", 63536)  # -2000, as some writers store it
        data.BurnedInAnnotation, data.LossyImageCompression = "YES", "01"
    slices[2].SyntheticData = "YES"
    read = read_volume(series_in(save(tmp_path, slices)))
    assert read.notes == (
        "padding of the value -3024 is in 99 of 1188 voxels",
        "9 of 9 images went through lossy compression",
        "the images carry burned-in annotation, which may identify the patient",
        "1 of 9 images are marked as synthetic, and so is the case",
    )
    assert read.values.min() == -3024


def test_files_are_known_by_content_and_damage_by_place(tmp_path):
    slices = slices_of(voxels_of())
    save(tmp_path, slices)
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / ".hidden").write_bytes(bytes(128) + b"DICM")
    assert len(find_dicom_files(tmp_path)) == 9
    slices[0].save_as(tmp_path / "IM0" / "copy", enforce_file_format=True)
    with pytest.raises(MedsmithError, match="file 8 of 10: is the same instance as file 6"):
        series_in(tmp_path)


def test_the_packages_stay_silent(tmp_path, capfd):
    slices = slices_of(voxels_of())
    save(tmp_path, slices)
    path = find_dicom_files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b"\x18\0\x50\0DS", b"\x18\0\x50\0DA"))  # a value of the wrong kind
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        read_volume(series_in(tmp_path))
    assert capfd.readouterr() == ("", "")
    with quiet():
        logging.getLogger("pydicom.pixels").error("quotes a name")
    assert capfd.readouterr() == ("", "")
