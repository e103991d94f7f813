"""Radiographs, mammograms and ultrasound in DICOM as 2-D cases: gray values, pixel sizes, and what is refused."""

from typing import Any

import numpy as np
import pytest

from medsmith.cases.cohort import Cohort
from medsmith.errors import MedsmithError
from medsmith.formats.volume import ReadOptions
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import prepare

pytest.importorskip("highdicom")
from pydicom.dataset import Dataset

from dicom_files import cube_masks, new_dataset, save, segmentation, slices_of, uid, voxels_of

STORAGE = {
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
}
GRAY = np.random.default_rng(3).integers(20, 230, (20, 30)).astype(np.uint8)
GRAY[5:12, 8:22] = 250


def picture(modality="DX", pixels=GRAY, *, instance=0, **attributes: Any):
    """A single image: y x, or y x 3 in color."""
    data = new_dataset(STORAGE[modality], uid(modality, instance), modality)
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    data.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * pixels.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in attributes.items():
        setattr(data, name, value)
    return data


def region(delta_x, delta_y, *, kind=1, units=3):
    one = Dataset()
    one.RegionSpatialFormat, one.PhysicalUnitsXDirection, one.PhysicalUnitsYDirection = kind, units, units
    one.PhysicalDeltaX, one.PhysicalDeltaY = delta_x, delta_y
    return one


def prepared(folder, *images, **options) -> tuple[Cohort, list[str]]:
    lines: list[str] = []
    save(folder / "in", images)
    return prepare(folder / "in", folder / "out", PrepareOptions(**options), report=lines.append), lines


def refusal(folder, *images, **options):
    with pytest.raises(MedsmithError) as caught:
        prepared(folder, *images, **options)
    assert not (folder / "out").exists()
    return caught.value.line


