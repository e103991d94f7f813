"""What stages learn from: each case read once, image-only cohorts, latents encoded once, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import micro
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.example_store import ExampleStore
from medsmith.data.scaling import image_to_model, model_to_image
from medsmith.errors import RunError, TrainingError
from medsmith.geometry import Geometry
from medsmith.measurement.noise_level import noise_levels
from medsmith.methods import method_class
from medsmith.methods.base import Stage
from medsmith.runs.checkpoints import load_method
from medsmith.runs.folder import clean
from medsmith.synthesis.checks.images import image_noise
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.checks.training import TrainingFacts
from medsmith.training import Budget, train
from medsmith.training.examples import _weights_key, is_checked
from run_state import reached, settings


class Backwards(frozenset[Any]):
    """A set that is iterated in the other order, as in a process with another hash seed."""

    def __iter__(self):
        return reversed([*super().__iter__()])


def cohort_of(folder, keep, count=4):
    """A cohort whose cases keep their image, their labels, or both."""
    cases = [micro.micro_case(index, 2, 1) for index in range(count)]
    names = cases[0].label_names if keep != "image" else {"background": 0}
    channels = cases[0].channel_names if keep != "labels" else ()
    cohort = Cohort.create(folder, channel_names=channels, label_names=names, file_ending=".png")
    for case in cases:
        if keep == "image":
            case = replace(case, labels=None, label_names=names)
        if keep == "labels":
            case = replace(case, image=None, channel_names=())
        cohort.write(case)
    cohort.finish()
    return Cohort.open(folder)


def test_each_case_is_read_once_by_a_new_run_and_never_by_one_that_goes_on(cohort, run, monkeypatch):
    seen, read = [], Cohort.read

    def watched(self, case_id, options=None):
        seen.append(case_id)
        return read(self, case_id, options)

    monkeypatch.setattr(Cohort, "read", watched)
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=2))
    assert sorted(seen) == list(cohort.ids)
    seen.clear()
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=3))
    assert seen == []


def test_ddpm_learns_from_images_alone_and_makes_images_alone(tmp_path):
    cohort = cohort_of(tmp_path / "c", "image")
    train("ddpm", cohort, tmp_path / "run", settings=settings(), budget=Budget(steps=3))
    method = load_method(tmp_path / "run")
    made = method.synthesize(method.Request(), 1, method.config.sampling)
    assert made.labels is None
    assert made.require_image().shape == (1, 8, 8, 1)
    assert np.isfinite(made.require_image()).all()


def test_a_run_keeps_the_largest_noise_of_its_images_on_its_grid(cohort, tmp_path):
    for name in ("ddpm", "lesiondiffusion"):
        assert is_checked(micro.build(name, 3 if name == "lesiondiffusion" else 2), "image_noise") == (name == "ddpm")
    train("ddpm", cohort, tmp_path / "run", settings=settings(), budget=Budget(steps=2))
    method = load_method(tmp_path / "run")
    images = [image_to_model(case, method.fingerprint, (8, 8)).numpy() for case in cohort]
    assert method.memory["noise_levels"].tolist() == [max(float(noise_levels(image)[0]) for image in images)]
    training = TrainingFacts.of(method.fingerprint, method.memory)
    for case in cohort:
        image = model_to_image(image_to_model(case, method.fingerprint, (8, 8)), method.fingerprint)
        on_grid = replace(case, image=image, labels=None, geometry=Geometry.plain((8, 8, 1)))
        assert image_noise(on_grid, training, Limits()).outcome == "passed"
    made = method.synthesize(method.Request(), 1, method.config.sampling)
    assert image_noise(made, training, Limits(noise=1e-3)).outcome == "failed"


def test_missing_labels_are_said_before_a_size_that_does_not_fit(tmp_path):
    """Volumes without labels, and a preset for slices."""
    geometry = Geometry((8, 8, 8), np.eye(4))
    scans = Cohort.create(tmp_path / "c", channel_names=("US",), label_names={"background": 0}, file_ending=".nii.gz")
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 8)).astype(np.float32)
    scans.write(Case("a", image, None, geometry, ("US",), {"background": 0}, np.dtype(np.float32)))
    scans.finish()
    with pytest.raises(TrainingError, match="no case has labels; the method learns from image and labels; add such"):
        train("pig", Cohort.open(scans.root), tmp_path / "run", settings=["size=[8,8]"])


@pytest.mark.parametrize("name", ["pig", "segguided"])
@pytest.mark.parametrize("keep", ["image", "labels"])
def test_a_cohort_that_lacks_what_every_stage_needs_is_refused_in_one_line(name, keep, tmp_path):
    cohort = cohort_of(tmp_path / "c", keep)
    with pytest.raises(TrainingError) as refusal:
        train(name, cohort, tmp_path / "run", settings=settings(name), budget=Budget(steps=1))
    missing = {"image": "labels", "labels": "image"}[keep]
    assert refusal.value.line == (
        f"{tmp_path / 'c'}: no case has {missing}; the method learns from image and labels; add such cases"
    )
    assert not (tmp_path / "run").exists()


def test_a_stage_that_no_case_can_teach_is_refused_in_one_line(tmp_path):
    """There are images and there are labels, but no case has both."""
    cases = [micro.micro_case(index, 2, 1) for index in range(4)]
    first = cases[0]
    cohort = Cohort.create(
        tmp_path / "c", channel_names=first.channel_names, label_names=first.label_names, file_ending=".png"
    )
    for index, case in enumerate(cases):
        cohort.write(replace(case, labels=None) if index % 2 else replace(case, image=None))
    cohort.finish()
    with pytest.raises(TrainingError) as refusal:
        train("pig", Cohort.open(tmp_path / "c"), tmp_path / "run", settings=settings("pig"), budget=Budget(steps=1))
    assert refusal.value.line == (
        "stage 'guider': none of 4 cases can be used; it learns from cases with image and labels; add such cases"
    )


def test_cases_of_other_kinds_are_left_aside(tmp_path):
    cases = [micro.micro_case(index, 2, 1) for index in range(5)]
    cases[2], cases[3] = replace(cases[2], labels=None), replace(cases[3], image=None)
    first = cases[0]
    cohort = Cohort.create(
        tmp_path / "c", channel_names=first.channel_names, label_names=first.label_names, file_ending=".png"
    )
    for case in cases:
        cohort.write(case)
    cohort.finish()
    train("pig", Cohort.open(tmp_path / "c"), tmp_path / "run", settings=settings("pig"), budget=Budget(steps=2))
    (index,) = (tmp_path / "run").glob("examples/prepared-*/index.jsonl")
    store = ExampleStore(index.parent)
    assert [sorted(entry.kinds) for entry in store.entries] == [
        ["image", "labels"], ["image", "labels"], ["image"], ["labels"], ["image", "labels"],
    ]  # fmt: skip
    assert [set(entry.tensors) for entry in store.entries][2:4] == [{"thumbnail"}, set()]
    assert reached(tmp_path / "run") == {"guider": 2, "image": 2}


def test_clean_removes_the_examples_and_nothing_else(cohort, run):
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=1))
    before = {path for path in run.iterdir() if path.name != "examples"}
    assert clean(run) > 0
    assert set(run.iterdir()) == before
    assert clean(run) == 0


def test_clean_refuses_what_is_no_run(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "examples").mkdir()
    with pytest.raises(RunError, match=r"no run\.json in it; name the folder of a run"):
        clean(tmp_path / "mine")
    assert (tmp_path / "mine" / "examples").is_dir()
    with pytest.raises(RunError, match="missing: does not exist; name the folder of a run"):
        clean(tmp_path / "missing")


def test_minutes_are_shared_out_by_expected_seconds():
    budget = Budget(minutes=10)
    assert budget.seconds_for([300.0, 100.0], 0.0) == pytest.approx(450)
    assert budget.seconds_for([100.0], 450.0) == pytest.approx(150)
    assert budget.seconds_for([100.0], 700.0) == 0
    assert Budget(minutes=10, stage="b").seconds_for([300.0, 100.0], 60.0) == pytest.approx(540)
    assert Budget().seconds_for([1.0, 2.0], 5.0) == float("inf")


def test_no_seconds_left_end_a_stage_at_once():
    assert Budget(minutes=1).share_spent(0, 0.0, 100, 0.0) == 1.0
    assert Budget(steps=10).share_spent(5, 3.0, 100, float("inf")) == pytest.approx(0.5)


def test_a_method_with_dear_steps_gets_more_of_the_minutes(cohort, run):
    """The image network of this pig is trained twice as long as the guider: need decides, not the number of stages."""
    from medsmith.networks.precision import Compute
    from medsmith.runs.checkpoints import read_record
    from medsmith.training.all_stages import _expected_seconds

    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=1))
    method, record = load_method(run), read_record(run)
    slow = Compute(steps_per_second={"float32": 2.0})
    fast = Compute(steps_per_second={"float32": 8.0})
    known = record.model_copy(update={"compute": {"guider": fast, "image": slow}})
    stages: tuple[Stage, ...] = method.stages()
    assert _expected_seconds(known, method, stages, Budget(steps=80)) == [10.0, 40.0]
    unknown = record.model_copy(update={"compute": {"guider": fast, "image": Compute()}})
    assert _expected_seconds(unknown, method, stages, Budget(steps=80)) == [80.0, 80.0]
    assert method_class("pig") is type(method)


def test_the_name_of_encoded_examples_is_that_of_every_process():
    """Ranks and resumed runs must agree on it, whatever the order of a set is in them."""
    method = load_method("pig")
    stage = Stage(name="stage", parts=("part",), encoded=True)
    other = replace(stage, inputs=Backwards(stage.inputs))
    assert [*stage.inputs] != [*other.inputs]
    assert _weights_key(method, stage, ["case"]) == _weights_key(method, other, ["case"])
    assert _weights_key(method, stage, ["case"]) != _weights_key(method, replace(stage, inputs=Backwards()), ["case"])
