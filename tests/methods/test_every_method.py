"""What every method must keep, whoever writes it. A file in ``methods/`` is found and tested without being named here.

A method is trained by ``train`` on cohorts of four small cases, in 2-D and 3-D, with one and two label classes, under
its tiny preset made small by ``micro.py``. The fast tests take two of the four kinds of cohort: each dimension and each
number of classes once.
"""

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel

import medsmith.training.budget
import medsmith.training.previews
import medsmith.training.stage_loop
import micro
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.diffusion import Sampling
from medsmith.errors import RunError
from medsmith.methods import method_class, method_names
from medsmith.methods.base import Method
from medsmith.methods.config import apply_settings, validated
from medsmith.networks import NetworkConfig
from medsmith.runs.checkpoints import SHIPPED, load_method, load_strict, pack, read_record, save_weights, unpack
from medsmith.training import Budget, train

NAMES = method_names()
STEPS = 3


@dataclass
class Moved:
    """All weights of a method before and after one stage of its training."""

    stage: str
    before: dict[str, torch.Tensor]
    after: dict[str, torch.Tensor]


@dataclass
class Trained:
    name: str
    run: Path
    cohort: Any
    stages: list[Moved]
    method: Method
    cases: dict[int, Case] = field(default_factory=dict)

    def case(self, seed):
        """The case of a seed, made once."""
        if seed not in self.cases:
            self.cases[seed] = case_of(self.method, seed)
        return self.cases[seed]


def case_of(method, seed):
    request = method.Request.model_validate(micro.REQUESTS.get(method.name, {}))
    return method.synthesize(request, seed, method.config.sampling)


def weights(method):
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}


KINDS = [(2, 2), (3, 1), *(pytest.param(kind, marks=pytest.mark.slow) for kind in ((2, 1), (3, 2)))]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}d-{kind[1]}label")
def cohort(request, tmp_path_factory):
    return micro.micro_cohort(tmp_path_factory.mktemp("cohort") / "c", *request.param)


@pytest.fixture(scope="module", params=NAMES)
def trained(request, cohort, tmp_path_factory):
    """A method trained through all its stages, each watched from outside."""
    name, kind = request.param, method_class(request.param)
    dimensions = cohort[cohort.ids[0]].geometry.dimensions
    if dimensions not in kind.dimensions:
        pytest.skip(f"{name} has no images of {dimensions} dimensions")
    stages = []
    train_stage = medsmith.training.stage_loop.StageLoop.train

    def watched(loop, *arguments):
        before = weights(loop.method)
        train_stage(loop, *arguments)
        stages.append(Moved(loop.stage.name, before, weights(loop.method)))

    run = tmp_path_factory.mktemp("run") / name
    settings = micro.micro_settings(name, kind, dimensions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(medsmith.training.stage_loop.StageLoop, "train", watched)
        patch.setattr(medsmith.training.budget, "PREVIEWS", 1)
        patch.setattr(medsmith.training.previews, "COUNT", 1)
        train(name, cohort, run, settings=settings, seed=5, budget=Budget(steps=STEPS))
    return Trained(name, run, cohort, stages, load_method(run))


def parts_of(method):
    return {stage.name: stage.parts for stage in method.stages()}


def of_parts(tensors, parts):
    return {key for key in tensors if any(key.startswith(part + ".") for part in parts)}


def test_each_stage_moves_its_own_weights_and_no_other(trained):
    assert [moved.stage for moved in trained.stages] == [stage.name for stage in trained.method.stages() if stage.parts]
    parameters = {name for name, _ in trained.method.named_parameters()}
    for moved in trained.stages:
        own = of_parts(moved.after, parts_of(trained.method)[moved.stage])
        for key in moved.after.keys() - own:
            assert torch.equal(moved.after[key], moved.before[key]), f"{moved.stage} moved {key}"
        still = {key for key in own & parameters if torch.equal(moved.after[key], moved.before[key])}
        assert len(still) <= len(own & parameters) / 20, f"{moved.stage} left still {sorted(still)}"


def test_every_weight_is_trained_by_one_stage(trained):
    parts = [part for stage in trained.method.stages() for part in stage.parts]
    trainable = {name for name, _ in trained.method.named_parameters()}
    assert len(parts) == len(set(parts))
    assert bool(parts) == bool(trainable)
    assert of_parts(trainable, parts) == trainable


def test_losses_are_finite_and_written_down(trained):
    if not any(True for _ in trained.method.parameters()):
        pytest.skip("nothing is trained")
    lines = [json.loads(line) for line in (trained.run / "metrics.jsonl").read_text().splitlines()]
    for stage, parts in parts_of(trained.method).items():
        (entry,) = (line for line in lines if line["stage"] == stage)
        assert entry["step"] == STEPS
        assert all(0 < entry[part] < np.inf for part in parts)


def test_the_seed_alone_decides_the_case(trained):
    first = trained.case(1)
    other = trained.case(2)
    torch.rand(7)
    again = case_of(load_method(trained.run), 1)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)  # both None where there are none
    assert not np.array_equal(first.image, other.image)


