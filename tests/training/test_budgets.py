"""Budgets, and stages trained one by one."""

import json
import math
from contextlib import contextmanager

import pytest
import torch

import medsmith.training.all_stages
import medsmith.training.run
import medsmith.training.stage_loop
from medsmith.errors import RequestError, RunError
from medsmith.progress import unlimited
from medsmith.runs.checkpoints import load_method
from medsmith.training import Budget, train
from medsmith.training.budget import StageTime
from run_state import reached, settings, state


def test_more_steps_continue_to_the_bytes_of_one_call(cohort, tmp_path):
    train("ddpm", cohort, tmp_path / "whole", settings=settings(), budget=Budget(steps=6))
    for steps in (2, 2, 5, 6, 3):
        train("ddpm", cohort, tmp_path / "parts", settings=settings(), budget=Budget(steps=steps))
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert whole["checkpoints"] == parts["checkpoints"]
    assert whole["files"]["weights.safetensors"] == parts["files"]["weights.safetensors"]


def test_the_configs_steps_are_the_budget_unless_another_is_given(cohort, run):
    train("ddpm", cohort, run, settings=settings("ddpm", "training.steps=3"))
    assert reached(run) == {"stack": 3}


def test_minutes_end_training_and_count_over_calls(cohort, run):
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(minutes=0.04))
    first = reached(run)
    assert first.keys() == {"guider", "image"}
    assert all(0 < step < 2000 for step in first.values())
    assert (run / "README.md").is_file()
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(minutes=0.04))
    assert reached(run) == first
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {line["stage"]: line["step"] for line in lines} == first
    assert f"step-{first['image']:08d}.png" in {path.name for path in (run / "samples").iterdir()}


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"steps": -1}, {"minutes": 0}, {"minutes": math.nan}, {"elapsed_minutes": 0}]
)
def test_a_budget_of_nothing_is_refused(wrong):
    with pytest.raises(RequestError, match=r"max-(steps|minutes): "):
        Budget(**wrong)


def test_stages_can_be_trained_one_by_one(cohort, tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    with pytest.raises(RunError) as refusal:
        train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=2, stage="image"))
    assert refusal.value.line == f"{run}: stage 'guider' is not trained; train it first: --stage guider"
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=2, stage="guider"))
    with pytest.raises(RunError, match="no finished weights; run the same train command again"):
        load_method(run)
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=2, stage="image"))
    train("pig", cohort, whole, settings=settings("pig"), budget=Budget(steps=2))
    assert state(run) == state(whole)


def test_the_end_of_a_call_counts_all_that_it_does():
    budget = Budget(elapsed_minutes=10)
    assert budget.timed
    assert budget.end_of_call(100.0, 60.0) == 100 + 600 - 60
    assert math.isinf(Budget(minutes=10).end_of_call(100.0, 60.0))
    assert budget.end_of_stage([300.0, 100.0], [0.0, 0.0], now=200.0, end=600.0) == 200 + 300
    assert budget.end_of_stage([300.0, 100.0], [60.0, 0.0], now=260.0, end=600.0) == pytest.approx(
        260 + 400 * 0.75 - 60
    )
    assert budget.end_of_stage([100.0, 100.0], [90.0, 0.0], now=0.0, end=10.0) == 0  # it has had its share
    assert budget.end_of_stage([100.0], [0.0], now=700.0, end=600.0) == 700
    assert math.isinf(Budget().end_of_stage([1.0, 1.0], [0.0, 0.0], now=0.0, end=math.inf))
    alone = Budget(elapsed_minutes=10, stage="b")
    assert alone.end_of_stage([300.0, 100.0], [0.0, 0.0], now=200.0, end=600.0) == 600


def test_the_time_of_a_stage_ends_with_the_first_of_its_limits():
    time = StageTime(allowed=50.0, started=200.0, end=300.0)
    assert (time.left(20.0, 230.0), time.left(20.0, 290.0)) == (30.0, 10.0)
    assert [time.share_elapsed(now) for now in (200.0, 225.0, 300.0, 400.0)] == [0.0, 0.25, 1.0, 1.0]
    assert StageTime(50.0, 200.0, math.inf).share_elapsed(1e9) == 0
    assert StageTime(50.0, 200.0, 200.0).share_elapsed(200.0) == 1


