"""Files of a series that are odd or damaged: what is read all the same, to which values, and what is refused."""

import struct

import numpy as np
import pytest

from medsmith.errors import MedsmithError
from medsmith.formats.dicom.series import find_dicom_files, read_series_of
from medsmith.formats.dicom.volume import read_volume

pytest.importorskip("highdicom")
from dicom_files import file_of, save, slices_of, voxels_of

DEPTH = 10_000
PIXELS = b"\xe0\x7f\x10\x00OW"
ENDED = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
"""Ends of an item and of a sequence without lengths."""
BEGUN = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)


def read(folder):
    (found,) = read_series_of(folder, find_dicom_files(folder))
    return read_volume(found).values


def refusal(folder):
    with pytest.raises(MedsmithError) as caught:
        read(folder)
    assert "\n" not in caught.value.line
    return caught.value.line


def spoiled(folder, inserted):
    """A series with bytes before the voxels of the file that sorts in the middle."""
    path = file_of(save(folder, slices_of(voxels_of())), 0)
    data = path.read_bytes()
    at = data.rindex(PIXELS)
    path.write_bytes(data[:at] + inserted + data[at:])
    return folder


@pytest.fixture
def plain():
    return voxels_of().transpose(2, 1, 0) - 1024.0


@pytest.mark.parametrize(
    "start", [b"MZ" + bytes(126) + b"DICM", b"\x7fELF" + bytes(124) + b"DICM", b""], ids=["MZ", "ELF", "none"]
)
def test_the_preamble_does_not_matter(start, plain, tmp_path):
    save(tmp_path, slices_of(voxels_of()))
    for path in find_dicom_files(tmp_path):
        path.write_bytes(start + path.read_bytes()[132:])
    np.testing.assert_array_equal(read(tmp_path), plain)


def test_positions_order_the_slices_and_instance_numbers_do_not(plain, tmp_path):
    for count, slices in enumerate((slices_of(voxels_of()), slices_of(voxels_of()))):
        for index, data in enumerate(slices):
            data.InstanceNumber = 99 - index
            if count:
                del data.InstanceNumber
        np.testing.assert_array_equal(read(save(tmp_path / str(count), slices)), plain)


def test_each_slice_is_rescaled_by_its_own_slope(tmp_path):
    slices = slices_of(voxels_of(), modality="MR")
    slopes = 1 + 0.5 * np.arange(len(slices))
    for data, slope in zip(slices, slopes, strict=True):
        data.RescaleSlope = str(slope)
    np.testing.assert_array_equal(read(save(tmp_path, slices)), voxels_of().transpose(2, 1, 0) * slopes - 1024)


def test_slices_that_count_their_one_frame_are_read_as_slices(plain, tmp_path):
    slices = slices_of(voxels_of())
    for data in slices:
        data.NumberOfFrames = 1
    np.testing.assert_array_equal(read(save(tmp_path, slices)), plain)


def test_spacings_are_compared_as_numbers(plain, tmp_path):
    slices = slices_of(voxels_of())
    slices[4].PixelSpacing = ["0.80", "0.700"]
    np.testing.assert_array_equal(read(save(tmp_path, slices)), plain)


@pytest.mark.parametrize("tag", [b"\x20\0\x32\0", b"\x28\0\x30\0"], ids=["position", "spacing"])
def test_a_damaged_value_is_refused_by_the_place_of_its_file(tag, tmp_path):
    path = file_of(save(tmp_path, slices_of(voxels_of())), 0)
    path.write_bytes(path.read_bytes().replace(tag + b"DS", tag + b"D\0"))
    assert ": cannot be read as DICOM (NotImplementedError); copy or export it again" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["nan", "inf", "1e999"])
def test_a_place_that_is_no_number_is_refused(text, tmp_path):
    path = file_of(save(tmp_path, slices_of(voxels_of(), origin=(-12.345, 5, 20))), 0)
    data = path.read_bytes()
    assert b"-12.345000" in data
    path.write_bytes(data.replace(b"-12.345000", text.encode().ljust(10)))
    assert "ImagePositionPatient holds something else; 3 numbers; export the series again" in refusal(tmp_path)


def test_a_rescaling_that_is_no_number_is_refused(tmp_path):
    """Its type was damaged into that of a text."""
    path = file_of(save(tmp_path, slices_of(voxels_of())), 0)
    path.write_bytes(path.read_bytes().replace(b"\x28\0\x52\x10DS\6\0-1024 ", b"\x28\0\x52\x10LO\6\0-10?4 "))
    assert "RescaleIntercept holds something else; 1 number; export the series again" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept"])
def test_a_rescaling_that_some_slices_lost_is_refused_and_one_that_all_lack_is_none(name, tmp_path):
    slices = slices_of(voxels_of())
    for data in slices[:4]:
        setattr(data, name, None)
    line = refusal(save(tmp_path / "some", slices))
    assert f"series 2 (CT, 9 slices of 12 x 11): 4 of 9 slices lack {name}; slope and intercept in all slices" in line
    for data in slices:
        setattr(data, name, None)
    assert f": 9 of 9 slices lack {name}; slope and intercept in all slices" in refusal(save(tmp_path / "all", slices))
    for data in slices:
        del data.RescaleSlope, data.RescaleIntercept
    np.testing.assert_array_equal(read(save(tmp_path / "none", slices)), voxels_of().transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("inserted", "words"),
    [
        (BEGUN * DEPTH + ENDED * DEPTH, "cannot be read as DICOM (RecursionError)"),
        (struct.pack("<HH2sHI", 0x5400, 0x1010, b"OW", 0, 0xFFFFFFFE), "its voxels cannot be decoded"),
    ],
    ids=["nested 10,000 deep", "a length of 4 GiB"],
)
def test_absurd_elements_are_refused_by_place(inserted, words, tmp_path):
    line = refusal(spoiled(tmp_path, inserted))
    assert f"{tmp_path}, file 7 of 9: {words}" in line


@pytest.mark.parametrize("name", ["PixelData", "PixelRepresentation", "PhotometricInterpretation"])
def test_voxels_without_what_decodes_them_are_refused_by_place(name, tmp_path):
    slices = slices_of(voxels_of())
    for data in slices:
        delattr(data, name)
    assert f"{tmp_path}, file 1 of 9: its voxels cannot be decoded (" in refusal(save(tmp_path, slices))


def test_names_in_other_scripts_and_unknown_character_sets_change_no_voxel(plain, tmp_path, capfd):
    slices = slices_of(voxels_of())
    for data in slices:
        data.SpecificCharacterSet, data.PatientName = "ISO_IR 192", "山田^太郎"
    folder = save(tmp_path, slices)
    path = file_of(folder, 4)
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 192", b"ISO_IR 999"))
    np.testing.assert_array_equal(read(folder), plain)
    assert capfd.readouterr() == ("", "")
