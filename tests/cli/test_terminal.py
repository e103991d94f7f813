"""How much a command says and in which form: --quiet, --verbose and --json."""

import json
import logging
import math
import pickle
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.core import TyperGroup

from anatomy_slices import organ_cohort
from medsmith.cases.cohort import Cohort
from medsmith.cli import app, main
from medsmith.cli.terminal import Terminal, speaking, terminal
from medsmith.reports.rules import LESION_TYPES


@pytest.fixture
def say(capsys):
    """Runs a command: exit code, standard output, standard error."""

    def run(*arguments):
        capsys.readouterr()
        code = 0
        with suppress(SystemExit):
            code = main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def phantoms(tmp_path, say):
    said = say("phantom", "breast", tmp_path / "made", "--count", "4", "--size", "32", "--quiet")
    assert said == (0, f"{tmp_path / 'made'}: 4 cases\n", "")
    return tmp_path / "made"


def test_folders_without_labels_are_named_once_in_a_command(caplog):
    log = logging.getLogger("medsmith")
    for _ in range(2):
        caplog.clear()
        with speaking(Terminal()):
            for folder in ("a", "b"):
                for note in ("no case has labels", "no case has an image", "skipped x.txt"):
                    log.warning("%s", f"{folder}: {note}")
        said = ["a: no case has labels", "a: no case has an image", "a: skipped x.txt", "b: skipped x.txt"]
        assert caplog.messages == said
    assert not log.filters


def commands(command, path=()):
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))
    else:
        yield path, command


def test_every_command_has_the_options():
    found = dict(commands(typer.main.get_command(app)))
    assert len(found) > 20
    for path, command in found.items():
        names = {option for parameter in command.params for option in parameter.opts}
        assert {"--quiet", "-q", "--verbose", "-v", "--json"} <= names, path


def facts(folder, cases=4, **changes):
    found = {
        "cohort": str(folder),
        "cases": cases,
        "with_image": cases,
        "with_labels": cases,
        "channel_names": ["ultrasound"],
        "label_names": {"background": 0, "lesion": 1},
        "file_ending": ".png",
    }
    return {**found, **changes}


def test_cohorts_are_one_json_object_and_all_else_is_on_standard_error(tmp_path, phantoms, say):
    code, out, err = say("prepare", phantoms, tmp_path / "p", "--json")
    assert (code, json.loads(out)) == (0, facts(tmp_path / "p"))
    assert "4 cases: as dataset.json says" in err
    assert "channels: ultrasound (as declared)\n" in err
    code, out, err = say("--json", "split", phantoms, tmp_path / "a", tmp_path / "b", "--test-fraction", "0.25")
    assert json.loads(out) == {"train": facts(tmp_path / "a", 3), "test": facts(tmp_path / "b", 1)}
    assert f"train: 3 cases, each a group of its own -> {tmp_path / 'a'}" in err
    code, out, err = say("merge", tmp_path / "m", tmp_path / "a", tmp_path / "b", "--json")
    assert json.loads(out) == facts(tmp_path / "m")
    assert "a: 3 cases\n" in err
    assert out.count("\n") == 1


@pytest.mark.parametrize("before", [True, False])
def test_quiet_leaves_the_result(tmp_path, phantoms, say, before):
    words = ["split", phantoms, tmp_path / "a", tmp_path / "b", "--test-fraction", "0.25"]
    code, out, err = say(*(["-q", *words] if before else [*words, "-q"]))
    assert (code, out, err) == (0, f"{tmp_path / 'a'}: 3 cases; {tmp_path / 'b'}: 1 case\n", "")
    assert say("merge", tmp_path / "m", tmp_path / "a", tmp_path / "b", "-q", "--json")[2] == ""


def test_quiet_leaves_errors_and_drops_warnings(tmp_path, phantoms, say, caplog):
    (phantoms / "labelsTr" / "breast-00000.png").unlink()
    say("describe", phantoms, "--out", tmp_path / "one")
    (warning,) = caplog.messages
    assert warning.endswith("breast-00000_0000.png")
    caplog.clear()
    assert say("describe", phantoms, "--out", tmp_path / "two", "--quiet")[2] == ""
    assert not caplog.messages
    assert say("describe", "nowhere", "--quiet") == (2, "", "nowhere: does not exist; give the folder of a cohort\n")
    assert logging.getLogger("medsmith").level == logging.NOTSET


