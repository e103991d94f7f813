"""Folders of DICOM files as cohorts: which series and segments are taken, and that no patient identity is written."""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from medsmith.cases.cohort import Cohort
from medsmith.cases.verification import verify_folder
from medsmith.cli import main
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import RECORD, prepare
from scan_files import run

pytest.importorskip("highdicom")
from pydicom.dataset import Dataset

from dicom_files import cube_masks, file_of, save, segmentation, slices_of, structure_set, uid, voxels_of

MASKS = cube_masks()
JOINED = (MASKS[..., 0] + 2 * MASKS[..., 1]).transpose(2, 1, 0)
CT_NAME = "series 2 (CT, 9 slices of 12 x 11)"
CONTOUR = np.array([(-8, 7, 30), (-5, 7, 30), (-5, 10, 30), (-8, 10, 30)], float)


def patient(folder, name="A", *, drawn=True, **options):
    slices = slices_of(voxels_of(len(name)), patient=name, **options)
    save(folder / name, slices)
    if drawn:
        save(folder / name / "seg", [segmentation(slices, MASKS)], "SEG")
    return slices


def refusal(folder, **options):
    lines: list[str] = []
    code, line = run(lambda: prepare(folder, folder.parent / "out", PrepareOptions(**options), report=lines.append))
    assert code == 2
    assert not (folder.parent / "out").exists()
    return line


def prepared(folder, **options):
    lines: list[str] = []
    cohort = prepare(folder, folder.parent / "out", PrepareOptions(**options), report=lines.append)
    verify_folder(cohort.root)
    return cohort, lines


def test_studies_become_cases_with_ids_of_their_own(tmp_path):
    patient(tmp_path / "in", "A")
    patient(tmp_path / "in" / "early", "B", study="early")
    patient(tmp_path / "in" / "late", "B", study="late", drawn=False)
    cohort, lines = prepared(tmp_path / "in", leave_out=frozenset({"unpaired"}))
    assert list(cohort.ids) == ["patient_001_study_1", "patient_002_study_1"]
    assert "left out: patient_002_study_2" in lines
    assert (
        lines[0]
        == "2 cases: DICOM, one for each study: series 2 (CT, 9 slices of 12 x 11) + series 7 (SEG, 2 segments)"
    )
    case = cohort.stored("patient_001_study_1")
    assert case.channel_names == ("CT",)
    assert case.label_names == {"background": 0, "label_1": 1, "label_2": 2}
    np.testing.assert_array_equal(case.image[0], voxels_of(1).transpose(2, 1, 0) - 1024)
    np.testing.assert_array_equal(case.labels, JOINED)
    assert case.stored == np.int16


def test_a_second_identical_call_changes_nothing_and_another_choice_is_refused(tmp_path):
    patient(tmp_path / "in")
    cohort, _ = prepared(tmp_path / "in", segment_names={"lesion": "tumor"})
    before = {path: path.read_bytes() for path in sorted(cohort.root.rglob("*")) if path.is_file()}
    prepared(tmp_path / "in", segment_names={"lesion": "Tumor"})
    assert {path: path.read_bytes() for path in sorted(cohort.root.rglob("*")) if path.is_file()} == before
    code, line = run(lambda: prepared(tmp_path / "in", segment_names={"lesion": "Liver"}))
    assert (code, "differs in" in line and "sources" in line) == (2, True)
    assert cohort.stored("patient_001_study_1").labels.sum() == MASKS[..., 1].sum()


