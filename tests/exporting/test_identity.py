"""Identifiers: equal for equal objects, different for different ones."""

from dataclasses import replace

import pytest

from export_cohorts import exported_case

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")


def instances(folder, case, modality="CT"):
    """Bytes and identifiers of what is written."""
    from medsmith.exporting.dicom import DicomWriter

    DicomWriter("20260102", modality, structures=True, keep_identity=False)(case, folder)
    files = sorted(folder.rglob("*.dcm"))
    read = [pydicom.dcmread(path) for path in files]
    uids = {str(uid) for found in read for uid in (found.SOPInstanceUID, found.SeriesInstanceUID)}
    return [path.read_bytes() for path in files], uids


def test_other_objects_have_other_identifiers_and_equal_ones_equal_bytes(tmp_path, monkeypatch):
    case = exported_case(synthetic=True)
    written, uids = instances(tmp_path / "first", case)
    assert instances(tmp_path / "again", case) == (written, uids)
    assert not uids & instances(tmp_path / "mr", case, "MR")[1]
    other = replace(case, provenance={**case.provenance, "index": 5})
    assert not uids & instances(tmp_path / "other", other)[1]
    monkeypatch.setattr("medsmith.exporting.identity.metadata.version", lambda _name: "99.0")
    assert not uids & instances(tmp_path / "newer", case)[1]


def test_cases_of_long_ids_are_patients_of_their_own():
    from medsmith.exporting.identity import identity_of

    short, first, second = (
        identity_of(exported_case(id), "20260102").patient_id for id in ("a" * 64, "a" * 65, "a" * 66)
    )
    assert short == "a" * 64
    assert len({short, first, second}) == 3
    assert {len(first), len(second)} == {64}
