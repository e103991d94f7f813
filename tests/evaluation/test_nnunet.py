import ast
import json
import sys
import types
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from box_cohorts import make_cohort
from fake_nnunet import fake_environment
from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.errors import CohortError, RequestError, RunError
from medsmith.evaluation.downstream.result import GAIN, WITHHELD
from medsmith.evaluation.nnunet import NnunetOptions, nnunet_utility, summary_lines
from medsmith.evaluation.nnunet.datasets import common_ending
from medsmith.evaluation.nnunet.following import Follower
from medsmith.evaluation.nnunet.splits import folds_of, repetitions, splits_of, synthetic_share
from medsmith.nnunet_environment import environment, trainer

QUICK = {"epochs": 3, "iterations": 2, "workers": 1}


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohorts")
    return (
        make_cohort(root / "real", 6, 0),
        make_cohort(root / "synthetic", 12, 1, synthetic=True),
        make_cohort(root / "test", 5, 2),
    )


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """The folder of an environment that the experiment uses."""
    folder = fake_environment(tmp_path / "environment")
    monkeypatch.setenv(environment.VARIABLE, str(folder))
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    return folder


def of_all(cohorts, out, **options):
    real, synthetic, test = cohorts
    return nnunet_utility(real, synthetic, test, out, options=NnunetOptions(**{**QUICK, **options}))


def calls(fake):
    return [json.loads(line) for line in (fake / "calls.txt").read_text().splitlines()]


def test_arms_share_plans_and_are_measured_on_the_test_cases(cohorts, fake, tmp_path):
    out = tmp_path / "out"
    found = of_all(cohorts, out, folds=(0, 1), alone=True)
    assert [result.arm.name for result in found.arms] == ["R", "R + S", "S"]
    real, mixed, _ = found.arms
    assert mixed.dice.value.value == pytest.approx(1)
    assert mixed.dice.gain.value == pytest.approx(1 - real.dice.value.value)
    assert real.dice.value.value < 0.9
    assert mixed.verdict == WITHHELD
    assert found.validation == {"R": (0.5, 0.5), "R + S": (0.55, pytest.approx(0.55)), "S": (0.6, 0.6)}
    programs = [call[0].removeprefix("nnUNetv2_") for call in calls(fake)]
    assert programs == ["plan_and_preprocess", "preprocess", "preprocess", *["train"] * 6, *["predict"] * 6]
    plans = [json.loads(path.read_text()) for path in sorted((out / "nnUNet_preprocessed").glob("*/nnUNetPlans.json"))]
    assert [each.pop("dataset_name") for each in plans] == [
        "Dataset001_real",
        "Dataset002_real_and_synthetic",
        "Dataset003_synthetic",
    ]
    assert plans[0] == plans[1] == plans[2]
    assert all(case.startswith("real-") for case in plans[0]["cases"])
    written = json.loads((out / "nnunet.json").read_text())
    assert written["synthetic_share"] == {"R + S": list(found.shares["R + S"]), "S": [1.0, 1.0]}
    assert written["test_patients"] == 5
    page = (out / "nnunet.html").read_text()
    assert "not for diagnosis" in page
    assert "optimistic where the generator saw" in page
    declared = json.loads((out / "nnUNet_raw" / "Dataset002_real_and_synthetic" / "dataset.json").read_text())
    assert declared["description"].endswith("not for diagnosis.")


def test_a_long_course_has_a_verdict(cohorts, fake, tmp_path):
    found = of_all(cohorts, tmp_path / "out", epochs=100, iterations=250, folds=(0, 1))
    assert found.arms[1].verdict == GAIN
    assert summary_lines(found)[-1].endswith("for 100 epochs of 250 iterations, 10 % of nnU-Net's own 1000 of 250.")
    assert fake.exists()


@pytest.mark.usefixtures("fake")
def test_a_single_fold_has_no_verdict(cohorts, tmp_path):
    found = of_all(cohorts, tmp_path / "out", epochs=100, iterations=250)
    assert found.arms[1].verdict == WITHHELD
    assert "One network of each arm decides nothing: give --fold several times." in summary_lines(found)


