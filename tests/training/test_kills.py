"""Kills: a killed run ends where the undisturbed one does."""

import random
import re
import signal

import pytest

from run_state import reached, settings, state, strays


def undisturbed(nursery, cohort, folder, precision):
    """A run that saves every step: its order, state, and how long it took."""
    order = {
        "settings": settings("pig", f"training.precision={precision}"),
        "budget": {"steps": 5, "checkpoint_seconds": 0.0},
    }
    ended = nursery.live(folder / "run", cohort.root, **order)
    assert (ended.status, ended.error) == (0, "")
    return order, state(folder / "run"), ended.seconds


@pytest.fixture(scope="module")
def calm(nursery, cohort, tmp_path_factory):
    return undisturbed(nursery, cohort, tmp_path_factory.mktemp("calm"), "float32")


def test_lives_are_processes_that_share_no_thread(nursery):
    assert nursery.threads == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_twenty_kills_at_random_leave_the_bytes_of_the_calm_run(precision, nursery, cohort, tmp_path):
    order, expected, seconds = undisturbed(nursery, cohort, tmp_path, precision)
    draw, kills, runs, seen = random.Random(4), 0, 0, set()
    while kills < 20:
        run = tmp_path / f"killed-{runs}"
        steps: dict[str, int] = {}
        runs += 1
        while True:
            ended = nursery.live(run, cohort.root, **order, kill_after=draw.uniform(0.0, 0.6 * seconds))
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
    assert len(seen) >= 5, "the kills fell on too few steps"


def kill_at_every_write_event(order, nursery, cohort, run, first):
    """Lives that die at their first, second, ... write event, until one has lived on to the end."""
    steps: dict[str, int] = {}
    deaths = 0
    while (ended := nursery.live(run, cohort.root, **order, die_at=first + deaths)).status != 0:
        assert ended.status == -signal.SIGKILL
        deaths += 1
        now = reached(run)
        assert all(now.get(stage, 0) >= step for stage, step in steps.items()), "a saved step was lost"
        steps = now
    return deaths


def test_kills_inside_every_window_of_saving_lose_nothing(calm, nursery, cohort, run):
    order, expected, _ = calm
    assert kill_at_every_write_event(order, nursery, cohort, run, first=1) >= 20
    assert state(run) == expected
    assert not strays(run)


@pytest.mark.slow
def test_three_hundred_kills_inside_the_windows_of_saving(calm, nursery, cohort, tmp_path):
    order, expected, _ = calm
    kills = 0
    for index in range(1000):
        kills += kill_at_every_write_event(order, nursery, cohort, tmp_path / str(index), first=1 + index % 7)
        assert state(tmp_path / str(index)) == expected
        if kills >= 300:
            return
    raise AssertionError("too few kills")


def test_a_full_disk_is_said_in_one_line_and_the_run_goes_on_when_there_is_room(calm, nursery, cohort, run):
    order, expected, _ = calm
    some = {**order, "budget": {**order["budget"], "steps": 2, "stage": "guider"}}
    assert nursery.live(run, cohort.root, **some).status == 0
    before = reached(run)
    full = nursery.live(run, cohort.root, **order, file_bytes=20_000)
    assert full.status == 0
    assert re.fullmatch(r".*/step-00000003.safetensors: cannot be written \(File too large\); .*", full.error)
    assert reached(run) == before == {"guider": 2}
    assert nursery.live(run, cohort.root, **order).error == ""
    after = state(run)
    assert after["checkpoints"] == expected["checkpoints"]
    assert after["files"] == expected["files"]
    assert not strays(run)


def test_nothing_is_unpickled_when_a_run_goes_on(calm, nursery, cohort, run):
    order, expected, _ = calm
    some = {**order, "budget": {**order["budget"], "steps": 2, "stage": "guider"}}
    assert nursery.live(run, cohort.root, **some).status == 0
    assert nursery.live(run, cohort.root, **order, no_pickle=True).status == 0
    assert state(run)["files"] == expected["files"]
