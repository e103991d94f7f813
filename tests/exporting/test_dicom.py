"""Image series, segmentations and structure sets, read back by other software."""

from dataclasses import replace
from uuid import RFC_4122, UUID

import numpy as np
import pytest
from skimage.draw import polygon2mask

from export_cohorts import OBLIQUE, SAGITTAL, SHAPE, cohort_of, exported_case
from medsmith.errors import CohortError, RequestError
from medsmith.exporting import ExportOptions, export
from medsmith.exporting.planes import planes_of
from medsmith.geometry import Geometry

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
OPTIONS = ExportOptions(structures=True, date="20260102")


def series(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def ordered(array, affine):
    """The array and affine (RAS) in the closest canonical orientation."""
    import nibabel

    found = nibabel.as_closest_canonical(nibabel.Nifti1Image(np.asarray(array, np.float32), affine))
    return found.get_fdata(), found.affine


def check_equal(volume, array, affine):
    found, where = ordered(volume.array, LPS @ volume.affine)
    wanted, place = ordered(array, affine)
    np.testing.assert_allclose(where, place, atol=1e-4)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("affine", [OBLIQUE, SAGITTAL, np.diag([1.0, 1, 2, 1])])
def test_highdicom_reads_the_same_voxels_and_labels(tmp_path, affine):
    case = exported_case(affine=affine)
    export(cohort_of(tmp_path / "in", case), tmp_path / "out", OPTIONS)
    folder = tmp_path / "out" / "one"
    images = series(folder / "01-CT")
    check_equal(highdicom.image.get_volume_from_series(images), case.image[0], case.geometry.affine)
    found = highdicom.seg.segread(folder / "segmentation.dcm")
    names = {number: found.get_segment_description(number).SegmentLabel for number in found.segment_numbers}
    assert names == {1: "liver", 2: "liver_tumor"}
    check_equal(found.get_volume(combine_segments=True), case.labels, case.geometry.affine)


@pytest.mark.parametrize("affine", [OBLIQUE, SAGITTAL])
def test_simpleitk_reads_the_same_voxels(tmp_path, affine):
    sitk = pytest.importorskip("SimpleITK")
    case = exported_case(affine=affine)
    export(cohort_of(tmp_path / "in", case), tmp_path / "out", OPTIONS)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out" / "one" / "01-CT")))
    image = reader.Execute()
    place = np.eye(4)
    place[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    place[:3, 3] = image.GetOrigin()
    found, where = ordered(sitk.GetArrayFromImage(image).transpose(2, 1, 0), LPS @ place)
    wanted, expected = ordered(case.image[0], case.geometry.affine)
    np.testing.assert_allclose(where, expected, atol=1e-4)
    np.testing.assert_array_equal(found, wanted)


def test_contours_hold_the_voxels_of_each_label_and_their_holes(tmp_path):
    case = exported_case()
    export(cohort_of(tmp_path / "in", case), tmp_path / "out", OPTIONS)
    found = pydicom.dcmread(tmp_path / "out" / "one" / "structures.dcm")
    planes = planes_of(case.geometry, "one")
    labels = planes.arranged(case.labels)
    for roi, value in zip(found.ROIContourSequence, (1, 2), strict=True):
        mask = np.zeros(labels.shape, bool)
        for contour in roi.ContourSequence:
            points = np.array(contour.ContourData, np.float64).reshape(-1, 3) - planes.first
            number = round(float(points[0] @ planes.slices / planes.thickness**2))
            rows, columns = points @ planes.rows, points @ planes.columns
            outline = np.stack((rows / planes.pixel_spacing[0], columns / planes.pixel_spacing[1]), axis=1)
            mask[number] ^= polygon2mask(labels.shape[1:], outline)
        np.testing.assert_array_equal(mask, labels == value)
        kinds = {str(contour.ContourGeometricType) for contour in roi.ContourSequence}
        assert kinds == {"CLOSEDPLANAR_XOR" if value == 1 else "CLOSED_PLANAR"}


def test_the_reader_of_structure_sets_takes_both_kinds_of_contours(tmp_path):
    from medsmith.formats.dicom.series import find_dicom_files, read_series_of
    from medsmith.formats.dicom.structures import read_structures
    from medsmith.formats.dicom.volume import read_volume

    export(cohort_of(tmp_path / "in", exported_case()), tmp_path / "out", OPTIONS)
    folder = tmp_path / "out" / "one"
    found = {each.first.modality: each for each in read_series_of(folder, find_dicom_files(folder))}
    grid = read_volume(found["CT"]).geometry
    masks, notes = read_structures(found["RTSTRUCT"], grid, (1, 2), 0.5)
    for number, mask in masks:
        got, where = ordered(mask, grid.affine)
        wanted, place = ordered(exported_case().labels == number, exported_case().geometry.affine)
        np.testing.assert_allclose(where, place, atol=1e-4)
        np.testing.assert_array_equal(got, wanted)
    assert notes == ()


def test_a_contour_of_more_than_64_kib_is_still_a_decimal_string(tmp_path):
    """A comb, whose outline is one contour of many points."""
    labels = np.zeros((SHAPE[0], 1400, SHAPE[2]), np.uint8)
    labels[1, 1:-1, 3] = labels[1:6, 1:-1:2, 3] = 1
    grid = Geometry(labels.shape, np.diag([0.7013, 0.7013, 1, 1]) + np.outer([1, 1, 1, 0], [0, 0, 0, -433.217]))
    case = replace(exported_case(), image=np.zeros((1, *labels.shape), np.float32), labels=labels, geometry=grid)
    export(cohort_of(tmp_path / "in", case), tmp_path / "out", OPTIONS)
    found = pydicom.dcmread(tmp_path / "out" / "one" / "structures.dcm")
    (contour,) = found.ROIContourSequence[0].ContourSequence
    stored = contour.get_item("ContourData")
    assert len(stored.value) > 2**16
    assert stored.VR != "UN"  # what pydicom makes of it where lengths have 16 bits
    assert len(contour.ContourData) == 3 * contour.NumberOfContourPoints


@pytest.mark.parametrize("scale", [1e-4, 1, 1e3])
def test_the_window_of_mr_spreads_its_values_whatever_their_scale(scale, tmp_path):
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    case = exported_case(stored=np.float32, channels=("T1",))
    gray = (np.linspace(0, scale, case.image.size, dtype=np.float32)).reshape(case.image.shape)
    export(cohort_of(tmp_path / "in", replace(case, image=gray)), tmp_path / "out", OPTIONS)
    image = series(tmp_path / "out" / "one" / "01-T1")[3]
    values = apply_modality_lut(image.pixel_array, image)
    low, high = (float(image.RescaleIntercept) + end * float(image.RescaleSlope) for end in (0, 2**16 - 1))
    shown = (apply_voi_lut(values, image) - low) / (high - low)
    np.testing.assert_allclose(shown, np.clip((values - 0.005 * scale) / (0.99 * scale), 0, 1), atol=1e-4)


def test_names_of_labels_and_channels_are_one_value_each(tmp_path):
    from medsmith.exporting.dicom import DicomWriter

    names = {"background": 0, "Läsion\\links\t1": 1, "n" * 80: 2}
    case = replace(exported_case(channels=("a\\b",)), label_names=names)
    DicomWriter("20260102", "MR", structures=True, keep_identity=False)(case, tmp_path)
    wanted = ["Läsion_links_1", "n" * 64]
    segments = pydicom.dcmread(tmp_path / "segmentation.dcm").SegmentSequence
    assert [segment.SegmentLabel for segment in segments] == wanted
    regions = pydicom.dcmread(tmp_path / "structures.dcm").StructureSetROISequence
    assert [region.ROIName for region in regions] == wanted
    assert series(tmp_path / "01-a_b")[0].SeriesDescription == "a_b"


def test_voxels_outside_that_meet_at_a_corner_are_no_hole():
    from medsmith.exporting.structures import has_hole

    ring = np.ones((4, 4), bool)
    ring[1, 1] = False
    assert has_hole(ring)
    ring[0, 0] = False
    assert not has_hole(ring)


def test_every_object_says_that_it_is_synthetic_and_how_it_was_made(tmp_path):
    export(cohort_of(tmp_path / "in", exported_case(synthetic=True)), tmp_path / "out", OPTIONS)
    files = sorted((tmp_path / "out").rglob("*.dcm"))
    assert len(files) == 8 + 2
    for path in files:
        found = pydicom.dcmread(path)
        assert found.SyntheticData == "YES"
        (equipment,) = found.ContributingEquipmentSequence
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
        assert equipment.ManufacturerModelName == "pig"
        assert "case_seed 77" in equipment.ContributionDescription
        assert "not for diagnosis" in found.SeriesDescription
        assert found.preamble == bytes(128)
        assert found.PatientName == "SYNTHETIC^medsmith"
        for segment in found.get("SegmentSequence", ()):
            assert segment.SegmentAlgorithmName == "medsmith pig"
        for roi in found.get("StructureSetROISequence", ()):
            assert roi.ROIGenerationAlgorithm == "AUTOMATIC"
    image = pydicom.dcmread(files[0])
    assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert "SYNTHETIC" in image.DerivationDescription


def test_a_real_case_is_not_called_synthetic(tmp_path):
    export(cohort_of(tmp_path / "in", exported_case()), tmp_path / "out", OPTIONS)
    for path in (tmp_path / "out").rglob("*.dcm"):
        found = pydicom.dcmread(path)
        assert "SyntheticData" not in found
        for segment in found.get("SegmentSequence", ()):
            assert segment.SegmentAlgorithmName == "not known"
            assert "SegmentationAlgorithmIdentificationSequence" not in segment
        for roi in found.get("StructureSetROISequence", ()):
            assert roi.ROIGenerationAlgorithm == ""
        assert found.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


def test_identifiers_are_valid_distinct_and_bytes_repeat(tmp_path):
    cohort = cohort_of(tmp_path / "in", exported_case("a"), exported_case("b"))
    for name in ("first", "second"):
        export(cohort, tmp_path / name, OPTIONS)
    first, second = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.dcm")}
        for name in ("first", "second")
    )
    assert first == second
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in (tmp_path / "first").rglob("*.dcm")]
    assert len(set(uids)) == len(uids) == 20
    assert all(uid.is_valid for uid in uids)
    from medsmith.exporting.dataset import IMPLEMENTATION

    uuids = [UUID(int=int(uid.removeprefix("2.25."))) for uid in (*uids, IMPLEMENTATION)]
    assert {((uuid.int >> 76) & 15, uuid.variant) for uuid in uuids} == {(8, RFC_4122)}


