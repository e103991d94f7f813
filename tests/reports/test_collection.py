"""Several reports in one place: one per line, list item or file, in order."""

import json
import re
from pathlib import Path

import pytest

from medsmith.cli import main
from medsmith.cli.insertion import InsertionOptions
from medsmith.errors import FileError, RequestError
from medsmith.methods.config import validated
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.reports.collection import holds_reports, read_reports
from medsmith.reports.schema import LesionReport, ScanReport
from medsmith.reports.writing.authors import to_released

REPORTS = tuple(ScanReport(lesions=(LesionReport(organ="liver", size_mm=(float(mm),) * 3),)) for mm in (10, 20, 30))
VALUES = [json.loads(report.model_dump_json(exclude_defaults=True)) for report in REPORTS]


def as_lines(root: Path) -> Path:
    path = root / "reports.jsonl"
    path.write_text("\n".join(map(json.dumps, VALUES)) + "\n\n")
    return path


def as_list(root: Path) -> Path:
    path = root / "reports.json"
    path.write_text("\n" * 200 + json.dumps(VALUES, indent=1))
    return path


def as_folder(root: Path) -> Path:
    folder = root / "reports"
    folder.mkdir()
    for name, value in zip(("a", "b", "c"), VALUES, strict=True):
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "README.md").write_text("Reports of three scans.")
    return folder


@pytest.mark.parametrize("write", [as_lines, as_list, as_folder])
def test_reports_are_read_in_order(tmp_path: Path, write) -> None:
    place = write(tmp_path)
    assert holds_reports(str(place))
    assert read_reports(place) == REPORTS
    assert InsertionOptions(report=str(place)).entries({}) == {"reports": str(place)}


def test_both_formats_are_read_from_lines(tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    path.write_text("\n".join(json.dumps(to_released(report)) for report in REPORTS))
    assert [report.lesions[0].size_mm for report in read_reports(path)] == [(10,) * 3, (20,) * 3, (30,) * 3]


def test_what_sample_prints_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["report", "sample", "--type", "kidney cyst", "--count", "7"])
    path = tmp_path / "reports.jsonl"
    path.write_text(capsys.readouterr().out)
    assert [len(report.lesions) for report in read_reports(path)] == [1] * 7
    assert InsertionOptions(report=str(path)).entries({}) == {"reports": str(path)}
    assert "7 reports; case i gets report i, beginning again after the last" in capsys.readouterr().err


TEXT = "2 cm cyst in the left kidney, upper pole, no calcification; 1 cm cyst in segment 4"
REMARKS = [
    "'segment 4' is read as the liver, of which a report tells no parts apart",
    "ruled out: 'calcification' (presence of increased density areas)",
    "set aside: 'upper pole' (a report does not tell parts of an organ apart)",
]


@pytest.fixture
def parsed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A file of what a text says."""
    with pytest.raises(SystemExit):
        main(["report", "parse", TEXT])
    output = capsys.readouterr()
    assert output.err.splitlines() == REMARKS
    path = tmp_path / "parsed.json"
    path.write_text(output.out)
    return path


def test_a_file_of_what_a_text_says_loses_nothing_of_it(parsed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from_text = InsertionOptions(report=TEXT).entries({})
    assert from_text["without"] == (("presence of increased density areas",), ())
    capsys.readouterr()
    assert InsertionOptions(report=str(parsed)).entries({}) == from_text
    assert capsys.readouterr().err.splitlines() == REMARKS


def test_each_case_has_the_remarks_of_its_own_report(
    parsed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reports.jsonl"
    path.write_text("\n".join((json.dumps(VALUES[0]), parsed.read_text(), parsed.read_text())))
    plain, told, _ = read_reports(path)
    assert (plain.without, plain.remarks) == ((), ())
    assert told.without == (("presence of increased density areas",), ())
    assert list(told.remarks) == REMARKS
    assert InsertionOptions(report=str(path)).entries({}) == {"reports": str(path)}
    assert capsys.readouterr().err.splitlines()[1:] == REMARKS


def test_options_that_a_file_denies_are_told_where_it_has_no_remarks(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"lesions": [{"organ": "liver"}], "without": [["stone"]]}))
    found = InsertionOptions(report=str(path)).entries({})
    assert (found["without"], found["remarks"]) == ((("stone",),), ("ruled out: stone",))


def test_one_report_or_words_are_not_several(tmp_path: Path) -> None:
    single = tmp_path / "one.json"
    single.write_text(json.dumps(VALUES[0]))
    for text in (str(single), "", " ", "a cyst in the liver", "missing.json", "a\0b", "liver " * 2000):
        assert not holds_reports(text)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = as_list(tmp_path)
    assert len(read_reports(path)) == 3
    path.write_text(json.dumps(VALUES[:1]))
    assert len(read_reports(path)) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\n", "reports.jsonl: holds no reports"),
        ('{"lesions": [{}]}\n{"lesions": ', "reports.jsonl, line 2: not JSON (Expecting value)"),
        ("[1]", "reports.jsonl, line 1: holds a JSON list; a report is an object"),
        ('{"lesions": []}', "reports.jsonl, line 1: 0 lesions; 1 to 3 in a scan"),
        ('{"lesions": [{}, {}, {}, {}]}', "reports.jsonl, line 1: 4 lesions; 1 to 3 in a scan"),
        ('\n{"lesions": [{"organ": "liver", "shape": ["square"]}]}', "reports.jsonl, line 2: lesions.0.shape.0 ="),
        ('{"report": "a cyst in the liver"}', "reports.jsonl, line 1: no key 'lesions'; there are report; see"),
        ('{"999": ["", "", {}]}', "reports.jsonl, line 1: organ '999'"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_place(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "reports.jsonl"
    path.write_text(content)
    with pytest.raises(FileError) as refusal:
        read_reports(path)
    assert said in refusal.value.line


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.jsonl: does not exist"):
        read_reports(tmp_path / "none.jsonl")
    with pytest.raises(FileError, match=rf"{re.escape(str(tmp_path))}: holds no reports"):
        read_reports(tmp_path)


def test_a_request_names_reports_in_one_way_only() -> None:
    request = {"reports": "reports.jsonl", "lesion_type": "liver cyst"}
    with pytest.raises(RequestError, match="reports and lesion_type: give one of them"):
        validated(LesionDiffusionRequest, "request", request)


def test_more_lesions_than_a_scan_takes_are_refused_by_number() -> None:
    with pytest.raises(RequestError, match="report: 5 lesions in one text; at most 3 in a scan; divide them"):
        InsertionOptions(report="five liver metastases of 8 mm").entries({})


def test_words_that_are_not_understood_are_refused_unless_lenient() -> None:
    with pytest.raises(RequestError, match="'wobbly' is not understood"):
        InsertionOptions(report="wobbly liver cyst").entries({})
    found = InsertionOptions(report="wobbly liver cyst", lenient=True).entries({})
    assert [lesion["organ"] for lesion in found["lesions"]] == ["liver"]
