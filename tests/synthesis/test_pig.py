"""End to end with a real method: a run folder on disk, worker processes, the copy check, regeneration."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from medsmith.cases.cohort import Cohort
from medsmith.data.similarity import copy_threshold, thumbnails
from medsmith.errors import RequestError, SynthesisError
from medsmith.methods.pig import PigConfig
from medsmith.runs.checkpoints import RunRecord, build_method, library_versions, save_weights
from medsmith.synthesis import SynthesisOptions, regenerate, synthesize
from narrowing import present
from synthesis_fakes import InProcessExecutor, contents, fingerprint

IN_PROCESS = SynthesisOptions(executor=InProcessExecutor)
MICRO = {
    "size": (16, 16),
    "network": {
        "channels": (8, 8),
        "attention": (False, False),
        "head_channels": 8,
        "groups": 4,
        "space_to_depth": 1,
    },
    "diffusion": {"length": 20},
    "sampling": {"steps": 4},
}


def write_micro_run(folder, training_images):
    """An untrained PIG that remembers these images; its masks are coarse noise."""
    record = RunRecord(
        method="pig",
        preset="tiny",
        config=PigConfig.model_validate(MICRO).model_dump(mode="json"),
        seed=0,
        fingerprint=fingerprint(foreground=(0.3, 0.6), components=200, full_range=((0.0, 255.0),)),
        compute={},
        versions=library_versions(),
    )
    method = build_method(record, seed=1)
    small = thumbnails(training_images)
    method.memory = {"thumbnails": torch.from_numpy(small), "copy_threshold": torch.tensor(copy_threshold(small))}
    save_weights(folder, method, record)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pig")
    noise = np.random.default_rng(0).uniform(0, 255, (6, 1, 16, 16, 1)).astype(np.float32)
    write_micro_run(folder / "run", list(noise))
    synthesize(folder / "run", folder / "out", count=3, workers=1)
    return folder


def test_workers_and_this_process_make_the_same_bytes(made):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        synthesize(made / "run", made / "here", count=3, workers=1, options=IN_PROCESS)
    finally:
        torch.set_num_threads(threads)
    assert contents(made / "here") == contents(made / "out")


def test_a_batch_belongs_to_the_recipe_and_not_to_the_workers(made):
    of_three = replace(SynthesisOptions(), batch=3)
    synthesize(made / "run", made / "joint", count=5, workers=1, options=of_three)
    synthesize(made / "run", made / "single", count=5, workers=1, options=replace(IN_PROCESS, batch=3))
    assert contents(made / "joint") == contents(made / "single")
    record = json.loads((made / "joint" / "provenance" / "pig_00004.json").read_text())
    assert record["batch"] == 3
    assert "batch" not in json.loads((made / "out" / "provenance" / "pig_00002.json").read_text())
    assert regenerate(made / "joint", "pig_00004", options=IN_PROCESS)[-1] == "provenance/pig_00004.json"
    with pytest.raises(SynthesisError, match=r"another plan: batch is 3 there and not given here"):
        synthesize(made / "run", made / "joint", count=6, workers=1, options=IN_PROCESS)


def test_a_case_is_made_again(made):
    assert regenerate(made / "out", "pig_00001", options=IN_PROCESS)[-1] == "provenance/pig_00001.json"


def test_cases_say_how_they_were_made(made):
    case = Cohort.open(made / "out")["pig_00002"]
    record = present(case.provenance)
    assert (record["method"], record["solver"], record["steps"], record["precision"]) == (
        "pig",
        "dpm++2m",
        4,
        "float32",
    )
    assert record["weights_hash"] == json.loads((made / "run" / "manifest.json").read_text())["weights.safetensors"]
    assert {check["check"]: check["outcome"] for check in record["checks"]}["not_a_copy"] == "passed"


def test_a_method_that_repeats_its_training_images_is_found_out(made, tmp_path):
    images = [case.require_image() for case in Cohort.open(made / "out")]
    write_micro_run(tmp_path / "run", [image + 1 for image in images])
    summary = synthesize(tmp_path / "run", tmp_path / "out", count=3, workers=1, options=IN_PROCESS)
    assert summary.refused["not_a_copy"] >= 3
    again = [case.require_image() for case in Cohort.open(tmp_path / "out")]
    assert not any(np.array_equal(one, other) for one, other in zip(images, again, strict=True))


def test_steps_beyond_the_schedule_are_refused(made, tmp_path):
    with pytest.raises(RequestError, match="50 steps: a schedule of 20 times allows 1 to 20") as caught:
        synthesize(made / "run", tmp_path / "out", count=1, steps=50, options=IN_PROCESS)
    assert len(caught.value.line) < 160


def test_what_cannot_be_asked_of_pig_is_refused_by_name(made, tmp_path):
    with pytest.raises(RequestError, match="unknown key 'lesions'; there are guides"):
        synthesize(made / "run", tmp_path / "out", count=1, request={"lesions": 2}, options=IN_PROCESS)