@pytest.mark.parametrize("words", [["--json", "-q"], ["--json"]])
def test_an_error_is_one_line_and_no_json(words, say):
    assert say("describe", "nowhere", *words) == (2, "", "nowhere: does not exist; give the folder of a cohort\n")


def test_less_and_more_together_are_refused(say):
    line = "--quiet: --verbose is given as well; one of the two; choose one\n"
    for words in (["-q", "-v", "report", "types"], ["-q", "report", "types", "-v"], ["report", "types", "-vq"]):
        assert say(*words) == (2, "", line)


def test_the_choice_of_one_command_does_not_last(say):
    assert say("--json", "report", "types")[1].startswith("[")
    assert say("report", "types")[1].startswith("gallstone")
    assert terminal() == Terminal()


def test_details_name_versions_machine_options_and_what_each_step_took(tmp_path, say):
    code, out, err = say("phantom", "breast", tmp_path / "out", "--count", "2", "--size", "32", "--seed", "0", "-v")
    assert (code, out) == (0, f"{tmp_path / 'out'}: 2 cases\n")
    lines = err.splitlines()
    assert re.match(r"medsmith \S+, Python 3\.\d+\.\d+, torch \S+, monai ", lines[0])
    assert re.search(r"\d+ of \d+ cores usable, OMP_NUM_THREADS \S+$", lines[1])
    assert lines[2] == f"options: family=breast out={tmp_path / 'out'} count=2 seed=0 size=32"
    assert re.fullmatch(r"phantom breast: 2 of 2, 2 of them in \d+\.\d\d s", lines[-2])
    assert re.fullmatch(r"(PyTorch on the CPU, \d+ thread\(s\); )?\d+\.\d s in all", lines[-1])


def test_details_name_where_an_error_arose(say):
    code, out, err = say("describe", "nowhere", "-v")
    assert (code, out) == (2, "")
    assert re.search(
        r"^raised in medsmith/cases/layouts\.py:\d+ \(find_layout\), called from medsmith/cases/cohort\.py", err, re.M
    )
    assert err.endswith("nowhere: does not exist; give the folder of a cohort\n")


def test_a_description_is_json(tmp_path, phantoms, say):
    found = json.loads(say("describe", phantoms, "--out", tmp_path / "reports", "--json")[1])
    counts = {key: found[key] for key in ("folder", "written", "kept", "lesions", "empty", "unlabeled")}
    lesions = sum(len((case.report or {})["lesions"]) for case in Cohort.open(phantoms))
    assert counts == {
        "folder": str(tmp_path / "reports"),
        "written": 4,
        "kept": 0,
        "lesions": lesions,
        "empty": 0,
        "unlabeled": 0,
    }
    assert sum(found["words"]["shape"].values()) == lesions


def test_reports_are_json(say):
    sampled = json.loads(say("report", "sample", "--type", "liver cyst", "--count", "2", "--json")[1])
    assert [report["lesions"][0]["lesion_type"] for report in sampled] == ["liver cyst", "liver cyst"]
    lines = say("report", "sample", "--type", "liver cyst", "--count", "2")[1].splitlines()
    assert [json.loads(line) for line in lines] == sampled
    text = say("report", "sample", "--type", "liver cyst", "--format", "text", "--json")[1]
    assert [f"{line}\n" for line in json.loads(text)] == [
        say("report", "sample", "--type", "liver cyst", "--format", "text")[1]
    ]
    words = "a 20 mm cyst inside the right kidney"
    _, out, err = say("report", "parse", words, "--json")
    parsed = json.loads(out)
    assert parsed["report"] == json.loads(say("report", "parse", words)[1])
    assert parsed["remarks"] == err.splitlines()
    assert say("report", "parse", words, "-q")[2] == ""
    types = json.loads(say("report", "types", "--json")[1])
    assert [row["type"] for row in types] == list(LESION_TYPES)
    assert {"type": "liver cyst", "organ": "liver", "longest_mm": [5, 90]} in types
    assert json.loads(say("report", "schema", "--json")[1]) == json.loads(say("report", "schema")[1])


