"""The environment of nnU-Net: found, installed by a fake Python, and its programs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fake_nnunet import PROGRAMS, fake_environment
from medsmith.cli import main
from medsmith.doctor import examine
from medsmith.errors import FileError, RequestError
from medsmith.nnunet_environment import environment, trainer
from medsmith.nnunet_environment.environment import NnunetEnvironment, nnunet_environment
from medsmith.nnunet_environment.installation import install
from medsmith.nnunet_environment.programs import run_program

_PYTHON = f"""#!{os.path.realpath(sys.executable)} -IS
import pathlib, shutil, sys
ME, WORDS = pathlib.Path(__file__), sys.argv[1:]
HOME = ME.parent.parent
with open("{{calls}}", "a") as calls:
    calls.write(" ".join(WORDS) + "\\n")
if WORDS[:2] == ["-m", "venv"]:
    folder = pathlib.Path(WORDS[-1])
    if not (folder / "medsmith.json").exists():
        sys.exit("no record: an interruption here would leave a folder that is refused")
    (folder / "bin").mkdir(parents=True)
    shutil.copy(ME, folder / "bin" / "python")
    (folder / "pyvenv.cfg").write_text("")
elif WORDS[1] == "pip" and (HOME / "lib" / "broken").exists():
    sys.exit("pip is broken")
elif WORDS[1:3] == ["pip", "install"]:
    print("Collecting torch")
    failing = pathlib.Path("{{failing}}")
    if failing.exists():
        print(failing.read_text())
        sys.exit(1)
    for name in {PROGRAMS}:
        (HOME / "bin" / name).write_text("")
    packages = HOME / "lib" / "python3.11" / "site-packages"
    (packages / "nnunetv2" / "training" / "nnUNetTrainer").mkdir(parents=True)
    (packages / "nnunetv2-2.8.1.dist-info").mkdir()
"""


@pytest.fixture
def python(tmp_path, monkeypatch):
    """An interpreter that only knows venv and pip; ``calls()`` are its words, ``fails(text)`` is pip's next failure."""
    path, calls, failing = tmp_path / "python", tmp_path / "calls.txt", tmp_path / "failing.txt"
    path.write_text(_PYTHON.replace("{calls}", str(calls)).replace("{failing}", str(failing)))
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))

    class Python:
        def calls(self):
            return calls.read_text().splitlines()

        def fails(self, text):
            failing.write_text(text)

        def works(self):
            failing.unlink()

    return Python()


def finding():
    return next(found for found in examine() if found.subject == "nnU-Net")


def test_the_folder_is_that_of_the_variable_or_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert nnunet_environment().folder == tmp_path / "medsmith" / "nnunet"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert nnunet_environment().folder == Path.home() / ".cache" / "medsmith" / "nnunet"
    monkeypatch.setenv(environment.VARIABLE, "/elsewhere")
    assert nnunet_environment().folder == Path("/elsewhere")


def test_the_doctor_knows_missing_half_made_and_whole_environments(monkeypatch, tmp_path):
    folder = tmp_path / "nnunet"
    monkeypatch.setenv(environment.VARIABLE, str(folder))
    assert finding().line == "nnU-Net: not installed (nnunet); medsmith doctor --install-nnunet"
    fake_environment(folder)
    assert finding().line == f"nnU-Net: nnunetv2 2.8.1 in {folder} (nnunet)"
    (folder / "medsmith.json").write_text('{"complete": false}')
    assert finding().line == f"nnU-Net: half installed in {folder} (nnunet); medsmith doctor --install-nnunet"
    (folder / "medsmith.json").write_text("no JSON")
    assert not NnunetEnvironment(folder).whole


