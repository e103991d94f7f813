"""Runs of every method: trained, killed, resumed, sampled, regenerated.

The shipped methods and a toy method (``toy_methods``): a latent pair method of five stages with a ControlNet.
"""

import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

import medsmith.methods
import micro
import toy_method_loader
from medsmith.cases.cohort import Cohort
from medsmith.data.example_store import ExampleStore
from medsmith.data.scaling import image_to_model
from medsmith.diffusion import LowPassGuide, match_low_frequencies
from medsmith.diffusion.low_pass import low_pass
from medsmith.methods import method_class, method_names
from medsmith.runs.checkpoints import load_method
from medsmith.runs.folder import clean
from medsmith.synthesis import SynthesisOptions, regenerate, synthesize
from run_state import state, strays
from synthesis_fakes import NOISE_PASSES, InProcessExecutor

NAMES = (*method_names(), *toy_method_loader.TOY_METHODS)
STEPS = 3


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    monkeypatch.setattr(medsmith.methods, "__path__", [*medsmith.methods.__path__, toy_method_loader.FOLDER])


def mixed_cohort(folder, dimensions):
    """Six cases: three whole, two images without labels, one label map without an image."""
    cases = [micro.micro_case(index, dimensions, 2) for index in range(6)]
    for index in (1, 4):
        cases[index] = replace(cases[index], labels=None)
    cases[2] = replace(cases[2], image=None)
    first, ending = cases[0], ".png" if dimensions == 2 else ".nii.gz"
    cohort = Cohort.create(folder, channel_names=first.channel_names, label_names=first.label_names, file_ending=ending)
    for case in cases:
        cohort.write(case)
    cohort.finish()
    return folder


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohorts")
    return {dimensions: mixed_cohort(folder / str(dimensions), dimensions) for dimensions in (2, 3)}


def job_of(name):
    settings = (
        []
        if name in toy_method_loader.TOY_METHODS
        else micro.micro_settings(name, method_class(name), dimensions(name))
    )
    return {"method": name, "settings": [*settings], "budget": {"steps": STEPS, "checkpoint_seconds": 0.0}}


def dimensions(name):
    return method_class(name).dimensions[0]


