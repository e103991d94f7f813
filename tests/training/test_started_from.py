"""Runs that start from the weights of others: what is trained on, what is kept, and what is refused."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

import micro
from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.errors import RequestError, RunError
from medsmith.methods import method_class
from medsmith.methods.config import apply_settings, flat_settings
from medsmith.runs.checkpoints import load_method, read_record
from medsmith.runs.steps import StageSteps
from medsmith.training import Budget, train
from medsmith.training.started_from import joined_galleries, settings_like
from run_state import settings

FEW = Budget(steps=2, checkpoint_seconds=0)


@pytest.fixture(scope="module")
def other_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return micro.micro_cohort(tmp_path_factory.mktemp("other") / "c", count=4)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in load_method(run).state_dict().items()}


def test_training_goes_on_from_the_weights(finished_run: Path, other_cohort: Cohort, tmp_path: Path) -> None:
    near = train(
        "ddpm",
        other_cohort,
        tmp_path / "near",
        settings=["training.learning_rate=1e-9", "training.ema=0"],
        budget=FEW,
        start_from=finished_run,
    )
    before, after = weights(finished_run), weights(near)
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-6)
    record = read_record(near)
    assert record.started_from is not None
    assert record.started_from.cohort_hash == read_record(finished_run).fingerprint.cohort_hash
    assert record.fingerprint.cohort_hash == other_cohort.content_hash()
    assert record.steps == {"stack": StageSteps(done=2, configured=2000)}
    assert "- Started from weights of 4 of 2000 steps of 'stack' on a cohort" in (near / "README.md").read_text()


def test_preset_and_settings_are_those_of_the_weights(finished_run: Path) -> None:
    preset, changes = settings_like(finished_run, "ddpm", ["training.batch=3"])
    config = apply_settings(method_class("ddpm").presets[preset], changes)
    found = flat_settings(config)
    assert found.pop("training.batch") == 3
    stored = read_record(finished_run).config
    expected = flat_settings(method_class("ddpm").Config.model_validate(stored))
    assert found == {name: value for name, value in expected.items() if name != "training.batch"}


def test_the_same_call_continues_without_the_other_folder_changing_it(
    finished_run: Path, other_cohort: Cohort, tmp_path: Path
) -> None:
    again = partial(train, "ddpm", other_cohort, settings=["training.learning_rate=1e-3"], start_from=finished_run)
    calm = again(tmp_path / "calm", budget=Budget(steps=4, checkpoint_seconds=0))
    halted = again(tmp_path / "halted", budget=FEW)
    again(halted, budget=Budget(steps=4, checkpoint_seconds=0))
    for name in ("weights.safetensors", "memory.safetensors", "run.json"):
        assert (calm / name).read_bytes() == (halted / name).read_bytes()


def test_the_copy_check_knows_the_cases_of_both_runs(finished_run: Path, other_cohort: Cohort, tmp_path: Path) -> None:
    run = train("ddpm", other_cohort, tmp_path / "run", budget=FEW, start_from=finished_run)
    mine, theirs = (load_method(each).memory["thumbnails"] for each in (run, finished_run))
    assert len(mine) == len(theirs) + len(other_cohort)
    torch.testing.assert_close(mine[: len(theirs)], theirs)


def test_galleries_of_other_sizes_are_not_joined() -> None:
    now = torch.ones(2, 4, 4)
    assert joined_galleries(torch.zeros(3, 5, 5), now) is now
    assert joined_galleries(None, now) is now


def test_another_method_is_refused(finished_run: Path, other_cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"^--from: .*run holds weights of ddpm; segguided is to be trained$"):
        train("segguided", other_cohort, tmp_path / "run", start_from=finished_run)
    assert not (tmp_path / "run" / "run.json").exists()


def test_weights_of_another_shape_are_refused_and_nothing_is_left(
    finished_run: Path, other_cohort: Cohort, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"weights\.safetensors: .*; made for another architecture$"):
        train("ddpm", other_cohort, tmp_path / "run", settings=["network.channels=[8]"], start_from=finished_run)
    assert not (tmp_path / "run" / "run.json").exists()
    assert not (tmp_path / "run" / "started_from.safetensors").exists()


def test_a_run_is_not_continued_from_other_weights(finished_run: Path, other_cohort: Cohort, tmp_path: Path) -> None:
    run = train("ddpm", other_cohort, tmp_path / "run", budget=FEW, start_from=finished_run)
    with pytest.raises(RunError, match=r"was started from weights [0-9a-f]{16}; random weights are requested"):
        train("ddpm", other_cohort, run, settings=settings())


def test_a_damaged_copy_is_found(finished_run: Path, other_cohort: Cohort, tmp_path: Path) -> None:
    run = train("ddpm", other_cohort, tmp_path / "run", budget=FEW, start_from=finished_run)
    (run / "started_from.safetensors").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"started_from\.safetensors: is missing or damaged; restore it, or remove"):
        train("ddpm", other_cohort, run, budget=Budget(steps=4), start_from=finished_run)


def test_a_stage_that_is_left_out_keeps_its_weights(cohort: Cohort, other_cohort: Cohort, tmp_path: Path) -> None:
    first = train("pig", cohort, tmp_path / "first", settings=settings("pig"), budget=FEW)
    stages = [stage.name for stage in load_method(first).stages()]
    asked = Budget(steps=2, stage=stages[-1], checkpoint_seconds=0)
    second = train("pig", other_cohort, tmp_path / "second", budget=asked, start_from=first)
    before, after = load_method(first), load_method(second)
    for stage in before.stages():
        for part in stage.parts:
            pairs = zip(before.part(part).parameters(), after.part(part).parameters(), strict=True)
            same = all(torch.equal(one, other) for one, other in pairs)
            assert same == (stage.name != stages[-1])
    found = read_record(second).steps
    assert found[stages[0]] == read_record(first).steps[stages[0]]
    assert found[stages[-1]].done == 2
    assert f"- {stages[0]}: as in the weights that this run started from" in (second / "README.md").read_text()


def test_the_command_starts_from_a_run(
    finished_run: Path, other_cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shutil.copytree(finished_run, tmp_path / "source")
    command = ["train", "ddpm", str(other_cohort.root), "--run", str(tmp_path / "run"), "--from", str(source)]
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*command, "--max-steps", "2", "--json"])
    assert json.loads(capsys.readouterr().out)["usable"]