def test_gray_values_of_mr_are_rounded_to_16_bits_and_the_error_is_said(tmp_path):
    case = exported_case(stored=np.float32, channels=("T1", "T2"))
    found = export(cohort_of(tmp_path / "in", case), tmp_path / "out", OPTIONS)
    assert any(line.startswith("gray values are rounded to 16 bits") for line in found.lines)
    for channel, name in enumerate(case.channel_names):
        images = series(tmp_path / "out" / "one" / f"{channel + 1:02d}-{name}")
        assert {image.Modality for image in images} == {"MR"}
        volume = highdicom.image.get_volume_from_series(images)
        found_gray, _ = ordered(volume.array, LPS @ volume.affine)
        wanted, _ = ordered(case.image[channel], case.geometry.affine)
        assert 0 < np.abs(found_gray - wanted).max() <= found.largest_error * 1.01


def test_a_killed_export_is_continued_to_the_same_bytes(tmp_path, monkeypatch):
    from medsmith.exporting.dataset import write_dicom

    cohort = cohort_of(tmp_path / "in", exported_case("a"), exported_case("b"))
    export(cohort, tmp_path / "calm", OPTIONS)
    calls = []

    def dying(path, dataset):
        calls.append(path)
        if len(calls) > 11:
            raise KeyboardInterrupt
        write_dicom(path, dataset)

    monkeypatch.setattr("medsmith.exporting.dicom.write_dicom", dying)
    with pytest.raises(KeyboardInterrupt):
        export(cohort, tmp_path / "out", OPTIONS)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "export.json"}
    monkeypatch.undo()
    export(cohort, tmp_path / "out", OPTIONS)
    for path in (tmp_path / "calm").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "out" / path.relative_to(tmp_path / "calm")).read_bytes()


def test_other_options_do_not_continue_an_export(tmp_path):
    cohort = cohort_of(tmp_path / "in", exported_case())
    export(cohort, tmp_path / "out", OPTIONS)
    with pytest.raises(
        CohortError, match="was exported from other cases or another source, or with other options; choose"
    ):
        export(cohort, tmp_path / "out", ExportOptions(date="20260102"))


def test_a_channel_of_unknown_modality_needs_the_option(tmp_path):
    cohort = cohort_of(tmp_path / "in", exported_case(channels=("scan",)))
    with pytest.raises(RequestError, match=r"'scan' tells no modality; CT and MR .*; name one by --modality"):
        export(cohort, tmp_path / "out", OPTIONS)
    assert not any(path.suffix == ".dcm" for path in (tmp_path / "out").rglob("*"))
    export(cohort, tmp_path / "other", ExportOptions(modality="MR"))