def test_series_are_chosen_by_number_description_and_uid(tmp_path):
    thick = slices_of(voxels_of(3), series="thick", number=4)
    for data in thick:
        data.SeriesDescription = "Thick 5.0"
    save(tmp_path / "in" / "thin", slices_of(voxels_of(), series="thin", number=3))
    save(tmp_path / "in" / "thick", thick)
    assert "2 series of patient_001_study_1 fit: series 4 (CT, 9 slices" in refusal(tmp_path / "in")
    for place, value in enumerate(("4", "thick 5.0", uid("P", "study", "thick"))):
        cohort = prepare(tmp_path / "in", tmp_path / f"out{place}", PrepareOptions(series=(value,)))
        np.testing.assert_array_equal(
            cohort.stored("patient_001_study_1").require_image()[0, :, :, 0], voxels_of(3)[0].T - 1024
        )
    line = refusal(tmp_path / "in", series=("4", "none such"))
    assert line.startswith(
        "--series: value 2 fits none of 2 series; a series number, description or UID; medsmith series"
    )


def test_scouts_are_passed_over_and_a_series_that_is_drawn_on_is_taken(tmp_path):
    scout = slices_of(voxels_of(), series="scout", number=1, modality="CT")[:2]
    for data in scout:
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(tmp_path / "in" / "scout", scout)
    patient(tmp_path / "in", "P", drawn=False, number=5)
    cohort = prepare(tmp_path / "in", tmp_path / "first")
    assert cohort.stored("patient_001_study_1").require_image().shape == (1, 12, 11, 9)
    other = slices_of(voxels_of(8), series="other", number=6)
    save(tmp_path / "in" / "other", [*other, segmentation(other, MASKS)])
    np.testing.assert_array_equal(prepared(tmp_path / "in")[0].stored("patient_001_study_1").labels, JOINED)


def test_structure_sets_and_segmentations_are_told_apart(tmp_path):
    slices = patient(tmp_path / "in")
    save(tmp_path / "in", [structure_set(slices, [[CONTOUR]], names=["Tumor"])], "RT")
    line = refusal(tmp_path / "in")
    assert "patient_001_study_1 has 2: series 7 (SEG, 2 segments), series 8 (RTSTRUCT, 1 ROI)" in line
    line = refusal(tmp_path / "in", segment_names={"lesion": "Tumor"})
    assert "label lesion of patient_001_study_1 is in series 7 (SEG, 2 segments), series 8" in line
    by_contour, _ = prepared(tmp_path / "in", segment_names={"lesion": "tumor"}, series=("8",))
    assert np.unique(np.nonzero(by_contour.stored("patient_001_study_1").labels)[2]).tolist() == [4]
    both = prepare(
        tmp_path / "in", tmp_path / "both", PrepareOptions(segment_names={"liver": "Liver"}, label_names={"x": 2})
    )
    assert both.stored("patient_001_study_1").label_names == {"background": 0, "x": 1, "liver": 2}


def test_a_segmentation_beside_a_structure_set_is_refused_as_the_page_shows_and_its_command_goes_on(tmp_path):
    slices = patient(tmp_path / "SCANS", drawn=False)
    save(tmp_path / "SCANS" / "seg", [segmentation(slices, MASKS, labels=("a", "GTVp_test_man"), number=300)])
    save(tmp_path / "SCANS" / "rt", [structure_set(slices, [[CONTOUR], [CONTOUR]], number=9)])
    page = (Path(__file__).parents[2] / "docs" / "dicom.md").read_text()
    assert refusal(tmp_path / "SCANS").removeprefix(f"{tmp_path}/") in page.splitlines()
    command = "medsmith prepare SCANS COHORT --series 300 --label lesion=GTVp_test_man"
    assert f"$ {command}" in page.splitlines()
    folders = {name: str(tmp_path / name) for name in ("SCANS", "COHORT")}
    with pytest.raises(SystemExit) as ended:
        main([folders.get(word, word) for word in command.split()[1:]])
    assert ended.value.code == 0
    case = Cohort.open(tmp_path / "COHORT").stored("patient_001_study_1")
    np.testing.assert_array_equal(case.labels, MASKS[..., 1].transpose(2, 1, 0))


def test_an_image_series_that_is_named_alone_comes_without_labels(tmp_path):
    slices = patient(tmp_path / "in")
    save(tmp_path / "in", [structure_set(slices, [[CONTOUR]], names=["Tumor"])], "RT")
    bare, _ = prepared(tmp_path / "in", series=("2",))
    assert bare.ids_with_image == ("patient_001_study_1",)
    assert bare.ids_with_labels == ()


