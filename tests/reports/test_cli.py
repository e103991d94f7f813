"""medsmith report: what it prints is a report; mistakes are one line."""

import json
from pathlib import Path

import pytest

from medsmith.cli import main
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.sampling import check_report
from medsmith.reports.schema import LesionReport, ScanReport
from medsmith.reports.vocabulary import ATTRIBUTES

REQUEST = "a 20 mm round-like hypodense cyst with a well-defined margin inside the right kidney"


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", *arguments])
    assert ended.value.code == 0


def printed(text: str) -> list[LesionReport]:
    return [lesion for line in text.splitlines() for lesion in ScanReport(**json.loads(line)).lesions]


def test_sample(capsys: pytest.CaptureFixture[str]) -> None:
    fixed = ["--set", "organ=left kidney", "--set", "size_mm=8x12x12", "--set", "surface=well-defined"]
    run("sample", "--type", "kidney cyst", "--count", "5", *fixed, "--without", "enhanced CT")
    first = capsys.readouterr().out
    lesions = printed(first)
    assert len(lesions) == 5
    for lesion in lesions:
        check_report(lesion)
        assert (lesion.organ, lesion.size_mm, lesion.surface) == ("kidney_left", (8, 12, 12), "well-defined margin")
        assert lesion.enhancement == "non-contrast CT"
    run("sample", "--type", "kidney cyst", "--count", "5", *fixed, "--without", "enhanced CT")
    assert capsys.readouterr().out == first


def test_words_drawn_are_words_read(capsys: pytest.CaptureFixture[str]) -> None:
    run("sample", "--type", "liver cancer", "--seed", "3")
    drawn = capsys.readouterr().out
    run("sample", "--type", "liver cancer", "--seed", "3", "--format", "text")
    run("parse", capsys.readouterr().out.strip())
    assert capsys.readouterr().out == drawn


def test_the_released_form_goes_out_and_comes_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("sample", "--type", "gallstone", "--format", "released", "--set", "size_mm=8")
    path = tmp_path / "type.json"
    path.write_text(capsys.readouterr().out)
    run("read", str(path), "--type", "gallstone")
    (lesion,) = printed(capsys.readouterr().out)
    check_report(lesion)
    assert (lesion.organ, lesion.size_mm) == ("gallbladder", (8, 8, 8))


def test_parse(capsys: pytest.CaptureFixture[str]) -> None:
    run("parse", REQUEST)
    output = capsys.readouterr()
    (lesion,) = printed(output.out)
    assert (lesion.lesion_type, lesion.organ, lesion.size_mm) == ("kidney cyst", "kidney_right", (20, 20, 20))
    assert output.err == ""


def test_words_that_are_not_understood_are_refused_unless_lenient(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"{REQUEST}, wiggly, no stone"
    assert main(["report", "parse", text]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("report: 'wiggly' is not understood; ")
    assert output.err.count("\n") == 1
    run("parse", text, "--lenient")
    output = capsys.readouterr()
    assert printed(output.out)[0].organ == "kidney_right"
    assert output.err.splitlines()[:1] == ["ruled out: stone"]
    assert output.err.splitlines()[1].startswith("not placed: 'wiggly' (not understood)")


def test_an_organ_that_is_not_understood_never_means_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--lenient"]):
        assert main(["report", "parse", "a 20 mm lesion in the left elbow", *options]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("report: 'elbow' is not understood; the organs are those of")
        assert output.err.count("\n") == 1


def test_schema_and_types(capsys: pytest.CaptureFixture[str]) -> None:
    run("schema")
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["$defs"]["LesionReport"]["properties"]) == {*ATTRIBUTES, "lesion_type", "measured"}
    run("types")
    lines = capsys.readouterr().out.splitlines()
    assert [line[:24].strip() for line in lines] == list(LESION_TYPES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sample", "--type", "kidney cist"], "lesion type 'kidney cist': no such type; there are kidney cyst"),
        (["sample", "--type", "kidney cyst", "--set", "organ"], "--set: 'organ' has no '='; write name=value"),
        (["sample", "--type", "kidney cyst", "--set", "organ=liver"], "organ: 'liver' has no kidney cyst; allowed:"),
        (["sample", "--type", "kidney cyst", "--set", "shape=rund"], "shape: 'rund' is not possible; nearest: round"),
        (["sample", "--type", "kidney cyst", "--set", "colour=red"], "colour: no such attribute; there are"),
        (["sample", "--type", "kidney cyst", "--set", "size_mm=2-3"], "size_mm: '2-3' is not possible; a range; write"),
        (
            ["sample", "--type", "kidney cyst", "--set", "ct_value_hu=4000"],
            "ct_value_hu: '4000' is not possible; CT val",
        ),
        (["sample", "--type", "kidney cyst", "--set", "size_mm=20 20"], "size_mm: '20 20' is not possible; write"),
        (["sample", "--type", "kidney cyst", "--without", "xyzzy"], "'xyzzy': no such option"),
        (["sample", "--type", "kidney cyst", "--format", "released"], "report: organ 'kidney'; the released form has"),
        (["read", "nowhere.json"], "nowhere.json: does not exist"),
        (["parse", ""], "report: '' describes no lesion; say what and where"),
        (["parse", "xyzzy"], "report: 'xyzzy' describes no lesion; not placed: 'xyzzy' (not understood); say what"),
        (["write", "--type", "gallstone", "--llm-url", "x", "--llm-model", "m"], "--llm-url: 'x'; addresses begin"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *arguments]) == 2
    line = capsys.readouterr().err
    assert line.startswith(said)
    assert line.count("\n") == 1
