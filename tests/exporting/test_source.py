"""References to the source series, and whose names come out."""

import hashlib
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from export_cohorts import cohort_of, exported_case
from medsmith.errors import CohortError, FileError, RequestError
from medsmith.exporting import ExportOptions, export
from medsmith.formats.packages import quiet

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
OPTIONS = ExportOptions(date="20260102")
TEXTS = (
    "PatientName", "PatientID", "OtherPatientNames", "PatientAddress", "PatientTelephoneNumbers",
    "PatientMotherBirthName",
    "PatientComments", "PatientBirthName", "MilitaryRank", "EthnicGroup", "Occupation", "AdditionalPatientHistory",
    "PatientReligiousPreference", "CountryOfResidence", "RegionOfResidence", "MedicalRecordLocator",
    "IssuerOfPatientID",
    "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName", "ReferringPhysicianName",
    "PhysiciansOfRecord", "PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "OperatorsName", "AccessionNumber",
    "StudyID", "StudyDescription", "SeriesDescription", "ProtocolName", "RequestedProcedureDescription",
    "RequestingPhysician", "RequestingService", "AdmissionID", "CurrentPatientLocation", "DeviceSerialNumber",
    "ImageComments", "RequestAttributesSequence", "DerivationDescription",
)  # fmt: skip
"""Forty attributes that may name a patient, a person or a hospital."""


def planted(root: Path) -> list[str]:
    """Writes a name into each of the attributes of every object below a folder."""
    words = [f"XQ{number:02d}Z" for number in range(len(TEXTS))]
    for path in root.rglob("*.dcm"):
        found = pydicom.dcmread(path)
        for keyword, word in zip(TEXTS, words, strict=True):
            if keyword == "RequestAttributesSequence":
                item = pydicom.Dataset()
                item.RequestedProcedureID = word
                found.RequestAttributesSequence = [item]
            else:
                setattr(found, keyword, word)
        found.PatientBirthDate, found.StudyDate = "19611213", "20190817"
        found.save_as(path)
    return [*words, "19611213", "20190817"]


@pytest.fixture
def made(tmp_path):
    """A scan as a DICOM series with names, and a case of a cohort that was made from it."""
    scan = exported_case("scan")
    export(cohort_of(tmp_path / "scans", scan), tmp_path / "hospital", ExportOptions(date="20200101"))
    (tmp_path / "hospital" / "scan" / "segmentation.dcm").unlink()
    words = planted(tmp_path / "hospital")
    other = exported_case("made", synthetic=True)
    other.image[0, 5:7, 5:7, 2:4] += 100
    return cohort_of(tmp_path / "in", other), tmp_path / "hospital", words


def test_no_name_of_the_source_is_in_any_byte(made, tmp_path, capfd):
    cohort, hospital, words = made
    found = export(cohort, tmp_path / "out", OPTIONS, source=hospital)
    assert found.with_source == ("made",)
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    said = "".join(capfd.readouterr()).encode()
    leaked = [word for word in words if any(word.encode() in content for content in (*written, said))]
    assert (len(words), leaked) == (42, [])


def test_each_image_names_its_source_and_lies_in_its_frame_of_reference(made, tmp_path):
    cohort, hospital, _ = made
    export(cohort, tmp_path / "out", OPTIONS, source=hospital)
    sources = {
        str(found.SOPInstanceUID): found for found in map(pydicom.dcmread, (hospital / "scan" / "01-CT").iterdir())
    }
    for path in (tmp_path / "out" / "made" / "01-CT").iterdir():
        found = pydicom.dcmread(path)
        (item,) = found.SourceImageSequence
        source = sources[str(item.ReferencedSOPInstanceUID)]
        assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert found.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert found.StudyInstanceUID != source.StudyInstanceUID
        np.testing.assert_allclose(found.ImagePositionPatient, source.ImagePositionPatient)


def test_identity_is_kept_on_request(made, tmp_path):
    cohort, hospital, _ = made
    export(cohort, tmp_path / "out", ExportOptions(date="20260102", keep_identity=True), source=hospital)
    source = pydicom.dcmread(next((hospital / "scan" / "01-CT").iterdir()))
    for path in (tmp_path / "out").rglob("*.dcm"):
        found = pydicom.dcmread(path)
        assert (found.PatientName, found.PatientID) == (source.PatientName, source.PatientID)
        assert found.StudyInstanceUID == source.StudyInstanceUID
        assert found.SyntheticData == "YES"
        assert "XQ17Z" not in str(found.get("InstitutionName", ""))