def test_a_failed_training_is_one_line_and_continues_at_its_checkpoint(cohorts, fake, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["nnunet", *(str(cohort.root) for cohort in cohorts[:2]), "--test", str(cohorts[2].root), "--out", str(out)]
    words += ["--epochs", "3", "--iterations", "2", "--workers", "1"]
    (fake / "fail_nnUNetv2_train").write_text("RuntimeError: CUDA out of memory")
    assert main(words) == 2
    log = out / "logs" / "train-real-0.log"
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"nnUNetv2_train: ended with code 1 (train-real-0); its last line: RuntimeError: CUDA out of memory; see {log}"
    )
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["epochs"] == 3
    told = log.read_text()
    assert [told.count(f"Epoch {number} ") for number in range(3)] == [1, 1, 1]
    assert [call[0] for call in calls(fake)].count("nnUNetv2_plan_and_preprocess") == 1
    before = (out / "nnunet.json").read_bytes()
    of_all(cohorts, out)
    assert (out / "nnunet.json").read_bytes() == before
    assert len(calls(fake)) == 7


class Counting:
    """Notes what each task of a progress reaches: name -> (steps at its start, at its end, in all)."""

    def __init__(self):
        self.tasks = {}

    @contextmanager
    def task(self, name, total, done=0, limit=None):  # noqa: ARG002
        steps = []
        yield lambda count, _note: steps.append(count)
        assert min(steps, default=0) >= 0
        self.tasks[name] = (done, done + sum(steps), total)


def test_folds_may_be_added_with_their_progress_and_other_settings_are_refused(cohorts, fake, tmp_path):
    real, synthetic, test = cohorts
    for folds, done in (((0,), 0), ((0, 2), 1)):
        shown, options = Counting(), NnunetOptions.model_validate({**QUICK, "folds": folds})
        nnunet_utility(real, synthetic, test, tmp_path / "out", options=options, progress=shown)
        networks = 2 * len(folds)
        assert shown.tasks["train nnU-Net"] == (2 * 3 * done, 3 * networks, 3 * networks)
        assert shown.tasks["predict and measure"] == (2 * 5 * done, 5 * networks, 5 * networks)
    assert len(calls(fake)) == 2 + 2 * 2 * 2
    with pytest.raises(RunError, match=r"other settings \(options\)"):
        of_all(cohorts, tmp_path / "out", epochs=4)


def test_the_devices_that_computed_the_results_are_named(cohorts, fake, tmp_path):
    out = tmp_path / "out"
    assert of_all(cohorts, out, device="cpu").facts["device"] == "cpu"
    found = of_all(cohorts, out, device="cuda", folds=(0, 1))
    assert found.facts["device"] == "cpu (2 networks), cuda (2 networks)"
    assert of_all(cohorts, out, device="cuda").facts["device"] == "cpu"
    (out / "steps" / "predict-real-0.json").unlink()
    (out / "networks" / "all-0" / "real-0.json").unlink()
    found = of_all(cohorts, out, device="cuda")
    assert found.facts["device"] == "cpu (1 network), cpu, predictions on cuda (1 network)"
    assert fake.exists()


def test_lines_of_programs_are_followed():
    seen = []
    follower = Follower(lambda count, note: seen.append((count, note)), 5, "R")
    for line in ("2026-11-30 00:00:00.1: Epoch 2 ", "Epoch time: 3 s", "Current Epoch 4 of", "Epoch 3"):
        follower.trained(line)
    follower.end()
    assert seen == [(2, "R"), (1, "R"), (2, "R")]


def test_a_broken_prediction_is_made_anew(cohorts, fake, tmp_path):
    (fake / "fail_nnUNetv2_predict").write_text("OSError: disk")
    with pytest.raises(RunError, match=r"nnUNetv2_predict: ended with code 1 \(predict-real-0\); its last line: OSErr"):
        of_all(cohorts, tmp_path / "out")
    torn = tmp_path / "out" / "predictions" / "real-0" / "case-000.png"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"half")
    assert of_all(cohorts, tmp_path / "out").patients == 5


@pytest.mark.parametrize(("program", "missing"), [("train", "checkpoint_final.pth"), ("predict", "case-000.png")])
def test_a_step_is_not_done_before_its_files_are_there(cohorts, fake, tmp_path, program, missing):
    (fake / f"fail_nnUNetv2_{program}").write_text("")
    with pytest.raises(RunError, match=rf"{missing}: was not written by nnU-Net \({program}-real-0\); see "):
        of_all(cohorts, tmp_path / "out")
    assert of_all(cohorts, tmp_path / "out").patients == 5


