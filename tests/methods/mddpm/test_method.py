"""Learned variance in the method, its range of gray values, and its memory."""

import numpy as np
import pytest
import torch

import micro
from medsmith.cases.cohort import Cohort
from medsmith.diffusion import Sampling
from medsmith.errors import RequestError
from medsmith.methods import method_class
from medsmith.methods.config import apply_settings
from medsmith.methods.mddpm import full_width
from medsmith.methods.mddpm.config import PRESETS
from medsmith.runs.checkpoints import load_method
from medsmith.training import Budget, train

LEARNED = ("bound_weight=0.001", "diffusion.prediction=noise", "diffusion.min_snr=null")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A run with a learned variance, of a few steps."""
    folder = tmp_path_factory.mktemp("learned")
    cohort = micro.micro_cohort(folder / "cohort")
    settings = [*micro.micro_settings("mddpm", method_class("mddpm"), 2), *LEARNED]
    train("mddpm", cohort, folder / "run", settings=settings, budget=Budget(steps=6))
    return load_method(folder / "run"), Cohort.open(folder / "cohort")


def test_the_variance_is_trained_and_moves_the_ancestral_samples_alone(learned):
    method, _ = learned
    assert method.network.network.out[-1].conv.out_channels == 2 * 4  # noise and variance, folded by 2 x 2
    plain = method_class("mddpm")(method.config.model_copy(update={"bound_weight": None}), method.fingerprint).eval()
    weights = method.state_dict()
    plain.load_state_dict({name: _half(tensor, weights, name) for name, tensor in plain.state_dict().items()})
    plain.memory = method.memory

    def are_equal(solver):
        sampling = Sampling(solver=solver, steps=6)
        one, two = (each.synthesize(method.Request(), 3, sampling).require_image() for each in (method, plain))
        return np.array_equal(one, two)

    found = {solver: are_equal(solver) for solver in ("ddpm", "ddim", "dpm++2m")}
    assert found == {"ddpm": False, "ddim": True, "dpm++2m": True}


def _half(tensor, weights, name):
    """The weights of the network without its variance: the first half of the outputs, in the order of the folding."""
    stored = weights[name]
    return stored if stored.shape == tensor.shape else stored[: len(tensor)]


def test_memory_has_the_quantiles_of_the_training_images(learned):
    method, cohort = learned
    images = torch.cat([method.prepare(case)["image"].flatten() for case in cohort])
    quantiles = method.memory["quantiles"][0]
    assert len(quantiles) == 257
    assert quantiles[128] == pytest.approx(float(images.median()), abs=0.02)
    assert (quantiles[0], quantiles[-1]) == (images.min(), images.max())
    assert (quantiles.diff() >= 0).all()


def test_hounsfield_units_have_one_fixed_range_and_pictures_their_own():
    facts = micro.fingerprint()
    assert full_width(facts, (-1000.0, 1000.0)) == facts
    scan = facts.model_copy(update={"stored": "int16", "full_range": ((-1024.0, 3071.0),)})
    assert full_width(scan, (-1000.0, 1000.0)).robust_range == ((-1000.0, 1000.0),)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (["bound_weight=0.001", "diffusion.schedule=rectified_flow"], "bound_weight: rectified flow is deterministic"),
        (["hounsfield_range=[400,-400]"], "hounsfield_range = [400.0, -400.0]: the first is the lower one"),
        (["bound_weight=0"], "bound_weight = 0; must be greater than 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, line):
    with pytest.raises(RequestError) as refusal:
        apply_settings(PRESETS["tiny"], setting)
    assert line in refusal.value.line


def test_the_paper_learns_its_variance_and_no_preset_mirrors():
    assert PRESETS["paper"].bound_weight == 0.001
    assert PRESETS["paper"].size == (512, 512)
    assert all(preset.training.flips == () for preset in PRESETS.values())
