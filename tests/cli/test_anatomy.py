"""The commands for shape spaces."""

import pytest

from anatomy_slices import organ_cohort
from medsmith.anatomy import ShapeSpace
from medsmith.cases.cohort import Cohort
from medsmith.cli import main


def run(*arguments):
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return done.value.code


def test_a_space_is_fitted_shown_and_sampled(tmp_path, capsys):
    organ_cohort(tmp_path / "c", 6)
    space = tmp_path / "organs.safetensors"
    assert run("anatomy", "fit", tmp_path / "c", space, "--points", "12", "--gray", "organ=99") == 0
    fitted = capsys.readouterr().out
    assert "6 slices, 12 control points per contour" in fitted
    assert "organ (label 1): 1 outline, 0 holes; gray value 99" in fitted
    assert ShapeSpace.load(space).record.gray_values["organ"] == (99,)
    assert run("anatomy", "show", space, "--out", tmp_path / "space.png") == 0
    assert fitted in capsys.readouterr().out
    assert (tmp_path / "space.png").read_bytes().startswith(b"\x89PNG")
    assert run("anatomy", "sample", space, tmp_path / "out", "--count", "2", "--size", "48", "--images") == 0
    assert capsys.readouterr().out == f"2 anatomies in {tmp_path / 'out'}\n"
    assert Cohort.open(tmp_path / "out")["anatomy-00001"].geometry.shape == (48, 48, 1)
    assert main(["anatomy", "show", str(space), "--out", str(tmp_path / "space.png")]) == 2
    assert "space.png: exists; choose another file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "nowhere", "space"], "nowhere: does not exist"),
        (["fit", "nowhere", "space", "--gray", "heart"], "--gray: 'heart' has no '='; write name=value"),
        (["fit", "nowhere", "space", "--gray", "heart=x"], "--gray: 'heart=x'; values are numbers; write name=value"),
        (["show", "nowhere"], "nowhere: does not exist; check the path"),
        (["sample", "nowhere", "out", "--count", "0"], "Invalid value for '--count'"),
        (["sample", "nowhere", "out"], "medsmith anatomy sample: Missing option '--count'"),
    ],
)
def test_a_mistake_gets_one_line(arguments, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["anatomy", *arguments]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_not_overwritten_and_nothing_is_fitted(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["anatomy", "fit", "nowhere", str(tmp_path / "notes.txt")]) == 2
    assert "notes.txt: exists and is no shape space; choose another file" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_space_lies_not_in_its_cohort(tmp_path, capsys):
    organ_cohort(tmp_path / "c", 4)
    before = sorted(tmp_path.rglob("*"))
    for place in ("space.safetensors", "labelsTr/space.safetensors", "imagesTr/new/space.safetensors"):
        assert main(["anatomy", "fit", str(tmp_path / "c"), str(tmp_path / "c" / place)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(
            f"lies in or on {tmp_path / 'c'}; nothing is written into what is read; choose a place outside"
        )
    assert sorted(tmp_path.rglob("*")) == before
