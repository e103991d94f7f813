"""Interrupts wait for the step and save it."""

import json
import os
import re
import signal

import pytest

import medsmith.methods
import medsmith.training.previews
import medsmith.training.stage_loop
from medsmith.interruption import SIGNALS
from medsmith.training import Budget, train
from run_state import reached, settings, state


def interrupted_at(monkeypatch, step, number=signal.SIGINT):
    """The signal comes in the middle of a step."""
    whole = medsmith.training.stage_loop.StageLoop._one_step

    def one_step(loop, batches, ids):
        losses = whole(loop, batches, ids)
        if loop._step == step:
            os.kill(os.getpid(), number)
        return losses

    monkeypatch.setattr(medsmith.training.stage_loop.StageLoop, "_one_step", one_step)


@pytest.fixture(scope="module")
def uninterrupted(cohort, tmp_path_factory):
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(medsmith.training.previews, "COUNT", 1)
        train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=8))
    return state(run)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_waits_for_the_step_and_saves_it(number, uninterrupted, cohort, tmp_path, monkeypatch):
    handlers = [signal.getsignal(number) for number in SIGNALS]
    with monkeypatch.context() as patch:
        interrupted_at(patch, 3, number)
        with pytest.raises(KeyboardInterrupt):
            train("ddpm", cohort, tmp_path / "run", settings=settings(), budget=Budget(steps=8))
    assert reached(tmp_path / "run") == {"stack": 4}
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
    train("ddpm", cohort, tmp_path / "run", settings=settings(), budget=Budget(steps=8))
    assert state(tmp_path / "run") == uninterrupted


def test_the_command_says_one_line_when_interrupted(cohort, run, monkeypatch, capsys):
    from medsmith.cli import main

    interrupted_at(monkeypatch, 1)
    lines = [f"--set={line}" for line in settings()]
    before = [(number, signal.getsignal(number)) for number in SIGNALS]
    try:
        with pytest.raises(SystemExit) as end:
            main(["train", "ddpm", str(cohort.root), "--run", str(run), "--max-steps=5", *lines])
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    assert end.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted; run the same command again to continue"
    assert reached(run) == {"stack": 2}


def test_a_run_that_was_stopped_by_its_limits_has_the_metrics_of_a_calm_one(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(medsmith.training.stage_loop, "LOG_EVERY", 4)
    for steps in (3, 3, 6, 11):
        train("ddpm", cohort, tmp_path / "stopped", settings=settings(), budget=Budget(steps=steps))
    train("ddpm", cohort, tmp_path / "calm", settings=settings(), budget=Budget(steps=11))
    lines = {
        name: [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("stopped", "calm")
    }
    assert [line["step"] for line in lines["calm"]] == [4, 8, 11]
    for entries in lines.values():
        for entry in entries:
            assert entry.pop("seconds") >= 0
    assert lines["stopped"] == lines["calm"]
    for name in ("run.json", "manifest.json", "weights.safetensors", "memory.safetensors"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
    cards = [re.sub(r"[0-9.]+ minutes", "", (tmp_path / name / "README.md").read_text()) for name in lines]
    assert cards[0] == cards[1]
    train("ddpm", cohort, tmp_path / "calm", settings=settings(), budget=Budget(steps=11))  # nothing to do
    text = (tmp_path / "calm" / "metrics.jsonl").read_text()
    assert [json.loads(line)["step"] for line in text.splitlines()] == [4, 8, 11]