def test_patient_and_source_are_part_of_the_identifiers(made, tmp_path):
    cohort, hospital, _ = made
    uids = []
    for name, keep, source in (("plain", False, None), ("source", False, hospital), ("kept", True, hospital)):
        export(cohort, tmp_path / name, ExportOptions(date="20260102", keep_identity=keep), source=source)
        uids.append({str(pydicom.dcmread(path).SOPInstanceUID) for path in (tmp_path / name).rglob("*.dcm")})
    assert len(set.union(*uids)) == sum(map(len, uids)) == 3 * 9


def test_a_scan_of_another_grid_or_with_other_voxels_is_no_source(made, tmp_path):
    _, hospital, _ = made
    moved = exported_case("moved", np.diag([1.0, 1, 2, 1]), synthetic=True)
    other = exported_case("other", synthetic=True, seed=5)
    found = export(cohort_of(tmp_path / "others", moved, other), tmp_path / "out", OPTIONS, source=hospital)
    assert found.with_source == ()
    assert found.without_source == ("moved", "other")
    assert found.lines[-1] == "no series of the source has the grid, half of the voxels and valid UIDs: 2 cases"
    assert export(cohort_of(tmp_path / "plain", moved), tmp_path / "none", OPTIONS).without_source == ()
    assert all("SourceImageSequence" not in pydicom.dcmread(path) for path in (tmp_path / "out").rglob("0*.dcm"))


def head(id, seed, **options):
    """Different brains on one grid, with zeros around them."""
    case = exported_case(id, seed=seed, **options)
    brain = np.zeros(case.image.shape, bool)
    brain[:, 4:9, 3:8, 2:6] = True
    return replace(case, image=np.where(brain, np.abs(case.image) + 1, 0).astype(np.float32))


def test_equal_background_makes_no_scan_of_another_patient_a_source(tmp_path):
    export(cohort_of(tmp_path / "scans", head("scan", 1, channels=("T1",))), tmp_path / "hospital", OPTIONS)
    other, own = head("other", 2, channels=("T1",), synthetic=True), head("own", 1, channels=("T1",), synthetic=True)
    assert (other.image == own.image).mean() > 0.8
    found = export(cohort_of(tmp_path / "in", other, own), tmp_path / "out", OPTIONS, source=tmp_path / "hospital")
    assert found.with_source == ("own",)


def test_each_channel_has_its_own_source(tmp_path):
    for seed, channel in ((1, "T1"), (2, "T2")):
        scan = head(f"scan_{channel}", seed, channels=(channel,))
        export(cohort_of(tmp_path / channel, scan), tmp_path / "hospital" / channel, OPTIONS)
    for path in (tmp_path / "hospital" / "T2").rglob("0*.dcm"):
        found = pydicom.dcmread(path)
        found.BurnedInAnnotation = "NO"
        found.save_as(path)
    images = [head("one", seed, channels=("T",)).image for seed in (1, 2, 3)]
    case = exported_case("made", synthetic=True, channels=("T1", "T2", "FLAIR"))
    cohort = cohort_of(tmp_path / "in", replace(case, image=np.concatenate(images)))
    export(cohort, tmp_path / "out", OPTIONS, source=tmp_path / "hospital")
    for number, channel in enumerate(case.channel_names, start=1):
        made = pydicom.dcmread(tmp_path / "out" / "made" / f"{number:02d}-{channel}" / "0004.dcm")
        assert ("SourceImageSequence" in made) == (channel != "FLAIR")
        assert made.get("BurnedInAnnotation") == ("NO" if channel == "T2" else None)
        if channel != "FLAIR":
            source = pydicom.dcmread(next((tmp_path / "hospital" / channel).rglob("0004.dcm")))
            assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_the_volume_of_a_series_is_found_that_a_case_was_made_from(tmp_path):
    for seed in (1, 2):
        export(cohort_of(tmp_path / f"{seed}", head(f"phase_{seed}", seed)), tmp_path / "hospital" / f"{seed}", OPTIONS)
        for path in (tmp_path / "hospital" / f"{seed}").rglob("0*.dcm"):
            found = pydicom.dcmread(path)
            found.SeriesInstanceUID, found.AcquisitionNumber = "1.2.3", seed
            found.save_as(path)
    cohort = cohort_of(tmp_path / "in", head("made", 2, synthetic=True))
    assert export(cohort, tmp_path / "out", OPTIONS, source=tmp_path / "hospital").with_source == ("made",)
    made = pydicom.dcmread(tmp_path / "out" / "made" / "01-CT" / "0004.dcm")
    source = pydicom.dcmread(next((tmp_path / "hospital" / "2").rglob("0004.dcm")))
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_burned_in_annotation_of_any_channel_is_refused(tmp_path):
    scan = head("scan", 2, channels=("T2",))
    export(cohort_of(tmp_path / "scans", scan), tmp_path / "hospital", OPTIONS)
    for path in (tmp_path / "hospital").rglob("0*.dcm"):
        found = pydicom.dcmread(path)
        found.BurnedInAnnotation = "YES"
        found.save_as(path)
    case = exported_case("made", synthetic=True, channels=("T1", "T2"))
    cohort = cohort_of(tmp_path / "in", replace(case, image=np.concatenate((case.image[:1], scan.image))))
    with pytest.raises(RequestError, match="images of made carry burned-in annotation"):
        export(cohort, tmp_path / "out", OPTIONS, source=tmp_path / "hospital")