def test_test_cases_are_kept_apart_as_in_utility(cohorts, fake, tmp_path):
    real, synthetic, test = cohorts
    leaky = make_cohort(tmp_path / "leaky", 5, 5, copies=[test[test.ids[3]]])
    with pytest.raises(CohortError, match=r"1 test image is among the real ones \(case-003 is copy-000\)"):
        of_all((leaky, synthetic, test), tmp_path / "out")
    with pytest.raises(CohortError, match=r"5 patients have training cases as well \(000\)"):
        of_all(cohorts, tmp_path / "out", group=r"case-(\d+)")
    with pytest.raises(CohortError, match="generator's ones"):
        nnunet_utility(
            real, synthetic, test, tmp_path / "out", training=leaky, options=NnunetOptions.model_validate(QUICK)
        )
    with pytest.raises(CohortError, match="nothing is written into what is read"):
        of_all(cohorts, real.root / "out")
    assert not (tmp_path / "out").exists()
    assert not (fake / "calls.txt").exists()


def test_other_names_in_the_cohorts_are_other_settings(fake, tmp_path):
    of_cohorts = tuple(make_cohort(tmp_path / str(seed), 5 + seed % 2, seed, synthetic=seed == 1) for seed in range(3))
    of_all(of_cohorts, tmp_path / "out")
    for cohort in of_cohorts:
        path = cohort.root / "dataset.json"
        path.write_text(path.read_text().replace('"mass"', '"cyst"'))
    renamed = tuple(Cohort.open(cohort.root) for cohort in of_cohorts)
    with pytest.raises(RunError, match=r"other settings \(labels and channels\)"):
        of_all(renamed, tmp_path / "out")
    assert fake.exists()


