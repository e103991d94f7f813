"""Kills: a killed run ends in the same state as an uninterrupted one."""

import random
import re
import signal

import pytest

from run_state import reached, settings, state, strays


def train_uninterrupted(server, cohort, folder, precision):
    """An uninterrupted run that saves every step: its job, state, and seconds."""
    job = {
        "settings": settings("pig", f"training.precision={precision}"),
        "budget": {"steps": 5, "checkpoint_seconds": 0.0},
    }
    ended = server.train(folder / "run", cohort.root, **job)
    assert (ended.status, ended.error) == (0, "")
    return job, state(folder / "run"), ended.seconds


@pytest.fixture(scope="module")
def uninterrupted(server, cohort, tmp_path_factory):
    return train_uninterrupted(server, cohort, tmp_path_factory.mktemp("uninterrupted"), "float32")


def test_the_server_has_one_thread(server):
    assert server.threads == 1


@pytest.mark.parametrize(("precision", "most"), [("float32", 8), pytest.param("bfloat16", 20, marks=pytest.mark.slow)])
def test_kills_at_random_leave_the_bytes_of_an_uninterrupted_run(precision, most, server, cohort, tmp_path):
    job, expected, seconds = train_uninterrupted(server, cohort, tmp_path, precision)
    rng, kills, runs, seen = random.Random(4), 0, 0, set()
    while kills < most:
        run = tmp_path / f"killed-{runs}"
        steps: dict[str, int] = {}
        runs += 1
        while True:
            ended = server.train(run, cohort.root, **job, kill_after=rng.uniform(0.0, 0.6 * seconds))
            now = reached(run)
            assert all(now.get(stage, 0) >= step for stage, step in steps.items()), "a saved step was lost"
            steps = now
            if ended.status == 0:
                break
            assert ended.status == -signal.SIGKILL
            kills += 1
            seen.add(tuple(now.items()))
        assert state(run) == expected
        assert not strays(run)
    assert len(seen) >= most // 4, "too few different steps were killed"


def kill_at_every_write_event(job, server, cohort, run, first):
    """Processes killed at write event first, first + 1, ..., until one ends by itself; the number of kills."""
    steps: dict[str, int] = {}
    kills = 0
    while (ended := server.train(run, cohort.root, **job, kill_at=first + kills)).status != 0:
        assert ended.status == -signal.SIGKILL
        kills += 1
        now = reached(run)
        assert all(now.get(stage, 0) >= step for stage, step in steps.items()), "a saved step was lost"
        steps = now
    return kills


@pytest.mark.slow
def test_kills_inside_every_window_of_saving_lose_nothing(uninterrupted, server, cohort, run):
    job, expected, _ = uninterrupted
    assert kill_at_every_write_event(job, server, cohort, run, first=1) >= 20
    assert state(run) == expected
    assert not strays(run)


@pytest.mark.slow
def test_three_hundred_kills_inside_the_windows_of_saving(uninterrupted, server, cohort, tmp_path):
    job, expected, _ = uninterrupted
    kills = 0
    for index in range(1000):
        kills += kill_at_every_write_event(job, server, cohort, tmp_path / str(index), first=1 + index % 7)
        assert state(tmp_path / str(index)) == expected
        if kills >= 300:
            return
    raise AssertionError("too few kills")


def test_a_full_disk_is_reported_in_one_line_and_the_run_can_continue(uninterrupted, server, cohort, run):
    job, expected, _ = uninterrupted
    some = {**job, "budget": {**job["budget"], "steps": 2, "stage": "guider"}}
    assert server.train(run, cohort.root, **some).status == 0
    before = reached(run)
    full = server.train(run, cohort.root, **job, file_bytes=20_000)
    assert full.status == 0
    assert re.fullmatch(r".*/step-00000003.safetensors: cannot be written \(File too large\); .*", full.error)
    assert reached(run) == before == {"guider": 2}
    assert server.train(run, cohort.root, **job).error == ""
    after = state(run)
    assert after["checkpoints"] == expected["checkpoints"]
    assert after["files"] == expected["files"]
    assert not strays(run)


def test_nothing_is_unpickled_when_a_run_continues(uninterrupted, server, cohort, run):
    job, expected, _ = uninterrupted
    some = {**job, "budget": {**job["budget"], "steps": 2, "stage": "guider"}}
    assert server.train(run, cohort.root, **some).status == 0
    assert server.train(run, cohort.root, **job, no_pickle=True).status == 0
    assert state(run)["files"] == expected["files"]