@pytest.mark.parametrize("budget", [Budget(elapsed_minutes=1), Budget(minutes=1)])
def test_a_call_ends_in_time_with_its_reading(budget, cohort, run, monkeypatch):
    """A clock by which reading and preparing take 40 s, and everything else half a second per look at it."""
    clock = [1000.0]

    def monotonic():
        clock[0] += 0.5
        return clock[0]

    class Slow:
        @contextmanager
        def task(self, name, _total, _done=0, _limit=unlimited):
            clock[0] += 20 * (name in ("read", "prepare"))
            yield lambda _steps, _note: None

    for module in (medsmith.training.run, medsmith.training.all_stages, medsmith.training.stage_loop):
        monkeypatch.setattr(module, "monotonic", monotonic)
    monkeypatch.setattr(medsmith.training.stage_loop, "write_previews", lambda *_: None)
    train("ddpm", cohort, run, settings=settings(), budget=budget, progress=Slow())
    spent = clock[0] - 1000
    assert spent == pytest.approx(60, abs=6) if budget.elapsed_minutes else spent > 100
    assert 0 < reached(run)["stack"] < 2000


def test_previews_take_no_steps_from_the_last_stage_of_a_short_call(cohort, run, monkeypatch):
    """A clock by which every look takes a tenth of a second, and a preview 6 s."""
    clock, drawn = [0.0], []

    def monotonic():
        clock[0] += 0.1
        return clock[0]

    def preview(_method, _path, step):
        clock[0] += 6
        drawn.append(step)

    for module in (medsmith.training.run, medsmith.training.all_stages, medsmith.training.stage_loop):
        monkeypatch.setattr(module, "monotonic", monotonic)
    monkeypatch.setattr(medsmith.training.stage_loop, "write_previews", preview)
    monkeypatch.setattr(
        medsmith.training.all_stages, "_expected_seconds", lambda _record, _method, stages, _: [1.0] * len(stages)
    )
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(elapsed_minutes=1))
    steps = reached(run)
    assert drawn == [steps["image"]]
    assert steps["image"] == pytest.approx(steps["guider"], abs=3)
    assert steps["image"] > 20
    assert clock[0] < 60 + 6 + 2


def test_a_stage_has_as_many_previews_as_its_time_allows():
    assert [StageTime(1e9, 100.0, end).previews for end in (100.0, 399.0, 400.0, math.inf)] == [1, 1, 4, 4]


def test_the_command_counts_from_its_beginning(cohort, run, monkeypatch):
    """What was spent before the training began, such as loading libraries, counts."""
    for module in (medsmith.training.run, medsmith.training.all_stages, medsmith.training.stage_loop):
        monkeypatch.setattr(module, "monotonic", lambda: 1000.0)
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=3, elapsed_minutes=1, started=930.0))
    assert not list(run.glob("checkpoints/*/step*"))
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=3, elapsed_minutes=1, started=950.0))
    assert reached(run) == {"stack": 3}


def test_the_time_that_is_shown_is_within_the_limit(cohort, run):
    limits: list[float] = []

    class Recorder:
        @contextmanager
        def task(self, name, _total, _done=0, limit=unlimited):
            kept = limits if name.startswith("ddpm") else []
            kept.append(limit())
            yield lambda _steps, _note: kept.append(limit())

    train("ddpm", cohort, run, settings=settings(), budget=Budget(minutes=0.01), progress=Recorder())
    assert limits[0] == pytest.approx(0.6)
    assert limits == sorted(limits, reverse=True)
    assert all(limit > 0 for limit in limits[:-1])
    assert limits[-1] <= 0


def test_a_stage_trained_further_is_in_the_weights(cohort, run):
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=2))
    before = load_method(run).state_dict()
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=4, stage="guider"))
    after = load_method(run).state_dict()
    moved = {key.partition(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert moved == {"guider"}
    assert reached(run) == {"guider": 4, "image": 2}


def test_an_unknown_stage_is_refused(cohort, run):
    with pytest.raises(RequestError) as refusal:
        train("pig", cohort, run, settings=settings("pig"), budget=Budget(stage="images"))
    assert refusal.value.line == "pig: no stage 'images'; there are guider, image; did you mean 'image'?"
    assert not run.exists()


def test_trials_of_number_formats_take_a_quarter_of_the_minutes_and_none_after_the_end():
    assert Budget(steps=5).end_of_trial(0.0, 100.0) == math.inf
    assert Budget(minutes=10).end_of_trial(0.0, 10_000.0) == 10_150.0
    assert Budget(elapsed_minutes=10).end_of_trial(0.0, 100.0) == 250.0
    assert Budget(elapsed_minutes=10).end_of_trial(0.0, 590.0) == 600.0
    assert Budget(elapsed_minutes=10).end_of_trial(0.0, 700.0) == 600.0