def test_a_case_is_of_the_cohorts_kind(trained):
    real = trained.cohort[trained.cohort.ids[0]]
    network = (micro.EDGE,) * real.geometry.dimensions + (1,) * (3 - real.geometry.dimensions)
    for seed in (1, 2):
        case = trained.case(seed)
        grid = case.geometry.shape
        assert grid in (network, real.geometry.shape)
        assert case.image.dtype == np.float32
        assert case.image.shape == (len(real.channel_names), *grid)
        assert np.isfinite(case.image).all()
        made = trained.method.output_fingerprint(trained.method.Request())
        assert (case.labels is None) == (not made.foreground_labels)  # a method of images alone brings none by itself
        if case.labels is not None:
            assert case.labels.dtype == np.uint8
            assert case.labels.shape == grid
            assert set(np.unique(case.labels)) <= set(real.label_names.values())
        assert (case.channel_names, dict(case.label_names)) == (made.channel_names, dict(made.label_names))
        assert case.stored == real.stored
        assert np.array_equal(case.image, np.rint(case.image))
        assert case.geometry.spacing_known == real.geometry.spacing_known
        reach = np.array(case.geometry.shape) * case.geometry.spacing
        if case.geometry.spacing_known and trained.method.checks is None:
            assert np.allclose(reach, np.array(real.geometry.shape) * real.geometry.spacing)


def test_the_case_fits_into_a_cohort_of_its_kind(trained, tmp_path):
    kind = trained.method.output_fingerprint(trained.method.Request())
    out = Cohort.create(
        tmp_path / "out", channel_names=kind.channel_names, label_names=kind.label_names, file_ending=kind.file_ending
    )
    out.write(replace(trained.case(1), id="made_1"))
    out.finish()
    written, made = Cohort.open(tmp_path / "out")["made_1"].labels, trained.case(1).labels
    assert (written is None) == (made is None)
    assert made is None or (written is not None and np.array_equal(written, made))


def test_weights_and_memory_come_back_from_disk(trained, tmp_path):
    save_weights(tmp_path, trained.method, read_record(trained.run))
    back = load_method(tmp_path)
    assert back.state_dict().keys() == trained.method.state_dict().keys()
    assert all(torch.equal(tensor, back.state_dict()[key]) for key, tensor in trained.method.state_dict().items())
    assert back.memory.keys() == trained.method.memory.keys()
    assert all(torch.equal(tensor, back.memory[key]) for key, tensor in trained.method.memory.items())
    assert (back.weights_hash, back.name) == (trained.method.weights_hash, trained.name)
    assert np.array_equal(back_image := case_of(back, 1).image, trained.case(1).image)
    assert back_image.any()


def test_a_loaded_method_is_ready_to_synthesize(trained):
    assert not trained.method.training
    assert not any(weight.requires_grad for weight in trained.method.parameters())
    assert trained.method.name == trained.name
    copies = {"thumbnails", "copy_threshold", "copy_measure"}
    kept = trained.method.checks is None or "not_a_copy" in trained.method.checks
    assert (copies if kept else set()) == copies & trained.method.memory.keys()


def test_weights_of_another_architecture_are_refused_by_the_first_keys(trained, tmp_path):
    record = read_record(trained.run)
    kind = method_class(trained.name)
    if not _widened(kind):
        pytest.skip("it has no network")
    wider = apply_settings(validated(kind.Config, "config", record.config), _widened(kind)).model_dump(mode="json")
    save_weights(tmp_path, trained.method, record.model_copy(update={"config": wider}))
    with pytest.raises(RunError, match="made for another architecture") as refusal:
        load_method(tmp_path)
    assert "\n" not in refusal.value.line


def _widened(kind):
    return [f"{name}.channels=[16,16]" for name in _networks(kind.presets["tiny"])]


def _networks(config, prefix=""):
    for name in type(config).model_fields:
        section = getattr(config, name)
        if isinstance(section, NetworkConfig):
            yield prefix + name
        elif isinstance(section, BaseModel):
            yield from _networks(section, f"{prefix}{name}.")


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda tensor: tensor.double(), r"is \(.*\) float64, needed \(.*\) float32; made for another architecture"),
        (lambda tensor: tensor[None], r"is \(1, .*\) float32, needed \(.*\) float32; made for another architecture"),
        (lambda tensor: tensor * torch.nan, r"has numbers that are not finite"),
    ],
)
def test_weights_of_another_form_are_refused_by_the_first_that_differs(harm, line, trained, tmp_path):
    tensors = trained.method.state_dict()
    if not tensors:
        pytest.skip("it has no weights")
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    (tmp_path / "weights.safetensors").write_bytes(pack({**tensors, name: harm(tensors[name])}))
    with pytest.raises(RunError, match=rf"weights.safetensors: {re.escape(name)} {line}"):
        load_strict(trained.method, unpack(tmp_path / "weights.safetensors"), tmp_path / "weights.safetensors")


SHIPPED_NAMES = sorted(path.parent.name for path in SHIPPED.glob("*/run.json"))


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_shipped_weights_open_and_make_a_case(name):
    method = load_method(name)
    facts = method.fingerprint
    case = method.synthesize(method.Request(), 1, Sampling(solver="ddim", steps=1))
    channels, *grid = case.require_image().shape
    assert channels == len(facts.channel_names)
    # The grid of the networks, or that of the cases where it is another.
    assert tuple(grid) in ((*method.config.size, *[1] * (3 - facts.dimensions)), facts.shape)
    assert "not for diagnosis" in (SHIPPED / name / "README.md").read_text()


def test_a_run_that_is_not_there_is_refused_with_the_shipped_ones(tmp_path):
    with pytest.raises(RunError) as refusal:
        load_method(tmp_path / "none")
    shipped = ", ".join(SHIPPED_NAMES) or "none"
    assert refusal.value.line == f"{tmp_path}/none: no folder of this name; shipped weights: {shipped}; train one first"
