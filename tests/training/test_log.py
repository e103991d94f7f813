"""log.txt of a run and of a synthetic cohort: lines with times, appended to by every call."""

import re
from contextlib import contextmanager

import pytest

from medsmith.errors import FileError
from medsmith.progress import NullProgress, unlimited
from medsmith.runs.log_file import LogFile, LoggedProgress
from medsmith.training import Budget, train
from run_state import settings

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def lines_of(path):
    found = path.read_text().splitlines()
    assert all(re.match(f"{STAMP} ", line) for line in found)
    return [line.partition(" ")[2] for line in found]


def test_every_call_of_training_appends_what_it_did(cohort, tmp_path):
    said: list[str] = []
    for steps in (1, 2):
        run = train(
            "ddpm", cohort, tmp_path / "run", settings=settings(), budget=Budget(steps=steps), report=said.append
        )
    lines = lines_of(run / "log.txt")
    begun = [place for place, line in enumerate(lines) if line.startswith(f"train ddpm on {len(cohort)} cases, seed 0")]
    assert len(begun) == 2
    assert begun[0] == 0
    assert lines[-1].startswith("done in ")
    assert all(line in lines for line in said if "until" not in line)


def test_an_error_ends_the_lines_of_its_call(tmp_path):
    log = LogFile(tmp_path / "log.txt")
    with pytest.raises(FileError), log.call("try"):
        raise FileError("x", "is\nmissing")
    with pytest.raises(ZeroDivisionError), log.call("try"):
        raise ZeroDivisionError("oh")
    with pytest.raises(KeyboardInterrupt), log.call("try"):
        raise KeyboardInterrupt
    ends = [line for line in lines_of(log.path) if not line.startswith("try; medsmith ")]
    assert ends == ["ended: x: is\\nmissing", "ended: ZeroDivisionError: oh", "interrupted"]


def test_a_disk_that_takes_no_line_stops_nothing(tmp_path):
    LogFile(tmp_path / "gone" / "log.txt").line("lost")
    assert not (tmp_path / "gone").exists()


def test_progress_is_logged_at_the_ends_and_now_and_then(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("medsmith.runs.log_file.time.monotonic", lambda: now[0])
    shown: list[int] = []

    class Shown:
        @contextmanager
        def task(self, _name, _total, _done=0, _limit=unlimited):
            yield lambda steps, _note: shown.append(steps)

    log = LogFile(tmp_path / "log.txt")
    with LoggedProgress(Shown(), log).task("make", 5, 1) as advance:
        for seconds in (10, 20, 31, 40):
            now[0] = seconds
            advance(1, "slowly")
    assert lines_of(log.path) == ["make: 1 of 5", "make: 4 of 5 slowly", "make: 5 of 5, 4 of them in 40.0 s"]
    assert shown == [1, 1, 1, 1]
    with LoggedProgress(NullProgress(), log).task("none", 0):
        pass
