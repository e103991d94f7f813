"""Losses that are not finite stop training."""

import json
import math
import re

import pytest

import medsmith.methods
import medsmith.training.previews
import medsmith.training.stage_loop
from medsmith.data.batches import batches_of
from medsmith.diffusion import derive_seed
from medsmith.errors import TrainingError
from medsmith.training import Budget, train
from run_state import reached, settings, state


def case_names(cohort, stage, step, seed, count=2):
    batches = batches_of([{}] * len(cohort), count, derive_seed(seed, stage))
    return ", ".join(cohort.ids[index] for index in batches.indices(step))


def broken_at(monkeypatch, step, harm):
    """A loss that is harmed at one step of DDPM."""
    from medsmith.methods.ddpm import Ddpm

    whole = Ddpm.loss
    calls: list[None] = []

    def loss(method, *arguments):
        calls.append(None)
        value = whole(method, *arguments)
        return harm(value) if len(calls) == step + 1 else value

    monkeypatch.setattr(Ddpm, "loss", loss)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda loss: loss * math.nan, "loss nan"),
        (lambda loss: loss * math.inf, "loss inf"),
        (lambda loss: loss + (loss * 0).sqrt(), r"loss \d+\.\d+, gradient not finite"),
    ],
)
def test_a_loss_that_is_not_finite_stops_within_the_step(harm, found, cohort, tmp_path, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(medsmith.training.stage_loop, "LOG_EVERY", 1)
        broken_at(patch, 4, harm)
        with pytest.raises(TrainingError) as stop:
            train("ddpm", cohort, run, settings=settings(), seed=3, budget=Budget(steps=8, checkpoint_seconds=0))
    cases = case_names(cohort, "stack", 4, 3)
    assert re.fullmatch(
        rf"{run}, step 4 of 'network': {found}; batch: {cases}; the checkpoint of step 4 is kept; "
        r"look at these cases, or lower training.learning_rate in another run folder",
        stop.value.line,
    )
    assert reached(run) == {"stack": 4}
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]
    for name in ("run", "uninterrupted"):
        train("ddpm", cohort, tmp_path / name, settings=settings(), seed=3, budget=Budget(steps=8))
    assert state(run)["checkpoints"] == state(tmp_path / "uninterrupted")["checkpoints"]


def test_an_absurd_rate_is_stopped(cohort, run):
    with pytest.raises(TrainingError, match="no checkpoint is saved yet; look at these cases"):
        train("ddpm", cohort, run, settings=settings("ddpm", "training.learning_rate=1e30"), budget=Budget(steps=50))
    assert reached(run) == {}


def test_what_trained_some_steps_keeps_its_log_and_the_last_losses(cohort, tmp_path, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        broken_at(patch, 5, lambda loss: loss * math.nan)
        with pytest.raises(TrainingError) as stop:
            train("ddpm", cohort, run, settings=settings(), seed=3, budget=Budget(steps=8))
    assert "step 5 of 'network': loss nan" in stop.value.line
    assert stop.value.line in (run / "log.txt").read_text()
    (last,) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert (last["step"], math.isfinite(last["network"])) == (5, True)
    train("ddpm", cohort, run, settings=settings(), seed=3, budget=Budget(steps=8))  # the same call begins anew
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [8]


def test_what_fails_in_its_first_step_leaves_nothing(cohort, tmp_path, monkeypatch):
    run = tmp_path / "run"
    broken_at(monkeypatch, 0, lambda loss: loss * math.nan)
    with pytest.raises(TrainingError, match=r"no checkpoint is saved yet; look .*, or lower training.learning_rate$"):
        train("ddpm", cohort, run, settings=settings(), seed=3, budget=Budget(steps=8))
    assert not run.exists()
