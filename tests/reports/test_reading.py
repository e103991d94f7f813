"""What a user says of lesions, in any of its forms."""

import json

import pytest

from medsmith.errors import FileError, RequestError
from medsmith.reports.reading import read_report
from medsmith.reports.schema import LesionReport, ScanReport
from medsmith.reports.writing.authors import to_released

CYST = LesionReport(organ="kidney_right", shape=("round-like",), size_mm=(20.0, 20.0, 20.0), density="hypodense")


def test_words_and_both_files_mean_the_same_lesion(tmp_path):
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    ours.write_text(ScanReport(lesions=(CYST,)).model_dump_json())
    theirs.write_text(json.dumps(to_released(ScanReport(lesions=(CYST,)))))
    for said in ("a 20 mm round-like hypodense lesion in the right kidney", str(ours), str(theirs)):
        (lesion,) = read_report(said).report.lesions
        assert (lesion.organ, lesion.shape, lesion.density) == (CYST.organ, CYST.shape, CYST.density)
        assert lesion.size_mm == CYST.size_mm


def test_what_describes_no_lesion_is_refused_with_what_was_not_understood():
    with pytest.raises(RequestError, match=r"describes no lesion; .*not placed: 'xyzzy'"):
        read_report("xyzzy")


def test_a_file_that_is_neither_form_is_refused_by_its_key(tmp_path):
    (tmp_path / "bad.json").write_text('{"lesions": [{"shape": ["square"]}]}')
    with pytest.raises(FileError, match=r"bad.json: lesions.0.shape.0 = .*see medsmith report schema"):
        read_report(str(tmp_path / "bad.json"))
    with pytest.raises(FileError):
        read_report(str(tmp_path / "missing.json"))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            '{"lesions": [{"organ": "liver", "densty": "hypodense"}]}',
            "unknown key 'lesions.0.densty'; nearest: density; ",
        ),
        ('{"lesion": [{"organ": "liver"}]}', "no key 'lesions'; nearest: lesion; see medsmith report schema"),
        ("{}", "no key 'lesions'; there are none; see"),
        ('{"lesions": [{"size_mm": [0, 5, 5]}]}', "lesions.0.size_mm.0 = 0; must be greater than 0; see"),
        (
            '{"lesions": [{"size_mm": [500, 5, 5]}]}',
            "lesions.0.size_mm.0 = 500; must be less than or equal to 400",
        ),
        ('{"lesions": [{"ct_value_hu": NaN}]}', "not JSON (lesions.0.ct_value_hu = NaN is no number of JSON)"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_that_names_it(tmp_path, content, line):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(FileError) as refusal:
        read_report(str(tmp_path / "bad.json"))
    assert line in refusal.value.line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "a 0 mm cyst in the liver",
            "report: '0 mm' is not possible; edges are above 0 and at most 400 mm; say another",
        ),
        ("a 50 cm cyst in the liver", "report: '50 cm' is not possible; edges are above 0"),
        ("a liver cyst of 9000 HU", "'9000 hu' is not possible; CT values go from -1024 to 3071 HU"),
    ],
)
def test_words_that_no_lesion_can_be_are_refused(words, line):
    with pytest.raises(RequestError) as refusal:
        read_report(words)
    assert line.casefold() in refusal.value.line.casefold()


def test_a_text_longer_than_a_report_is_refused_before_it_is_read():
    with pytest.raises(RequestError, match="a text of 20001 characters; at most 20000 in a report; divide it"):
        read_report("x" * 20_001)


def test_a_message_names_the_first_of_many_phrases():
    words = [f"{'x' * 200}{number}, in" for number in range(30)]
    with pytest.raises(RequestError, match=r"x\.\.\.', .* 18 more are not understood") as refusal:
        read_report(f"a 20 mm cyst in the right kidney, {' '.join(words)}")
    assert len(refusal.value.line) < 3000


def test_words_are_not_taken_for_a_file_nor_a_file_for_words(tmp_path):
    (tmp_path / "report.txt").write_bytes(b"liv\xe9r")
    with pytest.raises(
        FileError, match=r"report.txt: a file of another ending; reports are read from .json; rename it"
    ):
        read_report(str(tmp_path / "report.txt"))
    assert read_report("a cyst in the liver " + "and " * 2000).report.lesions
    (tmp_path / "latin.json").write_bytes(b'{"lesions": [{"organ": "liv\xe9r"}]}')
    with pytest.raises(FileError, match=r"latin\.json: not JSON"):
        read_report(str(tmp_path / "latin.json"))
