"""References to the source series, and whose names come out."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from export_cohorts import cohort_of, exported_case
from medsmith.errors import RequestError
from medsmith.exporting import ExportOptions, export

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
pytestmark = pytest.mark.usefixtures("no_fsync")
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


def test_a_scan_of_another_grid_or_with_other_voxels_is_no_source(made, tmp_path):
    _, hospital, _ = made
    moved = exported_case("moved", np.diag([1.0, 1, 2, 1]), synthetic=True)
    other = exported_case("other", synthetic=True, seed=5)
    found = export(cohort_of(tmp_path / "others", moved, other), tmp_path / "out", OPTIONS, source=hospital)
    assert found.with_source == ()
    assert all("SourceImageSequence" not in pydicom.dcmread(path) for path in (tmp_path / "out").rglob("0*.dcm"))


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


def test_the_date_is_that_of_today_by_default(tmp_path):
    export(cohort_of(tmp_path / "in", exported_case()), tmp_path / "out")
    found = pydicom.dcmread(next((tmp_path / "out").rglob("0001.dcm")))
    assert abs((date.fromisoformat(str(found.StudyDate)) - date.today()).days) <= 1