def test_one_number_with_two_meanings_is_refused_without_their_names(tmp_path):
    patient(tmp_path / "in", "A")
    slices = patient(tmp_path / "in", "B", drawn=False)
    save(tmp_path / "in" / "B", [segmentation(slices, MASKS, labels=("Liver", "Kidney"))], "SEG")
    line = refusal(tmp_path / "in")
    assert "segment 2 has 2 different labels in the files; one meaning; choose with --label NAME=SEGMENT" in line
    assert "Kidney" not in line
    cohort, _ = prepared(tmp_path / "in", segment_names={"kidney": "kidney"}, keep=frozenset({"unpaired"}))
    assert cohort.stored("patient_001_study_1").labels is None


def test_a_segmentation_without_its_series_is_refused(tmp_path):
    slices = patient(tmp_path / "in")
    away = slices_of(voxels_of(), patient="A", series="away")
    lost = segmentation(away, MASKS, number=9)
    save(tmp_path / "in" / "lost", [lost], "SEG")
    line = refusal(tmp_path / "in")
    assert "series 9 (SEG, 2 segments) refers to a series that is not in the folder; labels have their image" in line
    cohort, lines = prepared(tmp_path / "in", leave_out=frozenset({"unpaired"}))
    assert "left out: series 9 (SEG, 2 segments)" in lines
    assert len(cohort) == 1
    assert slices


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"segment_names": {"lesion": "spleen"}}, "has a segment for label lesion; --label NAME=SEGMENT"),
        ({"channel_names": ("CT", "PET")}, "2 channel names; a series is one channel"),
        ({"fraction": 0.0}, "--fraction: 0; above 0, at most 1"),
        ({"percentiles": (0.5, 99.5)}, "--percentiles: a channel is named CT"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words, tmp_path):
    patient(tmp_path / "in")
    assert words in refusal(tmp_path / "in", **options)


def test_series_are_for_dicom_alone(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"x")
    assert "it chooses among DICOM series" in refusal(tmp_path / "in", series=("1",))
    assert "values are whole numbers" in refusal(tmp_path / "in", segment_names={"a": "b"}, channel_names=("x",))


def test_without_the_extra_one_line_names_it(tmp_path, monkeypatch):
    patient(tmp_path / "in")
    monkeypatch.setattr("medsmith.formats.packages.find_spec", lambda _: None)
    line = refusal(tmp_path / "in")
    assert line.endswith(
        "in: is DICOM; reading it takes pydicom and highdicom; pip install -e '.[dicom]' -c constraints.txt"
    )


TEXTS = (
    "PatientName", "PatientID", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName",
    "MedicalRecordLocator", "PatientAddress", "PatientTelephoneNumbers", "PatientComments",
    "AdditionalPatientHistory", "Occupation", "EthnicGroup", "MilitaryRank", "InstitutionName",
    "InstitutionAddress", "InstitutionalDepartmentName", "StationName", "ReferringPhysicianName",
    "PerformingPhysicianName", "OperatorsName", "NameOfPhysiciansReadingStudy", "RequestingPhysician",
    "AccessionNumber", "StudyID", "StudyDescription", "SeriesDescription", "ProtocolName", "ImageComments",
    "DeviceSerialNumber", "DerivationDescription",
)  # fmt: skip
DATES = (
    "PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate",
)  # fmt: skip
UIDS = (
    "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "DeviceUID",
    "SynchronizationFrameOfReferenceUID",
)  # fmt: skip


def planted():
    """Forty strings by attribute; each occurs nowhere else."""
    strings = {name: f"Zq{place:02d}x" for place, name in enumerate(TEXTS)}
    strings |= {name: f"1937102{place}" for place, name in enumerate(DATES)}
    return strings | {name: f"1.2.840.99999.7{place}" for place, name in enumerate(UIDS)}