def test_of_every_source_image_only_what_is_needed_is_kept_in_memory(made):
    from medsmith.exporting.source import find_series
    from medsmith.progress import NullProgress

    _, hospital, _ = made
    (found,) = find_series(hospital, NullProgress())
    assert "InstitutionName" in pydicom.dcmread(found.images[0].path)
    assert not {"InstitutionName", "WindowCenter"} & {element.keyword for element in found.header}


def test_malformed_identifiers_of_a_source_are_not_written_on(made, tmp_path):
    cohort, hospital, _ = made
    with quiet():
        for number, path in enumerate(sorted((hospital / "scan" / "01-CT").iterdir())):
            source = pydicom.dcmread(path)
            source.FrameOfReferenceUID = source.StudyInstanceUID = "1.2.DOE"
            if number == 3:
                source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = "1.02.DOE"
            source.save_as(path)
    found = export(cohort, tmp_path / "out", OPTIONS, source=hospital)
    assert (found.with_source, found.without_source) == ((), ("made",))
    assert found.lines[-1] == "no series of the source has the grid, half of the voxels and valid UIDs: 1 case"
    for path in (tmp_path / "out").rglob("*.dcm"):
        written = pydicom.dcmread(path)
        assert "SourceImageSequence" not in written or path.name == "segmentation.dcm"  # which refers to its own images
        assert written.FrameOfReferenceUID.startswith("2.25.")
        assert b"DOE" not in path.read_bytes()
    kept = ExportOptions(date="20260102", keep_identity=True)
    with pytest.raises(RequestError, match="the source of made has no valid study UID; identifiers are digits and"):
        export(cohort, tmp_path / "kept", kept, source=hospital)
    assert not list((tmp_path / "kept").rglob("*.dcm"))


@pytest.mark.parametrize("mark", ["SyntheticData", "DerivationDescription"])
def test_a_case_of_a_source_that_is_marked_as_synthetic_is_marked_too(mark, tmp_path):
    cohort = cohort_of(tmp_path / "in", exported_case("scan"))
    export(cohort, tmp_path / "hospital", OPTIONS)
    (tmp_path / "hospital" / "scan" / "segmentation.dcm").unlink()
    path = tmp_path / "hospital" / "scan" / "01-CT" / "0003.dcm"
    data = pydicom.dcmread(path)
    setattr(data, mark, "YES" if mark == "SyntheticData" else "SYNTHETIC research data, not for diagnosis; pig")
    data.save_as(path)
    export(cohort, tmp_path / "out", OPTIONS, source=tmp_path / "hospital")
    files = sorted((tmp_path / "out").rglob("*.dcm"))
    assert len(files) == 8 + 1
    for found in map(pydicom.dcmread, files):
        assert found.SyntheticData == "YES"
        assert found.PatientName == "SYNTHETIC^medsmith"
        assert "not for diagnosis" in found.SeriesDescription
        (equipment,) = found.ContributingEquipmentSequence
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"  # medsmith did not make it
        for segment in found.get("SegmentSequence", ()):
            assert segment.SegmentAlgorithmName == "not known"
    assert json.loads((tmp_path / "out" / "scan" / "export.json").read_text())["synthetic"] is True
    assert not cohort.stored("scan").synthetic


def test_an_export_continues_with_the_same_source_wherever_it_lies_and_with_no_other(made, tmp_path):
    cohort, hospital, words = made
    export(cohort, tmp_path / "out", OPTIONS, source=hospital)
    record = (tmp_path / "out" / "export.json").read_text()
    images = map(pydicom.dcmread, (hospital / "scan" / "01-CT").iterdir())
    uids = sorted(str(image.SOPInstanceUID) for image in images)
    assert json.loads(record)["source"] == hashlib.sha256("\n".join(uids).encode()).hexdigest()
    assert not any(word in record for word in [*words, str(hospital), *uids])
    hospital.rename(tmp_path / "moved")
    export(cohort, tmp_path / "out", OPTIONS, source=tmp_path / "moved")
    (tmp_path / "moved" / "scan" / "01-CT" / "0008.dcm").unlink()
    for source in (tmp_path / "moved", None):
        with pytest.raises(CohortError, match="was exported from other cases or another source, or with other options"):
            export(cohort, tmp_path / "out", OPTIONS, source=source)
    assert (tmp_path / "out" / "export.json").read_text() == record


