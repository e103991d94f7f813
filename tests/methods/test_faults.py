"""Exceptions that a method of the user's own raises: one line that names it, whatever it was doing."""

import io
import json
import re
import subprocess
import sys

import pytest
import torch

import micro
from medsmith.cli import main
from medsmith.errors import MethodError, error_from_json
from medsmith.methods import elsewhere, method_class
from medsmith.methods.elsewhere import VARIABLE, fault_of, use_method_file
from medsmith.training import trial

METHOD = """
from typing import ClassVar, final

import torch
from pydantic import BaseModel, ConfigDict

from medsmith.diffusion import Sampling
from medsmith.data.scaling import image_to_model
from medsmith.methods.base import Method, Stage, assemble
from medsmith.methods.config import TrainingConfig


@final
class PlainConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[int, ...] = (8, 8)
    fails_in: str = ""
    training: TrainingConfig = TrainingConfig(batch=2, precision="float32", warm_up=0, steps=2, flips=())
    sampling: Sampling = Sampling(steps=1)


@final
class PlainRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    fails: bool = False


@final
class Plain(Method):
    presets: ClassVar = {"tiny": PlainConfig()}
    checks = ("image_finite",)
    Config = PlainConfig
    Request = PlainRequest

    def __init__(self, config, fingerprint):
        super().__init__()
        self.config, self.fingerprint, self.memory = config, fingerprint, {}
        self.net = torch.nn.Linear(1, 1)
        self._fail("building")

    def _fail(self, place):
        if self.config.fails_in == place:
            raise ValueError(f"no {place}\\nfor now")

    def stages(self):
        return (Stage("only", ("net",)),)

    def prepare(self, case):
        self._fail("preparing")
        return {"image": image_to_model(case, self.fingerprint, self.config.size)}

    def begin(self, stage, examples):
        self._fail("beginning")
        return {}

    def loss(self, part, batch, rng):
        self._fail("learning")
        loss = self.net(batch["image"][..., None]).square()
        return loss if self.config.fails_in == "reducing" else loss.mean()

    def synthesize(self, request, seed, sampling, *, observe=None):
        if request.fails:
            raise KeyError("nothing to make")
        return assemble(torch.zeros(1, 8, 8), torch.ones(1, 8, 8), self.fingerprint)
"""


@pytest.fixture
def method(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(elsewhere, "_LOADED", {})
    file = tmp_path / "plain.py"
    file.write_text(METHOD)
    use_method_file(file)
    yield file
    sys.modules.pop("medsmith_method_file_plain", None)


@pytest.fixture
def cohort(tmp_path):
    return micro.micro_cohort(tmp_path / "cohort")


@pytest.mark.parametrize(
    ("place", "function"),
    [
        ("building", "_fail"),
        ("preparing", "_fail"),
        ("beginning", "_fail"),
        ("learning", "_fail"),
    ],
)
def test_a_training_names_the_method_that_raised(place, function, method, cohort, tmp_path, capsys):
    command = ["train", "plain", str(cohort.root), "--run", str(tmp_path / "run"), "--set", f"fails_in={place}"]
    assert main(command) == 2
    line = METHOD.splitlines().index('            raise ValueError(f"no {place}\\nfor now")') + 1
    cure = "correct the method; --verbose shows the traceback"
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == f"method plain: raised ValueError: no {place} for now; in plain.py:{line} ({function}); {cure}"
    assert not any("Traceback" in each for each in said)
    assert main([*command, "-v"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last):" in shown
    assert f'File "{method}", line {line}, in _fail' in shown


def test_what_a_method_returns_is_its_fault_too(method, cohort, tmp_path, capsys):
    command = ["train", "plain", str(cohort.root), "--run", str(tmp_path / "run"), "--set", "fails_in=reducing"]
    assert method
    assert main(command) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"method plain: raised \w+: .*; in \w+\.py:\d+ \(\w+\); correct the method", said)


def test_a_trial_of_a_plan_passes_it_on(method, cohort, tmp_path, monkeypatch, capsys):
    asked = trial.Trial(
        method="plain", preset="tiny", settings=("fails_in=learning",), cohort=cohort.root, ids=cohort.ids[:2],
        stages=("only",), folder=tmp_path / "run",
    )  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.StringIO(asked.model_dump_json()))
    assert trial.main() == 2
    error = error_from_json(json.loads(capsys.readouterr().out)["error"])
    assert isinstance(error, MethodError)
    assert error.line.startswith("method plain: raised ValueError: no learning for now; in plain.py:")
    assert str(method) in error.__notes__[0]


@pytest.mark.usefixtures("method")
def test_failures_of_the_system_are_no_faults_of_a_method_that_did_not_cause_them():
    assert method_class("plain").__name__ == "Plain"
    with pytest.raises(OSError, match="No such file") as raised:
        open("/nowhere/at/all")  # noqa: PTH123, SIM115
    assert fault_of(raised.value) is None


@pytest.mark.parametrize("error", ["MemoryError()", 'RuntimeError("DefaultCPUAllocator: cannot allocate memory")'])
def test_a_lack_of_memory_is_no_fault_of_the_method_that_met_it(method, error, cohort, tmp_path, capsys):
    method.write_text(METHOD.replace('ValueError(f"no {place}\\nfor now")', error))
    command = ["train", "plain", str(cohort.root), "--run", str(tmp_path / "run"), "--set", "fails_in=learning"]
    assert main(command) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("medsmith: out of memory; ")


def test_without_a_method_from_elsewhere_nothing_is_renamed(monkeypatch):
    monkeypatch.setattr(elsewhere, "_LOADED", {})
    with pytest.raises(RuntimeError) as raised:
        torch.zeros(2) @ torch.zeros(3)
    assert fault_of(raised.value) is None


@pytest.mark.slow
def test_plan_and_synthesize_name_the_method(method, cohort, tmp_path):
    def medsmith(*words):
        command = [sys.executable, "-m", "medsmith", *map(str, words), "--method-file", str(method)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    planned = medsmith("plan", "plain", cohort.root, tmp_path / "plan.json", "--set", "fails_in=learning")
    assert planned.returncode == 2
    assert planned.stderr.splitlines()[-1].startswith("method plain: raised ValueError: no learning for now; in plain")
    trained = medsmith("train", "plain", cohort.root, "--run", tmp_path / "run")
    assert trained.returncode == 0, trained.stderr
    (tmp_path / "request.json").write_text('{"fails": true}')
    asked = ("--count", 1, "--workers", 1, "--request", tmp_path / "request.json")
    made = medsmith("synthesize", tmp_path / "run", tmp_path / "out", *asked)
    assert made.returncode == 2
    assert made.stderr.count("\n") == 1
    assert "1 of 1 case failed; plain_00000: method plain raised KeyError: 'nothing to make'; see" in made.stderr