@pytest.fixture(scope="module", params=NAMES)
def uninterrupted(request, server, cohorts, tmp_path_factory):
    """A run without interruption."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(medsmith.methods, "__path__", [*medsmith.methods.__path__, toy_method_loader.FOLDER])
        name, run = request.param, tmp_path_factory.mktemp("uninterrupted") / "run"
        cohort = cohorts[dimensions(name)]
        ended = server.train(run, cohort, **job_of(name))
        assert (ended.status, ended.error) == (0, "")
    return name, run, cohort


def test_a_run_killed_in_every_stage_ends_in_the_bytes_of_an_uninterrupted_one(uninterrupted, server, tmp_path):
    name, run, cohort = uninterrupted
    killed, events = tmp_path / "killed", 3
    while (ended := server.train(killed, cohort, **job_of(name), kill_at=events)).status != 0:
        assert ended.status == -signal.SIGKILL
        events += 29
    assert ended.error == ""
    assert events > 29, "it was never killed"
    assert state(killed) == state(run)
    assert not strays(killed)


def test_cleaned_examples_are_prepared_again(uninterrupted, server, tmp_path):
    name, run, cohort = uninterrupted
    cleaned, kept = (shutil.copytree(run, tmp_path / folder) for folder in ("cleaned", "kept"))
    assert clean(cleaned) > 0
    assert not (cleaned / "examples").exists()
    for each in (cleaned, kept):
        ended = server.train(each, cohort, **{**job_of(name), "budget": {"steps": STEPS + 1}})
        assert (ended.status, ended.error) == (0, "")
    assert state(cleaned) == state(kept)


def test_stages_learn_from_what_they_declare(uninterrupted):
    _, run, _ = uninterrupted
    method = load_method(run)
    stores = {path.parent.name.rpartition("-")[0]: ExampleStore(path.parent) for path in run.rglob("complete.json")}
    kinds = [set(entry.kinds) for entry in stores["prepared"].entries]
    assert [{"image", "labels"}, {"image"}, {"labels"}] == [kinds[index] for index in (0, 1, 2)]
    for stage in method.stages():
        usable = [each for each in kinds if stage.inputs <= each]
        assert usable
        if stage.encoded:
            forms = 2 ** len(method.training_of(stage).flips)
            assert len(stores[stage.name]) == forms * len(usable)


def test_cases_are_made_and_regenerated(uninterrupted, tmp_path):
    name, run, _ = uninterrupted
    if name == "lesiondiffusion":
        pytest.skip("its cases are made and regenerated in methods/lesiondiffusion/test_method.py")
    if load_method(run).checks is None:
        pytest.skip("an untrained network passes no check of images; the tests of synthesis make such cases")
    options = SynthesisOptions(loader=toy_method_loader.LOADER, executor=InProcessExecutor, limits=NOISE_PASSES)
    request = micro.REQUESTS.get(name)
    synthesize(run, tmp_path / "out", count=2, workers=1, request=request, options=options)
    made = Cohort.open(tmp_path / "out")
    assert len(made) == 2
    assert not np.array_equal(made[made.ids[0]].require_image(), made[made.ids[1]].require_image())
    assert regenerate(tmp_path / "out", made.ids[1], options=options)


# --- the latent pair


@pytest.fixture(scope="module")
def pair(server, cohorts, tmp_path_factory):
    return _trained("latent_pair", server, cohorts, tmp_path_factory)


def _trained(name, server, cohorts, tmp_path_factory):
    run = tmp_path_factory.mktemp(name) / "run"
    assert server.train(run, cohorts[2], **job_of(name)).error == ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(medsmith.methods, "__path__", [*medsmith.methods.__path__, toy_method_loader.FOLDER])
        return load_method(run), Cohort.open(cohorts[2])


def test_latents_have_unit_variance_over_the_training_cases(pair):
    method, cohort = pair
    images = [image_to_model(cohort[id], method.fingerprint, (8, 8))[None] for id in cohort.ids_with_image]
    with torch.no_grad():
        states = torch.cat([method.volume_autoencoder.encode(image) for image in images])
    mean, deviation = states.mean((0, 2, 3)), states.std((0, 2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-4, rtol=0)
    torch.testing.assert_close(deviation, torch.ones_like(deviation), atol=1e-3, rtol=0)


def test_the_controlnet_began_as_a_copy_and_has_moved(pair):
    method, _ = pair
    theirs = method.volume_unet.network.state_dict()
    own = method.controlnet.network.state_dict()
    shared = [name for name in own if name in theirs]
    differences = [float((own[name] - theirs[name]).abs().max()) for name in shared]
    assert 0 < max(differences) < 0.05  # a few steps at a rate of 1e-3, and no more


def test_a_volume_follows_the_label_map_that_is_requested(pair):
    method, cohort = pair
    request = method.Request(labels={"cohort": cohort.root, "case": cohort.ids[0]})
    made = method.synthesize(request, 1, method.config.sampling)
    requested = method.prepare(cohort[cohort.ids[0]])["labels"][0].numpy()
    assert np.array_equal(made.labels[..., 0], requested)
    assert not np.array_equal(made.image, method.synthesize(request, 2, method.config.sampling).image)


def test_guides_act_on_latents_together_with_guidance_and_a_controlnet(pair):
    """One call: classifier-free guidance from the plain volume model to the controlled one, and two guides."""
    method, cohort = pair
    images = [image_to_model(cohort[id], method.fingerprint, (8, 8))[None] for id in cohort.ids_with_image[:2]]
    with torch.no_grad():
        coarse, fine = (method.volume_autoencoder.encode(image) for image in images)
        condition = method._label_state(method.prepare(cohort[cohort.ids[0]])["labels"])
    guides = LowPassGuide(fine, 1, until=10), LowPassGuide(coarse, 2)
    correction = match_low_frequencies(method.process.schedule, *guides, combination="sequential")
    controlled = method._controlled(condition)
    denoise = method.process.denoiser(method.volume_unet, (controlled, 2.0))
    shape, settings = tuple(coarse.shape[1:]), method.config.sampling.override(steps=6)
    made, free = (
        method.process.sample_one(denoise, shape, 3, settings, corrections=corrections)[None]
        for corrections in ([correction], [])
    )
    torch.testing.assert_close(low_pass(2)(made), low_pass(2)(coarse), atol=1e-5, rtol=0)
    assert (low_pass(2)(free) - low_pass(2)(coarse)).abs().max() > 0.05
    assert (made - coarse).abs().max() > 0.05
