"""Marks of synthetic DICOM objects pass into the cohort, and out of it again."""

import pytest

from export_cohorts import cohort_of, exported_case
from medsmith.cases.verification import verify_folder
from medsmith.exporting import ExportOptions, export
from medsmith.preparation.merge import merge
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import prepare

pytest.importorskip("highdicom")
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_files import STORAGE, cube_masks, new_dataset, save, segmentation, slices_of, uid, voxels_of

CASE = "patient_001_study_1"


def equipment(data, code="109100", scheme="DCM"):
    item, purpose = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = code, scheme, "a purpose"
    item.PurposeOfReferenceCodeSequence = [purpose]
    data.ContributingEquipmentSequence = [item]


MARKS = {
    "synthetic data": lambda data: setattr(data, "SyntheticData", "YES"),
    "equipment": equipment,
    "derivation": lambda data: setattr(
        data, "DerivationDescription", "SYNTHETIC research data, not for diagnosis; pig"
    ),
    "series": lambda data: setattr(data, "SeriesDescription", "SYNTHETIC, not for diagnosis: CT"),
}
NO_MARKS = {
    "not synthetic": lambda data: setattr(data, "SyntheticData", "NO"),
    "other equipment": lambda data: equipment(data, "109102"),
    "another scheme": lambda data: equipment(data, scheme="99X"),
    "a word": lambda data: setattr(data, "SeriesDescription", "SYNTHETIC MR"),
}


def prepared(folder, **options):
    lines: list[str] = []
    out = folder.parent / "out"
    cohort = prepare(folder, out, PrepareOptions(**options), report=lines.append)
    verify_folder(out)
    return cohort, lines


def exported_marks(cohort, out):
    export(cohort, out, ExportOptions(date="20260102"))
    return [dcmread(path).get("SyntheticData") for path in sorted(out.rglob("*.dcm"))]


@pytest.mark.parametrize("name", MARKS)
def test_a_marked_image_is_a_synthetic_case_and_is_exported_as_one(name, tmp_path):
    slices = slices_of(voxels_of())
    MARKS[name](slices[4])
    cohort, lines = prepared(save(tmp_path / "in", slices))
    assert f"note: {CASE}: 1 of 9 images are marked as synthetic, and so is the case" in lines
    assert cohort.is_synthetic(CASE)
    record = {key: value for key, value in cohort.stored(CASE).provenance.items() if key != "files"}
    assert record == {
        "synthetic": True,
        "notice": "Synthetic research data. Not for diagnosis.",
        "origin": "marked as synthetic in its DICOM files",
    }
    assert exported_marks(cohort, tmp_path / "export") == ["YES"] * 9


@pytest.mark.parametrize("name", NO_MARKS)
def test_an_image_without_a_mark_is_real(name, tmp_path):
    slices = slices_of(voxels_of())
    for data in slices:
        NO_MARKS[name](data)
    cohort, _ = prepared(save(tmp_path / "in", slices))
    assert not cohort.is_synthetic(CASE)
    assert exported_marks(cohort, tmp_path / "export") == [None] * 9


def test_labels_that_are_marked_make_the_case_synthetic(tmp_path):
    slices = slices_of(voxels_of())
    drawn = segmentation(slices, cube_masks())
    drawn.SyntheticData = "YES"
    save(save(tmp_path / "in", slices), [drawn], "SEG")
    cohort, lines = prepared(tmp_path / "in")
    assert f"note: {CASE}: series 7 (SEG, 2 segments) is marked as synthetic, and so is the case" in lines
    assert cohort.is_synthetic(CASE)
    assert exported_marks(cohort, tmp_path / "export") == ["YES"] * 10


def test_a_record_beside_the_files_does_not_take_the_mark_away(tmp_path):
    slices = slices_of(voxels_of())
    MARKS["synthetic data"](slices[0])
    save(tmp_path / "in", slices)
    (tmp_path / "in" / "provenance").mkdir()
    (tmp_path / "in" / "provenance" / f"{CASE}.json").write_text('{"synthetic": false}')
    assert prepared(tmp_path / "in")[0].is_synthetic(CASE)


def test_a_marked_picture_is_a_synthetic_case(tmp_path):
    (one,) = slices_of(voxels_of()[:1, :8, :8])
    data = new_dataset(STORAGE["MR"], uid("picture"), "DX")
    for name in ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
                 "HighBit", "PixelRepresentation", "PixelData"):  # fmt: skip
        data[name] = one[name]
    data.SyntheticData = "YES"
    cohort, lines = prepared(save(tmp_path / "in", [data]))
    assert f"note: {CASE}_image_001: 1 of 1 images are marked as synthetic, and so is the case" in "\n".join(lines)
    assert cohort.is_synthetic(f"{CASE}_image_001")


def test_the_mark_passes_through_export_preparation_and_merging_again_and_again(tmp_path):
    made = cohort_of(tmp_path / "made", exported_case(synthetic=True))
    export(made, tmp_path / "first", ExportOptions(date="20260102"))
    cohort = prepare(tmp_path / "first", tmp_path / "cohort", report=lambda _: None)
    merged = merge([made.root, cohort.root], tmp_path / "both", report=lambda _: None)
    assert [merged.is_synthetic(id) for id in merged.ids] == [True, True]
    assert exported_marks(cohort, tmp_path / "second") == ["YES"] * 9
    again = prepare(tmp_path / "second", tmp_path / "again", report=lambda _: None)
    assert again.is_synthetic(CASE)
