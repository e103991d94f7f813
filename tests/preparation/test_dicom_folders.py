"""Folders of DICOM beside other files: progress from the start, nothing skipped in silence, time in step with size."""

import errno
import json
import os
from contextlib import contextmanager

import numpy as np
import pytest

import medsmith.progress
from medsmith.cli import main
from medsmith.preparation.dicom.listing import list_series
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import RECORD, prepare
from medsmith.progress import NullProgress
from scan_files import run

pytest.importorskip("highdicom")
from dicom_files import cube_masks, file_of, save, segmentation, slices_of, uid, voxels_of

DIRECTORY = bytes(128) + b"DICM" + b"\2\0\2\0UI\x14\0" + b"1.2.840.10008.1.3.10" + bytes(40)


class Recorded:
    """Remembers the tasks that are shown: name -> total, and steps."""

    def __init__(self):
        self.tasks = {}

    @contextmanager
    def task(self, name, total, done=0, limit=None):  # noqa: ARG002
        self.tasks[name] = [total, done]

        def advance(steps, _note):
            self.tasks[name][1] += steps

        yield advance


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "in", slices_of(voxels_of()))
    return tmp_path / "in"


def with_others(folder):
    """A folder with seven files that are not read, and a hidden one."""
    (folder / "Smith John.pdf").write_bytes(b"%PDF-1.4")
    (folder / "IM0" / "Smith.txt").write_text("Findings")
    (folder / "IM0" / "Smith_notes").write_text("Findings")
    (folder / "preview.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (folder / "IM009").write_bytes(b"")
    (folder / "DICOMDIR").write_bytes(DIRECTORY)
    (folder / "away").symlink_to("gone")
    (folder / ".hidden").write_text("x")
    return folder


KINDS = (
    "2 of no known kind, 1 a DICOMDIR, 1 empty (0 bytes), 1 a PDF document, 1 a link to nothing, a pipe or a device, "
    "1 a JPEG picture"
)


def refusal(folder, **options):
    code, line = run(lambda: prepare(folder, folder.parent / "out", PrepareOptions(**options), report=lambda _: None))
    assert code == 2
    assert "\n" not in line
    assert not (folder.parent / "out").exists()
    return line


def damage(folder, *places):
    """Takes from some files what tells series apart."""
    for place in places:
        path = file_of(folder, place)
        path.write_bytes(path.read_bytes().replace(b"\x20\0\x0d\0UI", b"\x21\0\x0d\0UI"))


def structured_report(data):
    """A slice turned into an object without voxels."""
    data.SOPClassUID, data.Modality = "1.2.840.10008.5.1.4.1.1.88.11", "SR"
    del data.PixelData, data.Rows, data.Columns
    return data


def test_files_that_are_no_dicom_are_told_by_kind_and_never_by_name(folder, tmp_path):
    said: list[str] = []
    cohort = prepare(with_others(folder), tmp_path / "out", report=said.append)
    np.testing.assert_array_equal(
        cohort.stored("patient_001_study_1").require_image()[0], voxels_of().transpose(2, 1, 0) - 1024
    )
    line = f"skipped, no DICOM or damaged: 7 files ({KINDS}); medsmith series FOLDER names them"
    assert line in said
    text = (cohort.root / RECORD).read_text()
    record = json.loads(text)
    assert record["skipped"][0] == "1: a DICOMDIR"
    assert len(record["skipped"]) == 7
    assert line in record["inferred"]
    assert "Smith" not in text + "".join(said)


def test_a_folder_of_dicom_alone_has_nothing_to_tell(folder, tmp_path):
    said: list[str] = []
    cohort = prepare(folder, tmp_path / "out", report=said.append)
    assert {"skipped", "unused"}.isdisjoint(json.loads((cohort.root / RECORD).read_text()))
    assert not [line for line in said if "skipped" in line or "not taken" in line]


def test_the_listing_names_every_file_that_is_not_read(folder, capsys):
    damage(with_others(folder), 0)
    with pytest.raises(SystemExit):
        main(["series", str(folder)])
    skipped = [line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped")]
    assert skipped == [
        "skipped 1: DICOMDIR: a DICOMDIR",
        "skipped 2: IM0/Smith.txt: of no known kind",
        "skipped 3: IM0/Smith_notes: of no known kind",
        "skipped 4: IM009: empty (0 bytes)",
        "skipped 5: Smith John.pdf: a PDF document",
        "skipped 6: away: a link to nothing, a pipe or a device",
        "skipped 7: preview.jpg: a JPEG picture",
        "skipped 8: IM1/IM003: lacks StudyInstanceUID",
    ]


def test_a_file_that_may_not_be_read_is_refused_without_its_name(folder, monkeypatch):
    hidden, opened = file_of(folder, 4).name, os.open

    def refuse(path, *rest, **named):
        if str(path).endswith(hidden):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    assert refusal(folder) == (
        f"{folder}: a file in it cannot be read; a slice may be lost with it; change its mode or owner, or copy it "
        f"again (find {folder} ! -readable names those without permission)"
    )


@pytest.mark.parametrize("modality", ["DOE JANE", "DOE_JANE"])
def test_a_modality_that_is_no_code_names_no_channel(modality, tmp_path):
    slices = slices_of(voxels_of())
    for data in slices:
        data.Modality = modality
    save(tmp_path / "in", slices)
    assert prepare(tmp_path / "in", tmp_path / "out", report=lambda _: None).channel_names == ("image",)


def test_a_folder_without_dicom_is_one_line(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.txt", "b.txt", "c"):
        (tmp_path / "in" / name).write_text("x")
    assert "holds no image that can be read (2 .txt, 1 without ending)" in refusal(tmp_path / "in")
    assert main(["series", str(tmp_path / "in")]) == 2
    line = f"{tmp_path / 'in'}: holds no DICOM series (3 of no known kind); at least one; check the path"
    assert line in capsys.readouterr().err


def test_damaged_files_are_refused_together(folder):
    damage(folder, 0)
    line = refusal(folder)
    assert "file 7 of 9: lacks StudyInstanceUID; patient, study and series are told apart by UIDs" in line
    assert line.endswith("or pass --leave-out unreadable")
    damage(folder, 8)
    line = refusal(folder)
    assert f"{folder}: 2 of 9 DICOM files are damaged, the first: {folder}, file 7 of 9: lacks StudyInstanceUID" in line


def test_damaged_files_that_are_left_out_are_told(tmp_path):
    slices = slices_of(voxels_of(shape=(12, 11, 12)))
    folder = save(tmp_path / "in", slices)
    damage(folder, 0)
    said: list[str] = []
    options = PrepareOptions(leave_out=frozenset({"unreadable"}))
    cohort = prepare(folder, tmp_path / "out", options, report=said.append)
    assert cohort.stored("patient_001_study_1").require_image().shape == (1, 12, 11, 11)
    assert json.loads((cohort.root / RECORD).read_text())["skipped"] == ["1: lacks StudyInstanceUID"]
    assert any("skipped, no DICOM or damaged: 1 file (1 lacks StudyInstanceUID)" in line for line in said)
    damage(folder, 5)
    code, line = run(lambda: prepare(folder, tmp_path / "gap", options, report=lambda _: None))
    assert (code, "slices 3 and 4 by position lie 5 mm apart" in line) == (2, True)


def test_a_folder_of_damaged_files_alone_is_one_line(tmp_path):
    folder = save(tmp_path / "in", slices_of(voxels_of())[:2])
    damage(folder, 0, 1)
    line = refusal(folder, leave_out=frozenset({"unreadable"}))
    assert "holds no DICOM series (2 lacks StudyInstanceUID)" in line


def test_series_that_are_not_taken_are_named(folder, tmp_path):
    scout = slices_of(voxels_of(), series="scout", number=1)[:2]
    report = [structured_report(slices_of(voxels_of(), series="report", number=9)[0])]
    for data in scout:
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(folder / "scout", scout)
    save(folder / "report", report)
    said: list[str] = []
    cohort = prepare(folder, tmp_path / "out", report=said.append)
    unused = ["series 9 (SR, 1 object)", "series 1 (CT, 2 slices of 12 x 11)"]
    assert json.loads((cohort.root / RECORD).read_text())["unused"] == unused
    assert f"series that are not taken: {', '.join(unused)}" in said


def test_a_folder_of_reports_alone_is_named_by_their_modality(tmp_path):
    line = refusal(save(tmp_path / "in", [structured_report(slices_of(voxels_of(), number=9)[0])]))
    assert "none of gray slices that are placed in the patient: series 9 (SR, 1 object)" in line


def test_a_study_of_two_patients_is_refused_without_their_names(tmp_path, capsys):
    for name in ("AB", "CD"):
        slices = slices_of(voxels_of(), patient=name)
        for data in slices:
            data.StudyInstanceUID = uid("one study")
        save(tmp_path / "in" / name, slices)
    line = (
        f"{tmp_path / 'in'}: one study UID is of two patients, as in file 1 of 18 and file 10 of 18; a study is of one "
        f"patient; correct the copies that are wrong (medsmith series {tmp_path / 'in'} --file N gives a path)"
    )
    assert refusal(tmp_path / "in") == line
    assert main(["series", str(tmp_path / "in")]) == 2
    assert capsys.readouterr().err.strip().endswith(line)
    with pytest.raises(SystemExit):
        main(["series", str(tmp_path / "in"), "--file", "10"])
    assert "/in/CD/" in capsys.readouterr().out


def test_a_series_without_a_patient_id_is_of_the_patient_of_its_study(tmp_path):
    slices = slices_of(voxels_of())
    drawn = segmentation(slices, cube_masks())
    save(tmp_path / "in", slices)
    drawn.PatientID = ""
    save(tmp_path / "in" / "0", [drawn], "SEG")
    assert next(list_series(tmp_path / "in", NullProgress())) == "patient_001_study_1: 2 series"


def test_progress_begins_with_the_files(folder, tmp_path):
    shown = Recorded()
    prepare(with_others(folder), tmp_path / "out", report=lambda _: None, progress=shown)
    assert shown.tasks == {
        "find DICOM files": [16, 16],
        "read headers": [9, 9],
        "check": [1, 1],
        "write": [1, 1],
    }


def test_the_commands_show_progress(folder, monkeypatch, capsys):
    monkeypatch.setattr(medsmith.progress, "FIRST_LOG_SECONDS", 0.0)
    for arguments in (["series", str(folder)], ["series", str(folder), "--file", "1"]):
        with pytest.raises(SystemExit):
            main(arguments)
        shown = capsys.readouterr().err
        assert "find DICOM files: 1 of 9, " in shown
        assert " min left" in shown
        assert ("read headers: 1 of 9, " in shown) == (len(arguments) == 2)
    with pytest.raises(SystemExit):
        main(["-q", "series", str(folder)])
    assert capsys.readouterr().err == ""


def test_each_file_is_looked_at_once_and_each_header_read_once(folder, tmp_path, monkeypatch):
    """So that time grows with the number of files: 100,000 take as long as 1,000 folders of 100."""
    from medsmith.formats.dicom.headers import read_header
    from medsmith.formats.opening import open_regular

    counts = {"open": 0, "header": 0}

    def opened(path):
        counts["open"] += 1
        return open_regular(path)

    def headed(path, place):
        counts["header"] += 1
        return read_header(path, place)

    monkeypatch.setattr("medsmith.formats.dicom.folder.open_regular", opened)
    monkeypatch.setattr("medsmith.formats.dicom.series.read_header", headed)
    deep = folder.joinpath(*"abcdefghij")
    save(deep, slices_of(voxels_of(1), patient="Q"))
    (deep / "note.txt").write_text("x")
    prepare(folder, tmp_path / "out", report=lambda _: None)
    assert counts == {"open": 19, "header": 18}
