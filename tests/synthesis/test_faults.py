"""Kills, hangs, fatal cases and full disks: the folder ends byte-identical to that of an undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import synthesis_fakes
from medsmith.cases.cohort import Cohort
from medsmith.errors import FileError, SynthesisError
from medsmith.formats.lock import LOCK
from medsmith.interruption import SIGNALS
from medsmith.synthesis import synthesize
from medsmith.synthesis.executors.processes import MAX_CONCURRENT_DEATHS
from synthesis_fakes import case_seed, contents, in_process, options, write_run

SCRIPT = """
import runpy, sys
from pathlib import Path
from medsmith.lazy_imports import import_monai

import_monai()  # half the time of a start
sys.argv.pop(0)
sys.path.insert(0, str(Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
PATIENCE_S = 8.0
"""Seconds of an attempt after which a worker counts as hung; where the machine is busy a good one may take 1 s."""


def start(folder, count, workers, file_bytes=0):
    """The command in a process of its own."""
    arguments = [folder / "run", folder / "out", count, workers, file_bytes]
    command = [sys.executable, "-c", SCRIPT, synthesis_fakes.__file__, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def children(process):
    """Process ids of a coordinator's workers."""
    try:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def disturbed(folder, count, workers, worker_kills, coordinator_kills, seconds):
    """Run the command to its end while killing workers and coordinators; the number of killed workers.

    The number of finished cases triggers each kill, not the clock, so that slow machines see the same kills. The
    moment within a case is uniform over ``seconds``.
    """
    rng, killed, ends = random.Random(1), 0, coordinator_kills
    step = count // (2 * (worker_kills + coordinator_kills + 1))
    process = start(folder, count, workers)
    while process.poll() is None:
        time.sleep(0.02)
        quota = worker_kills * (coordinator_kills - ends + 1) // (coordinator_kills + 1)
        if made(folder) < step * (killed + coordinator_kills - ends):
            continue
        if killed < quota:
            killed += kill_one_at_work(folder, children(process), rng, seconds)
        elif ends:
            time.sleep(rng.uniform(0, seconds))
            orphans = children(process)
            process.kill()
            process.communicate()
            assert_gone(orphans)
            ends, process = ends - 1, start(folder, count, workers)
    process.communicate()
    assert process.returncode == 0
    assert not ends
    return killed


def made(folder):
    return len(list((folder / "out" / "provenance").glob("*.json")))


def kill_one_at_work(folder, pids, rng, seconds):
    """Kill one of the workers that are at a case; those still loading are spared."""
    at_work = [pid for pid in pids if (folder / "run" / f"attempted-{pid}").exists()]
    if not at_work:
        return False
    time.sleep(rng.uniform(0, seconds))
    pid = rng.choice(at_work)
    (folder / "run" / f"attempted-{pid}").unlink()
    return kill(pid)


def assert_gone(pids):
    """Wait until the processes have exited; each may use at most 2 s of CPU time until then."""
    before = {pid: _cpu_seconds(pid) for pid in pids}
    deadline = time.monotonic() + 300
    while any(_lives(pid) for pid in pids):
        assert all(_cpu_seconds(pid) - before[pid] < 2 for pid in pids)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def stderr_of(process):
    """Standard error of a process once it has exited; a slow machine may delay it, but it may use little CPU time."""
    deadline = time.monotonic() + 1200
    while True:
        try:
            return process.communicate(timeout=1)[1]
        except subprocess.TimeoutExpired:
            assert sum(map(_cpu_seconds, [process.pid, *children(process)])) < 60
            assert time.monotonic() < deadline


def _stat_fields(pid):
    """Fields of /proc/PID/stat after the command name; empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _lives(pid):
    return _stat_fields(pid)[:1] not in ([], ["Z"])  # Z: a zombie


def _cpu_seconds(pid):
    return sum(map(int, _stat_fields(pid)[11:13])) / os.sysconf("SC_CLK_TCK")


def assert_equal_to_undisturbed(tmp_path, count):
    """The folder holds what one undisturbed worker makes, and nothing else."""
    undisturbed = tmp_path / "undisturbed"
    write_run(undisturbed / "run")
    synthesize(undisturbed / "run", undisturbed / "out", count=count, workers=1, options=in_process())
    assert contents(tmp_path / "out") == contents(undisturbed / "out")


def test_kills_change_no_byte(tmp_path):
    write_run(tmp_path / "run", seconds=0.4, marks_attempts=True)
    assert disturbed(tmp_path, 8, 2, worker_kills=1, coordinator_kills=1, seconds=0.5) == 1
    assert_equal_to_undisturbed(tmp_path, 8)


@pytest.mark.slow
def test_many_kills_change_no_byte(tmp_path):
    write_run(tmp_path / "run", seconds=0.4, marks_attempts=True)
    assert disturbed(tmp_path, 200, 4, worker_kills=30, coordinator_kills=3, seconds=0.5) == 30
    assert_equal_to_undisturbed(tmp_path, 200)


def test_a_worker_listens_before_it_imports_anything_heavy():
    """Otherwise it outlives a killed coordinator by the time that loading takes."""
    heavy = "numpy", "scipy", "pydantic", "nibabel", "torch", "PIL"
    code = f"import sys, medsmith.synthesis.worker; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("deaths", [1, pytest.param(MAX_CONCURRENT_DEATHS, marks=pytest.mark.slow)])
def test_bad_cases_are_set_aside_and_the_others_finish(tmp_path, monkeypatch, deaths):
    """A case may kill as many workers beside others, and one more alone; each has to be started, which takes long."""
    monkeypatch.setattr("medsmith.synthesis.executors.processes.MAX_CONCURRENT_DEATHS", deaths)
    bad = {"once": [case_seed(0)], "poison": [case_seed(1)], "raise": [case_seed(2)], "hang": [case_seed(4)]}
    run = write_run(tmp_path / "run", **bad)
    out = tmp_path / "out"
    with pytest.raises(SynthesisError, match=r"3 of 6 cases failed; fake_00001: .* SIGKILL") as caught:
        synthesize(run, out, count=6, workers=2, options=options(attempt=PATIENCE_S))
    assert "see failures/" in caught.value.line
    assert Cohort.open(out).ids == ("fake_00000", "fake_00003", "fake_00005")
    logs = {path.stem: path.read_text() for path in (out / "failures").iterdir()}
    assert "the poison bites" in logs["fake_00001"]
    assert "ZeroDivisionError: a bug in the method" in logs["fake_00002"]
    assert f"one attempt took more than {PATIENCE_S:.0f} s" in logs["fake_00004"]
    assert "_misbehave" in logs["fake_00004"]  # the stack of the hung worker
    assert list(run.glob("died-*"))  # fake_00000 was retried
    write_run(tmp_path / "run")
    synthesize(run, out, count=6, workers=1, options=in_process())
    assert_equal_to_undisturbed(tmp_path, 6)


def test_a_case_that_kills_a_worker_takes_no_case_of_its_batch_along(tmp_path, monkeypatch):
    monkeypatch.setattr("medsmith.synthesis.executors.processes.MAX_CONCURRENT_DEATHS", 1)
    run = write_run(tmp_path / "run", poison=[case_seed(1)], **{"raise": [case_seed(4)]})
    with pytest.raises(SynthesisError, match=r"2 of 6 cases failed; fake_00001: .* SIGKILL"):
        synthesize(run, tmp_path / "out", count=6, workers=1, options=options(batch=3))
    assert Cohort.open(tmp_path / "out").ids == ("fake_00000", "fake_00002", "fake_00003", "fake_00005")


@pytest.mark.slow
def test_a_stopped_worker_is_replaced(tmp_path):
    write_run(tmp_path / "run", seconds=0.3)
    pids: list[int] = []

    class StopsOne:
        def task(self, *_):
            return self

        def __enter__(self):
            return self.advance

        def __exit__(self, *_):
            pass

        def advance(self, *_):
            if not pids:
                pids.extend(int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
                os.kill(pids[0], signal.SIGSTOP)

    synthesize(
        tmp_path / "run", tmp_path / "out", count=3, workers=1, options=options(heartbeat=3.0), progress=StopsOne()
    )
    assert pids
    assert_equal_to_undisturbed(tmp_path, 3)


@pytest.mark.parametrize("number", [SIGNALS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in SIGNALS[1:])])
def test_an_interrupt_leaves_one_line_and_a_resumable_folder(tmp_path, number):
    write_run(tmp_path / "run", seconds=0.3)
    process = start(tmp_path, 9, 1)
    while len(list((tmp_path / "out" / "provenance").glob("*.json"))) < 2:
        time.sleep(0.05)
        assert process.poll() is None
    workers = children(process)
    os.killpg(process.pid, number)  # as a terminal does: coordinator and workers
    stderr = stderr_of(process)
    assert process.returncode == 130
    assert stderr.count("\n") == 1
    assert "of 9 cases; run the same command again to continue" in stderr
    assert_gone(workers)
    assert not (tmp_path / "out" / LOCK).exists()
    synthesize(tmp_path / "run", tmp_path / "out", count=9, workers=1, options=in_process())
    assert_equal_to_undisturbed(tmp_path, 9)


def test_a_full_disk_is_one_line_and_the_folder_is_resumable(tmp_path):
    write_run(tmp_path / "run")
    process = start(tmp_path, 4, 1, file_bytes=1500)  # less than a provenance file
    stderr = stderr_of(process)
    assert process.returncode == 2
    assert stderr.count("\n") == 1
    assert "cannot be written (File too large); free or choose another disk" in stderr
    assert not list(tmp_path.rglob(".medsmith-*"))
    synthesize(tmp_path / "run", tmp_path / "out", count=4, workers=1, options=in_process())
    assert_equal_to_undisturbed(tmp_path, 4)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"out: cannot be made or written to \(Not a directory\); choose"):
        synthesize(write_run(tmp_path / "run"), tmp_path / "file" / "out", count=1, workers=1, options=in_process())