def test_a_damaged_result_is_measured_anew(cohorts, fake, tmp_path, caplog):
    out = tmp_path / "out"
    of_all(cohorts, out)
    path, done = out / "networks" / "all-0" / "real-0.json", len(calls(fake))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"dice": [', b'"dice": [\n1', 1))
    of_all(cohorts, out)
    assert path.read_bytes() == whole
    assert caplog.messages == [f"{path}: is damaged, or not what this version writes, and is made anew"]
    assert len(calls(fake)) == done  # it is measured on the predictions that are there


def test_what_nnunet_cannot_do_is_refused(cohorts, fake, tmp_path):
    with pytest.raises(
        RequestError, match="no plans for 3d_fullres; it has 2d; choose one of these, and another folder"
    ):
        of_all(cohorts, tmp_path / "flat", configuration="3d_fullres")
    few = make_cohort(tmp_path / "few", 4, 8)
    with pytest.raises(RequestError, match="4 real patients or scenes; nnU-Net's cross-validation has 5"):
        of_all((few, *cohorts[1:]), tmp_path / "out")
    (fake / "bin" / "nnUNetv2_train").unlink()
    with pytest.raises(RequestError, match="medsmith doctor --install-nnunet"):
        of_all(cohorts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_volumes_are_written_as_volumes_and_do_not_mix_with_pictures(cohorts, fake, tmp_path):
    kinds = {"shape": (16, 16, 12), "label": "lesion"}
    real, synthetic, test = (make_cohort(tmp_path / str(seed), 5, seed, **kinds) for seed in range(3))
    assert of_all((real, synthetic, test), tmp_path / "out", scenes="ignored").unit == "mm"
    assert (tmp_path / "out" / "test" / "imagesTr" / "case-000_0000.nii.gz").exists()
    with pytest.raises(CohortError, match="pictures and volumes do not mix"):
        common_ending([real, cohorts[0]])
    assert fake.exists()


@pytest.mark.parametrize("change", [{"folds": (5,)}, {"folds": ()}, {"epochs": 0}, {"share": 1.0}, {"workers": 0}])
def test_options_out_of_range_are_refused(change):
    with pytest.raises(ValidationError):
        NnunetOptions(**change)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_nnunet_computes_where_everything_else_does(device, monkeypatch):
    monkeypatch.setattr("medsmith.machine.torch_without_gpu", lambda: False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: device == "cuda")
    assert NnunetOptions().device == device
    assert NnunetOptions(device="cpu").device == "cpu"


@given(st.lists(st.integers(1, 4), min_size=5, max_size=30), st.integers(0, 3))
def test_folds_hold_whole_groups_and_each_case_once(sizes, seed):
    groups = [[f"{group}-{number}" for number in range(size)] for group, size in enumerate(sizes)]
    folds = folds_of(groups, seed)
    assert sorted(chain(*folds)) == sorted(chain(*groups))
    assert all(folds)
    of = {case_id: number for number, fold in enumerate(folds) for case_id in fold}
    assert all(len({of[case_id] for case_id in group}) == 1 for group in groups)
    assert max(map(len, folds)) - min(map(len, folds)) <= max(sizes)


@given(st.integers(1, 2000), st.integers(1, 2000), st.floats(0.2, 0.8))
def test_repetition_gives_the_share(real, synthetic, share):
    of_real, of_synthetic = repetitions(real, synthetic, share)
    found = synthetic * of_synthetic / (real * of_real + synthetic * of_synthetic)
    if (
        1 / 80 < synthetic * (1 - share) / (real * share) < 80
    ):  # how often real cases must stand there for a synthetic one
        assert found == pytest.approx(share, abs=0.02)
    assert min(of_real, of_synthetic) >= 1
    assert max(of_real, of_synthetic) <= 100


def test_repetition_is_as_short_as_it_can_be():
    assert repetitions(24, 24, 0.5) == (1, 1)
    assert repetitions(20, 500, 0.5) == (25, 1)
    assert repetitions(24, 12, 0.25) == (3, 2)


def test_synthetic_cases_are_never_validated():
    folds = [["real-a"], ["real-b"], ["real-c", "real-d"]]
    synthetic = ["synthetic-x", "synthetic-y", "synthetic-z"]
    for share in (0.0, 0.5, 1.0):
        splits = splits_of(folds, synthetic, share)
        assert [split["val"] for split in splits] == folds
        assert not any(set(split["train"]) & set(split["val"]) for split in splits)
        assert [synthetic_share(split) for split in splits] == pytest.approx([share] * 3, abs=0.005)


class OfNnunet:
    """What the trainer builds on."""

    def __init__(self, *_):
        self.num_epochs, self.num_iterations_per_epoch, self.save_every = 1000, 250, 50
        self.num_val_iterations_per_epoch = 50

    def initialize(self):
        self.weight = torch.rand(1)

    def save_checkpoint(self, filename):
        Path(filename).write_text("weights")


def test_the_trainer_takes_its_course_from_the_variable_and_replaces_checkpoints_whole(tmp_path, monkeypatch):
    names = (
        "nnunetv2",
        "nnunetv2.training",
        "nnunetv2.training.nnUNetTrainer",
        "nnunetv2.training.nnUNetTrainer.nnUNetTrainer",
    )
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    vars(sys.modules[names[-1]])["nnUNetTrainer"] = OfNnunet
    ast.parse(trainer.SOURCE)
    module: dict[str, Any] = {}
    exec(compile(trainer.SOURCE, trainer.FILE, "exec"), module)
    made = module[trainer.NAME]({}, "2d", 0, {})
    assert (made.num_epochs, made.num_iterations_per_epoch, made.save_every) == (1000, 250, 50)
    monkeypatch.setenv(trainer.VARIABLE, json.dumps({"epochs": 40, "iterations": 10, "seed": 3}))
    one, other = (module[trainer.NAME]({}, "2d", 0, {}) for _ in range(2))
    for each in (one, other):
        each.initialize()
    assert one.weight == other.weight
    assert (one.num_epochs, one.num_iterations_per_epoch, one.num_val_iterations_per_epoch, one.save_every) == (
        40,
        10,
        2,
        2,
    )
    one.save_checkpoint(str(tmp_path / "checkpoint_final.pth"))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_final.pth"]


@pytest.mark.slow
def test_the_real_nnunet_trains_predicts_and_is_measured(tmp_path):
    found = environment.nnunet_environment()
    if not found.whole:
        pytest.skip(f"nnU-Net is not installed ({environment.INSTALL})")
    kinds = {"shape": (64, 64, 1)}
    cohorts = [make_cohort(tmp_path / str(seed), count, seed, **kinds) for seed, count in enumerate((6, 6, 3))]
    result = of_all(cohorts, tmp_path / "out", epochs=2, iterations=2, workers=1, scenes="ignored")
    assert result.patients == 3
    assert all(0 <= arm.dice.value.value <= 1 for arm in result.arms)
    assert all(found is not None for of_arm in result.validation.values() for found in of_arm)
    weights = [path.stat().st_size for path in (tmp_path / "out").rglob("checkpoint_final.pth")]
    assert len(weights) == 2