def test_identity_without_a_fitting_series_is_refused(made, tmp_path):
    _, hospital, _ = made
    cohort = cohort_of(tmp_path / "others", exported_case("other", synthetic=True, seed=5))
    with pytest.raises(RequestError, match=r"no series has .* voxels of other; .*leave out --keep-identity"):
        export(cohort, tmp_path / "out", ExportOptions(keep_identity=True), source=hospital)


def test_a_source_without_images_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    cohort = cohort_of(tmp_path / "in", exported_case())
    with pytest.raises(RequestError, match="empty holds no DICOM image with a place; at least one series"):
        export(cohort, tmp_path / "out", OPTIONS, source=tmp_path / "empty")


def test_a_source_whose_rescaling_is_damaged_is_one_line(made, tmp_path):
    cohort, hospital, _ = made
    for path in (path for path in hospital.rglob("*") if path.is_file()):
        path.write_bytes(path.read_bytes().replace(b"\x28\0\x52\x10DS", b"\x28\0\x52\x10D\0"))
    with pytest.raises(
        FileError, match=r", file \d of 8: its rescaling cannot be read; slope and intercept are numbers"
    ):
        export(cohort, tmp_path / "out", OPTIONS, source=hospital)


def test_the_date_is_that_of_today_by_default(tmp_path):
    export(cohort_of(tmp_path / "in", exported_case()), tmp_path / "out")
    found = pydicom.dcmread(next((tmp_path / "out").rglob("0001.dcm")))
    assert abs((date.fromisoformat(str(found.StudyDate)) - date.today()).days) <= 1


def stored_otherwise(root: Path, turn: str) -> None:
    """Stores every image in another orientation, at the same place in the patient."""
    for path in root.rglob("0*.dcm"):
        found = pydicom.dcmread(path)
        pixels, position = found.pixel_array, np.array(found.ImagePositionPatient, float)
        axes, spacing = np.array(found.ImageOrientationPatient, float).reshape(2, 3), list(found.PixelSpacing)
        if turn in ("mirrored", "prone"):
            position += axes[0] * float(spacing[1]) * (pixels.shape[1] - 1)
            axes[0], pixels = -axes[0], pixels[:, ::-1]
        if turn == "prone":
            position += axes[1] * float(spacing[0]) * (pixels.shape[0] - 1)
            axes[1], pixels = -axes[1], pixels[::-1]
        if turn == "transposed":
            axes, pixels, spacing = axes[::-1], pixels.T, spacing[::-1]
        found.ImagePositionPatient = [f"{value:.6f}" for value in position]
        found.ImageOrientationPatient = [f"{value:.9f}" for value in axes.ravel()]
        found.PixelSpacing, (found.Rows, found.Columns) = spacing, pixels.shape
        found.PixelData = np.ascontiguousarray(pixels).tobytes()
        found.save_as(path)


@pytest.mark.parametrize("turn", ["mirrored", "prone", "transposed"])
def test_a_series_is_found_however_its_images_are_stored(made, turn):
    from medsmith.exporting.planes import planes_of
    from medsmith.exporting.source import find_series, source_of
    from medsmith.progress import NullProgress

    cohort, hospital, _ = made
    case = cohort.stored("made")
    planes = planes_of(case.geometry, "made")
    gray = planes.arranged(case.image[0])
    (plain,) = find_series(hospital, NullProgress())
    share = plain.equal_share(gray)
    stored_otherwise(hospital, turn)
    found = source_of(find_series(hospital, NullProgress()), planes, gray)
    assert found is not None
    assert found.instances == plain.instances
    assert found.equal_share(gray) == share > 0.9
    assert found.equal_share(gray + 0.4) == share
    assert found.equal_share(gray + 0.6) < 0.1


def test_files_without_a_preamble_are_read_and_truncated_ones_give_one_line(made, capfd):
    from medsmith.errors import FileError
    from medsmith.exporting.planes import planes_of
    from medsmith.exporting.source import find_series, source_of
    from medsmith.progress import NullProgress

    cohort, hospital, words = made
    case = cohort.stored("made")
    planes = planes_of(case.geometry, "made")
    gray = planes.arranged(case.image[0])
    for path in hospital.rglob("0*.dcm"):
        path.write_bytes(path.read_bytes()[132:])
    (hospital / "notes.txt").write_text("no image")
    assert source_of(find_series(hospital, NullProgress()), planes, gray) is not None
    path = hospital / "scan" / "01-CT" / "0001.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileError, match=r"hospital, file 1 of 8: its voxels cannot be decoded") as caught:
        source_of(find_series(hospital, NullProgress()), planes, gray)
    said = str(caught.value) + "".join(capfd.readouterr())
    assert "\n" not in said
    assert not any(word in said for word in words)