def test_a_viewer_a_study_and_a_space_are_json(tmp_path, phantoms, say):
    found = json.loads(say("view", phantoms, "--out", tmp_path / "view", "--json")[1])
    assert (found["page"], found["cases"], found["written"]) == (str(tmp_path / "view" / "index.html"), 4, 4)
    assert found["bytes"] == sum(path.stat().st_size for path in (tmp_path / "view").rglob("*") if path.is_file())
    for name, seed in (("real", "1"), ("synthetic", "2")):
        say("phantom", "breast", tmp_path / name, "--count", "5", "--size", "32", "--seed", seed)
    words = ["turing", tmp_path / "real", tmp_path / "synthetic", tmp_path / "study", "--repeats", "0", "--json"]
    study = json.loads(say(*words)[1])
    assert (study["mode"], study["trials"], study["repeats"], study["margin"]) == ("single", 10, 0, 0.1)
    assert (Path(study["readers"]), Path(study["key"])) == (tmp_path / "study/study.html", tmp_path / "study/key.json")
    organ_cohort(tmp_path / "c", 6)
    space = json.loads(say("anatomy", "fit", tmp_path / "c", tmp_path / "s.safetensors", "--points", "12", "--json")[1])
    assert (space["space"], space["cases"], space["points"]) == (str(tmp_path / "s.safetensors"), 6, 12)
    shown = json.loads(say("anatomy", "show", tmp_path / "s.safetensors", "--json")[1])
    assert {**shown, "picture": None} == {**space, "picture": None}


def test_numbers_that_json_has_not_are_null_and_arrays_are_lists(capsys):
    value = {"a": math.nan, "b": [math.inf, 1.5], "c": np.array([[1.0, np.nan]]), "d": np.float32(0.5), "e": Path("x")}
    Terminal(as_json=True).result({**value, 3: ("t",)}, ["a line"])
    assert json.loads(capsys.readouterr().out) == {
        "a": None,
        "b": [None, 1.5],
        "c": [[1.0, None]],
        "d": 0.5,
        "e": "x",
        "3": ["t"],
    }


def test_several_results_are_said_one_by_one_or_as_one_list(capsys):
    seen = []

    def values():
        for number in range(3):
            seen.append(capsys.readouterr().out)
            yield number

    Terminal().results(values(), lambda value: f"{value}!")
    assert seen == ["", "0!\n", "1!\n"]
    Terminal(as_json=True).results(values(), lambda value: f"{value}!")
    assert json.loads(capsys.readouterr().out) == [0, 1, 2]


@pytest.mark.parametrize(
    ("chosen", "out", "err"),
    [
        (Terminal(), "result\nnote\n", "remark\n"),
        (Terminal(quiet=True), "result\n", ""),
        (Terminal(verbose=True), "result\nnote\n", "remark\ndetail\n"),
        (Terminal(as_json=True), '"value"\n', "note\nremark\n"),
        (Terminal(quiet=True, as_json=True), '"value"\n', ""),
        (Terminal(verbose=True, as_json=True), '"value"\n', "note\nremark\ndetail\n"),
    ],
)
def test_what_is_said_where(chosen, out, err, capsys):
    with speaking(pickle.loads(pickle.dumps(chosen))):  # as in the processes of several devices
        terminal().result("value", ["result"])
        terminal().note("note")
        terminal().remark("remark")
        terminal().detail("detail")
    assert capsys.readouterr() == (out, err)


def test_control_characters_do_not_leave_json(capsys):
    Terminal(as_json=True).result({"name": "a\x1b[31m\x9b"}, ())
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "a\x1b[31m\x9b"}
    assert set(filter(lambda c: not c.isprintable(), out)) == {"\n"}


def test_a_gpu_that_pytorch_has_not_is_refused_without_loading_it(tmp_path):
    script = (
        "import sys, medsmith.machine\n"
        "medsmith.machine.torch_without_gpu = lambda: True\n"
        "from medsmith.cli import main\n"
        "code = main(['synthesize', 'pig', 'out', '--count', '1', '--device', 'cuda'])\n"
        "print(code, 'torch' in sys.modules, 'numpy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "2 False False\n"
    assert done.stderr == "device: 'cuda' is not here; there is cpu; this PyTorch is built for the CPU alone\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("is_terminal", "quiet", "shown"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_loading_is_shown_on_a_terminal_alone(is_terminal, quiet, shown, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with Terminal(quiet=quiet).loading():
        pass
    out, err = capsys.readouterr()
    assert ("loading" in err, bool(err), out) == (shown, shown, "")