def test_an_installation_is_made_once(python, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "new" / "nnunet"
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path / "other"))
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--install-nnunet", "--at", str(folder)])
    assert not ended.value.code
    assert f"nnunet uses it where {environment.VARIABLE}={folder} is set" in capsys.readouterr().out
    assert python.calls()[0] == f"-m venv {folder}"
    assert python.calls()[1] == "-m pip install --disable-pip-version-check torch==2.13.0 nnunetv2==2.8.1 setuptools"
    made = NnunetEnvironment(folder)
    assert made.whole
    assert made.versions() == {"nnunetv2": "2.8.1"}
    trainers = made.trainers
    assert trainers is not None
    assert (trainers / trainer.FILE).read_text() == trainer.SOURCE
    count = len(python.calls())
    install(folder)
    assert len(python.calls()) == count
    (trainers / trainer.FILE).write_text("that of another version of medsmith")
    assert not made.whole
    assert {path.name for path in folder.iterdir()} >= {"medsmith.json", "install.log", "bin"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ERROR: [Errno 28] No space left on device", "the disk is full; free some 8 GB"),
        (
            "Temporary failure in name resolution\nERROR: No matching distribution found",
            "cannot be fetched; check network",
        ),
        ("Error: no ensurepip is not available", "module venv is not whole; install it"),
        ("ERROR: something else\n  detail", "ended with code 1; it said: ERROR: something else; see "),
    ],
)
def test_a_failure_is_one_line_and_the_next_call_continues(python, tmp_path, said, words):
    folder = tmp_path / "nnunet"
    python.fails(said)
    with pytest.raises(RequestError, match=f"^nnU-Net: cannot be installed in {folder}: .*{words}") as failed:
        install(folder)
    assert "\n" not in failed.value.line
    assert NnunetEnvironment(folder).begun
    assert not NnunetEnvironment(folder).whole
    python.works()
    assert install(folder).whole
    assert sum("venv" in call for call in python.calls()) == 1


def test_what_an_interruption_left_without_pip_is_made_anew(python, tmp_path):
    folder = tmp_path / "nnunet"
    python.fails("ERROR: interrupted")
    with pytest.raises(RequestError):
        install(folder)
    (folder / "lib").mkdir()
    (folder / "lib" / "broken").write_text("")
    (folder / "lib64").symlink_to("lib")
    python.works()
    assert install(folder).whole
    assert python.calls().count(f"-m venv {folder}") == 2
    assert not (folder / "lib64").exists()
    assert "ERROR: interrupted" in (folder / "install.log").read_text()


def test_an_environment_of_others_is_left_alone(python, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("")
    with pytest.raises(RequestError, match="exists and is no environment of medsmith; name another folder with --at"):
        install(folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    assert install(fake_environment(tmp_path / "whole")).whole
    assert python


def test_a_program_runs_without_our_python_path_and_its_lines_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    seen: list[str] = []
    words = ["sh", "-c", "echo one $PYTHONPATH$ASKED; echo; echo ----; echo two >&2; exit 3"]
    code, lines = run_program(words, tmp_path / "logs" / "a.log", {"ASKED": "x"}, seen.append)
    assert (code, lines) == (3, ["one x", "two"])
    assert seen == ["one x", "", "----", "two"]
    assert (tmp_path / "logs" / "a.log").read_text() == "one x\n\n----\ntwo\n"
    with pytest.raises(FileError, match="No such file"):
        run_program([tmp_path / "absent"], tmp_path / "a.log", {})


def test_an_interruption_ends_the_program_and_what_it_started(tmp_path):
    script = f"""
from pathlib import Path
from medsmith.nnunet_environment.programs import run_program
run_program(["sh", "-c", "sleep 60 & echo $! > {tmp_path}/child; echo started; wait"], Path("{tmp_path}/log"), {{}})
"""
    caller = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    log = tmp_path / "log"
    while not (log.exists() and "started" in log.read_text()):
        assert caller.poll() is None
        time.sleep(0.01)
    caller.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in caller.communicate()[1]
    child = int((tmp_path / "child").read_text())
    for _ in range(6000):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.01)
    pytest.fail("the child still runs")


def test_a_program_whose_caller_was_killed_keeps_others_from_its_log(tmp_path):
    script = f"""
from pathlib import Path
from medsmith.nnunet_environment.programs import run_program
run_program(["sh", "-c", "echo $$ > {tmp_path}/child; echo started; exec sleep 60"], Path("{tmp_path}/log"), {{}})
"""
    caller = subprocess.Popen([sys.executable, "-c", script])
    log = tmp_path / "log"
    while not (log.exists() and "started" in log.read_text()):
        assert caller.poll() is None
        time.sleep(0.01)
    caller.kill()
    caller.wait()
    with pytest.raises(FileError, match="a program of an earlier call still writes here; one at a time; wait for it"):
        run_program(["true"], log, {})
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    for _ in range(6000):
        try:
            assert run_program(["true"], log, {})[0] == 0
            return
        except FileError:
            time.sleep(0.01)
    pytest.fail("the log stays locked")


def test_json_has_the_environment_too(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path))
    with pytest.raises(SystemExit):
        main(["doctor", "--json"])
    found = {each["subject"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["nnU-Net"]["cure"] == "medsmith doctor --install-nnunet"
