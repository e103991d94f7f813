"""Two commands at once on one folder: one is refused by a clear line, and what the other makes is whole.

The first command halts while it holds the folder, so that the second always meets it.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.formats.lock import LOCK

SECONDS = 300.0
WRITING = "another process is writing here; one at a time; wait for it"
HALTING = """
import os, signal, sys
from medsmith.cli import main
from medsmith.formats import lock

acquire = lock._acquired

def halting(folder, busy):
    held = acquire(folder, busy)
    lock._acquired = acquire
    os.kill(os.getpid(), signal.SIGSTOP)
    return held

lock._acquired = halting
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def halted(folder, words):
    """Another process that runs a command and halts as soon as it has locked the folder; goes on at the end."""
    command = [sys.executable, "-c", HALTING, *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "ended before it held the folder"
        assert (folder / LOCK).exists()
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said


def files_of(folder):
    """Content of all files but the lock."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def refused(capsys, folder, words, line):
    """The same command is refused and changes nothing."""
    before = files_of(folder)
    capsys.readouterr()
    assert main([*words, "-q"]) == 2
    assert capsys.readouterr().err == f"{folder}: {line}\n"
    assert files_of(folder) == before


@pytest.mark.parametrize("name", ["phantom", "prepare"])
def test_two_that_write_a_cohort(name, tmp_path, capsys):
    out = tmp_path / "out"
    if name == "phantom":
        words, count = ["phantom", "breast", str(out), "--count", "20", "--size", "32"], 20
    else:
        with pytest.raises(SystemExit):
            main(["phantom", "breast", str(tmp_path / "source"), "--count", "20", "--size", "32", "-q"])
        words, count = ["prepare", str(tmp_path / "source"), str(out)], 20
    with halted(out, words):
        refused(capsys, out, words, WRITING)
    assert len(Cohort.open(out)) == count
    assert json.loads((out / "dataset.json").read_text())["numTraining"] == count
    assert not [path for path in out.rglob("*") if path.name == LOCK or path.suffix == ".unfinished"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "-q"])
    assert ended.value.code == 0  # there is nothing left to write


@pytest.mark.slow
def test_two_that_train(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["phantom", "breast", str(tmp_path / "cohort"), "--count", "8", "--size", "32", "-q"])
    run = tmp_path / "run"
    words = ["train", "ddpm", str(tmp_path / "cohort"), "--run", str(run), "--max-steps", "3", "--set", "size=[32,32]"]
    with halted(run, words):
        refused(capsys, run, words, "another process is training here; one at a time; wait for it, or stop it")
    assert {"run.json", "weights.safetensors", "README.md"} <= {path.name for path in run.iterdir()}


@pytest.mark.slow
def test_two_that_synthesize(tmp_path, capsys):
    out = tmp_path / "out"
    words = ["synthesize", "pig", str(out), "--count", "2", "--steps", "4", "--workers", "1", "--attempts", "200"]
    with halted(out, words):
        refused(capsys, out, words, WRITING)
    assert Cohort.open(out).ids == ("pig_00000", "pig_00001")
