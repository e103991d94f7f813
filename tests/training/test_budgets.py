"""Budgets, and stages trained one by one."""

import json
import math

import pytest
import torch

from medsmith.errors import RequestError, RunError
from medsmith.runs.checkpoints import load_method
from medsmith.training import Budget, train
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
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(minutes=0.01))
    first = reached(run)
    assert all(0 < step < 2000 for step in first.values())
    assert (run / "README.md").is_file()
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(minutes=0.01))
    assert reached(run) == first
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {line["stage"]: line["step"] for line in lines} == first
    assert f"step-{first['image']:08d}.png" in {path.name for path in (run / "samples").iterdir()}


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": -1}, {"minutes": 0}, {"minutes": math.nan}])
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


def test_the_command_says_what_is_left_to_train(cohort, run, capsys):
    from medsmith.cli import main

    lines = [f"--set={line}" for line in settings("pig")]
    output = {}
    for stage in ("guider", "image"):
        with pytest.raises(SystemExit) as ended:
            main(["train", "pig", str(cohort.root), "--run", str(run), "--max-steps=2", f"--stage={stage}", *lines])
        assert ended.value.code == 0
        output[stage] = "".join(capsys.readouterr())
    assert "stage 'guider' is trained; next: the same command with another stage" in output["guider"]
    assert "trained; next: medsmith synthesize" in output["image"]


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
    assert refusal.value.line == "pig: no stage 'images'; there are guider, image"
    assert not run.exists()