def identified(folder):
    slices = slices_of(voxels_of())
    for place, data in enumerate(slices):
        for name, text in planted().items():
            setattr(data, name, text)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.840.99999.8.{place}"
        data.OtherPatientIDsSequence = [Dataset()]
        data.OtherPatientIDsSequence[0].PatientID = "Zq90x"
        data.private_block(0x11, "Zq91x", create=True).add_new(1, "LO", "Zq92x")
    save(folder, slices)
    drawn = segmentation(
        slices, MASKS, labels=("Zq93x", "Zq94x"), content_description="Zq95x", content_creator_name="Zq96x"
    )
    save(folder, [drawn], "SEG")
    save(folder, [structure_set(slices, [[CONTOUR]], names=["Zq97x"])], "RT")
    return slices


def everything_in(folder):
    for path in folder.rglob("*"):
        yield str(path.relative_to(folder)).encode()
        if path.is_file():
            data = path.read_bytes()
            yield data
            yield gzip.decompress(data) if data[:2] == b"\x1f\x8b" else b""


def test_no_identity_is_written_or_printed(tmp_path, capfd):
    slices = identified(tmp_path / "in")
    source, out = str(tmp_path / "in"), tmp_path / "out"
    said = []
    arguments = ["--series", "Zq25x", "--series", "7", "--label", "lesion=Zq94x", "--label", "organ=1"]
    with pytest.raises(SystemExit) as done:
        main(["prepare", source, str(out), *arguments])
    assert done.value.code == 0
    assert main(["prepare", source, str(tmp_path / "none")]) == 2  # two label objects
    assert main(["prepare", source, str(tmp_path / "none"), "--series", "Zq-none"]) == 2
    middle = file_of(tmp_path / "in", 4)
    middle.write_bytes(middle.read_bytes()[:-50])
    assert main(["prepare", source, str(tmp_path / "none"), "--series", "7"]) == 2
    middle.unlink()
    assert main(["prepare", source, str(tmp_path / "none"), "--series", "7"]) == 2
    said += capfd.readouterr()
    for words in ("has 2: series", "value 1 fits none", "cannot be decoded", "by position lie 5 mm apart"):
        assert words in said[1]
    assert json.loads((out / RECORD).read_text())["label_names"] == {"background": 0, "organ": 1, "lesion": 2}
    strings = [*planted().values(), *(f"Zq{number}x" for number in range(90, 98)), "1.2.840.99999"]
    assert len(set(planted().values())) == 40
    found = b"\n".join([*everything_in(out), *(text.encode() for text in said)])
    assert [text for text in strings if text.encode() in found] == []
    assert str(slices[0].PatientName) == "Zq00x"


def test_the_listing_shows_what_prepare_hides_and_names_a_file(tmp_path, capsys):
    identified(tmp_path / "in")
    with pytest.raises(SystemExit):
        main(["series", str(tmp_path / "in")])
    listed = capsys.readouterr().out
    for text in (
        "patient_001_study_1: 3 series",
        "    2  CT        9 slices of 12 x 11; Zq25x; 1.2.840.99999.71",
        "Zq94x",
        "Zq97x",
    ):
        assert text in listed
    with pytest.raises(SystemExit):
        main(["series", str(tmp_path / "in"), "--file", "1"])
    assert capsys.readouterr().out == f"{tmp_path / 'in' / 'IM0' / 'IM000'}\n"
    assert main(["series", str(tmp_path / "in"), "--file", "99"]) == 2


def test_the_packages_are_not_imported_for_other_files(tmp_path):
    import subprocess

    (tmp_path / "in").mkdir()
    code = (
        "import sys\nfrom medsmith.cli import main\n"
        f"main(['prepare', {str(tmp_path / 'in')!r}, {str(tmp_path / 'out')!r}])\n"
        "print([name for name in ('highdicom', 'SimpleITK') if name in sys.modules])"  # nibabel imports pydicom
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