SIZES = {
    "PixelSpacing": ("DX", {"PixelSpacing": ["0.2", "0.1"]}, (0.1, 0.2)),
    "ImagerPixelSpacing": ("MG", {"ImagerPixelSpacing": ["0.07", "0.07"]}, (0.07, 0.07)),
    "both": ("DX", {"PixelSpacing": ["0.3", "0.3"], "ImagerPixelSpacing": ["0.4", "0.4"]}, (0.3, 0.3)),
    "regions": (
        "US",
        {"SequenceOfUltrasoundRegions": [region(0.012, 0.015), region(0.5, 0.5, kind=2), region(0.4, 0.1, units=4)]},
        (0.12, 0.15),
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_pixel_sizes_come_from_what_the_image_states(name, tmp_path):
    modality, attributes, sizes = SIZES[name]
    cohort, lines = prepared(tmp_path, picture(modality, **attributes))
    assert cohort.ids == ("patient_001_study_1_image_001",)
    case = cohort.stored(cohort.ids[0])
    assert (case.channel_names, case.labels, cohort.file_ending) == ((modality,), None, ".nii.gz")
    assert case.geometry.spacing[:2] == pytest.approx(sizes)
    assert case.geometry.dimensions == 2
    np.testing.assert_array_equal(case.require_image()[0, :, :, 0], GRAY.T)
    assert case.stored == np.uint8
    assert lines[0] == "1 case: DICOM, 1 single image"
    assert any("(ImagerPixelSpacing), without magnification" in line for line in lines) == (
        name == "ImagerPixelSpacing"
    )
    assert any("its orientation in the patient is not stated" in line for line in lines)


NO_SIZES = {
    "none": ({}, "no pixel sizes are stated: in pixels"),
    "two scales": (
        {"SequenceOfUltrasoundRegions": [region(0.01, 0.01), region(0.02, 0.02)]},
        "its ultrasound regions have several scales: pixel sizes are not taken",
    ),
    "not finite": ({"PixelSpacing": ["0", "0.1"]}, "no pixel sizes are stated: in pixels"),
}


@pytest.mark.parametrize("name", NO_SIZES)
def test_an_image_without_pixel_sizes_becomes_a_picture(name, tmp_path):
    attributes, note = NO_SIZES[name]
    cohort, lines = prepared(tmp_path, picture("US", **attributes))
    case = cohort.stored(cohort.ids[0])
    assert cohort.file_ending == ".png"
    assert not case.geometry.spacing_known
    np.testing.assert_array_equal(case.require_image()[0, :, :, 0], GRAY.T)
    assert any(note in line for line in lines)


def test_each_image_of_a_study_is_a_case_and_a_lost_size_is_said(tmp_path):
    images = [picture(pixels=GRAY + np.uint8(number), instance=number) for number in range(3)]
    images[1].PixelSpacing = ["0.2", "0.2"]
    cohort, lines = prepared(tmp_path, *images)
    assert cohort.ids == tuple(f"patient_001_study_1_image_00{number}" for number in (1, 2, 3))
    assert lines[0] == "3 cases: DICOM, 3 single images, 1 of 3 with pixel sizes, which PNG does not keep"
    means = sorted(case.require_image().mean() for case in cohort)
    assert np.diff(means) == pytest.approx([1, 1])


INVERTED: dict[str, tuple[Any, dict[str, Any], Any, str]] = {
    "8 bits": (GRAY, {}, 255 - GRAY.T.astype(int), "u1"),
    "12 of 16 bits": (
        GRAY.astype(np.uint16) * 16,
        {"BitsStored": 12, "HighBit": 11},
        4095 - 16 * GRAY.T.astype(int),
        "u2",
    ),
    "signed": (GRAY.astype(np.int16) - 100, {"PixelSpacing": ["1", "1"]}, -1 - (GRAY.T.astype(int) - 100), "i2"),
    "rescaled": (GRAY, {"RescaleSlope": "2", "RescaleIntercept": "10"}, 2 * (255 - GRAY.T.astype(int)) + 10, "u2"),
}


@pytest.mark.parametrize("name", INVERTED)
def test_monochrome_1_is_inverted_within_the_range_of_its_bits(name, tmp_path):
    pixels, attributes, expected, stored = INVERTED[name]
    cohort, lines = prepared(tmp_path, picture("MG", pixels, PhotometricInterpretation="MONOCHROME1", **attributes))
    case = cohort.stored(cohort.ids[0])
    np.testing.assert_array_equal(case.require_image()[0, :, :, 0], expected)
    assert case.stored == np.dtype(stored)
    assert any("(MONOCHROME1): inverted, so that high values are white" in line for line in lines)


COLOR = np.repeat(GRAY[..., None], 3, axis=2)
COLOR[:2, :10, 0] = 255
COLOR[:2, :10, 1:] = 0


def test_color_is_refused_with_the_option_that_takes_its_gray(tmp_path):
    line = refusal(tmp_path, picture("US", COLOR))
    assert line == (
        f"{tmp_path}/in, file 1 of 1: in color (20 pixels, 3.33%, where the channels differ); 8- or 16-bit gray; "
        "convert it to gray, or run medsmith prepare with --gray-of-color"
    )
    cohort, lines = prepared(tmp_path, picture("US", COLOR), read=ReadOptions(gray_of_color=True))
    gray = cohort.stored(cohort.ids[0]).require_image()[0, :, :, 0].T
    assert np.all(gray[:2, :10] == 76)  # of pure red: .299 x 255
    np.testing.assert_array_equal(gray[2:], GRAY[2:])
    assert any("20 pixels in color (3.33%) were turned to gray by their luminance" in line for line in lines)


@pytest.mark.parametrize("kind", ["RGB", "YBR_FULL", "PALETTE COLOR"])
def test_gray_that_is_stored_in_color_is_read(kind, tmp_path):
    data = picture("US", np.repeat(GRAY[..., None], 3, axis=2))
    data.PhotometricInterpretation = kind
    if kind == "YBR_FULL":
        data.PixelData = np.stack([GRAY, *[np.full_like(GRAY, 128)] * 2], axis=2).tobytes()
    if kind == "PALETTE COLOR":
        data = picture("US", GRAY, PhotometricInterpretation=kind)
        table = np.arange(256, dtype=np.uint8).tobytes()
        for color in ("Red", "Green", "Blue"):
            setattr(data, f"{color}PaletteColorLookupTableDescriptor", [256, 0, 8])
            setattr(data, f"{color}PaletteColorLookupTableData", table)
    cohort, lines = prepared(tmp_path, data)
    np.testing.assert_array_equal(cohort.stored(cohort.ids[0]).require_image()[0, :, :, 0], GRAY.T)
    assert any("stored in color, its channels are equal: read as gray" in line for line in lines)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "cine": (
        {"NumberOfFrames": 4, "PixelData": GRAY.tobytes() * 4},
        "file 1 of 1: is a clip of 4 frames (cine); a 2-D case is a single image; export the frames that are wanted",
    ),
    "fractions without pixel sizes": (
        {"RescaleSlope": "0.5", "RescaleIntercept": "0"},
        "without pixel sizes; pictures hold whole numbers from 0 to 65535; export it unscaled",
    ),
    "cut": ({"PixelData": b"12"}, "its voxels cannot be decoded"),
    "tiny pixels": ({"PixelSpacing": ["0.001", "0.001"]}, "voxels of 0.001 mm along x; 0.05 to 20 mm"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_single_gray_image_is_refused_by_place(name, tmp_path):
    attributes, words = REFUSED[name]
    assert words in refusal(tmp_path, picture("US", **attributes))


def test_modalities_are_not_mixed_unless_the_channel_is_named(tmp_path):
    images = picture("DX"), picture("MG", SeriesInstanceUID=uid("other"), SeriesNumber=9)
    assert "images of 2 modalities: DX, MG; a cohort has one; choose with --series" in refusal(tmp_path, *images)
    assert len(prepared(tmp_path, *images, channel_names=("gray",))[0]) == 2
    chosen = prepare(tmp_path / "in", tmp_path / "chosen", PrepareOptions(series=("9",)))
    assert (len(chosen), chosen.channel_names) == (1, ("MG",))


def test_placed_slices_come_first_and_labels_are_not_taken(tmp_path):
    slices = slices_of(voxels_of())
    both = prepare(save(tmp_path / "both", [*slices, picture("DX", SeriesInstanceUID=uid("other"))]), tmp_path / "a")
    assert both.ids == ("patient_001_study_1",)
    drawn = segmentation(slices, cube_masks())
    assert "label lesion for 1 single image; 2-D DICOM images come without labels" in refusal(
        tmp_path, picture(), segment_names={"lesion": "Tumor"}
    )
    line = refusal(tmp_path, picture(), drawn)
    assert (
        "series 7 (SEG, 2 segments) beside 1 single image; 2-D DICOM images come without labels; pass --leave" in line
    )
    cohort, lines = prepared(tmp_path, picture(), drawn, leave_out=frozenset({"unpaired"}))
    assert len(cohort) == 1
    assert "left out: series 7 (SEG, 2 segments)" in lines


def test_a_slope_without_an_intercept_is_refused_since_its_values_are_not_known(tmp_path):
    line = refusal(tmp_path, picture(RescaleSlope="2"))
    assert "file 1 of 1: lacks RescaleIntercept; slope and intercept in all slices, or in none" in line


def test_another_volume_than_the_image_is_refused(tmp_path):
    line = refusal(tmp_path, picture(), read=ReadOptions(volume=1))
    assert "file 1 of 1: has one volume, not volume 1; volumes are counted from 0; leave out --volume" in line
