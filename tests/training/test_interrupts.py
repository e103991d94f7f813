"""Interrupts wait for the step and save it."""

import json
import os
import re
import signal
from contextlib import contextmanager

import pytest

import medsmith.methods
import medsmith.runs.checkpoints
import medsmith.training.previews
import medsmith.training.stage_loop
import micro
from medsmith.cli import main
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


@pytest.fixture
def own_handlers():
    """The command sets handlers of signals, which are taken back."""
    before = [(number, signal.getsignal(number)) for number in SIGNALS]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_handlers")
def test_the_command_says_one_line_when_interrupted(cohort, run, monkeypatch, capsys):
    interrupted_at(monkeypatch, 1)
    lines = [f"--set={line}" for line in settings()]
    assert main(["train", "ddpm", str(cohort.root), "--run", str(run), "--max-steps=5", *lines]) == 130
    said = f"{run}: interrupted; what is finished is saved; run the same command again to continue"
    assert capsys.readouterr().err.splitlines()[-1] == said
    assert reached(run) == {"stack": 2}


@pytest.mark.usefixtures("own_handlers")
def test_an_interrupt_before_anything_is_saved_says_so_and_leaves_nothing(cohort, tmp_path, monkeypatch, capsys):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("medsmith.training.number_format._timed_compute", interrupted)
    lines = [f"--set={line}" for line in (*settings(), "training.precision=measured")]
    assert main(["train", "ddpm", str(cohort.root), "--run", str(tmp_path / "new"), *lines]) == 130
    found = "interrupted before anything was saved; run the same command again to begin anew"
    assert capsys.readouterr().err.splitlines()[-1] == f"{tmp_path / 'new'}: {found}"
    assert not (tmp_path / "new").exists()


def test_every_phase_of_a_training_is_shown(tmp_path):
    shown: list[tuple[str, int]] = []

    class Recorded:
        @contextmanager
        def task(self, name, total, done=0, limit=None):  # noqa: ARG002
            reached = [done]
            yield lambda steps, _note: reached.append(reached.pop() + steps)
            shown.append((name, reached[0]))
            assert reached[0] == total

    cohort = micro.micro_cohort(tmp_path / "cohort", dimensions=2)
    kind = medsmith.methods.method_class("lldm")
    chosen = micro.micro_settings("lldm", kind, 2)
    train("lldm", cohort, tmp_path / "run", settings=chosen, budget=Budget(steps=1), progress=Recorded())
    stages = [stage.name for stage in medsmith.runs.checkpoints.load_method(tmp_path / "run").stages()]
    assert [name for name, _ in shown[:4]] == ["compute checksums", "read", "try number formats", "prepare"]
    assert [name for name, _ in shown if name.startswith("begin ")] == [f"begin {name}" for name in stages]
    assert shown[-1] == ("finish", 1)


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
