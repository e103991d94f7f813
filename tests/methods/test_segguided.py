"""Segmentation-guided diffusion: hidden masks, guidance, masks from elsewhere, and requests that cannot be met."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

import medsmith.methods.segguided
import micro
from medsmith.cases.case_ref import CaseRef
from medsmith.cases.cohort import Cohort
from medsmith.data.batches import batches_of
from medsmith.data.label_facts import LabelFacts
from medsmith.data.scaling import labels_to_model
from medsmith.diffusion import Sampling
from medsmith.errors import CohortError, FileError, MedsmithError, RequestError
from medsmith.methods.config import validated
from medsmith.methods.label_maps import DrawnMap, indices_of_masks
from medsmith.methods.segguided import HIDDEN, SegGuided, SegGuidedConfig, SegGuidedRequest
from medsmith.runs.checkpoints import load_method
from medsmith.synthesis.checks.masks import labels_legal
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.checks.training import TrainingFacts
from medsmith.training import Budget, train


def guided_method(*settings, dimensions=2, classes=1):
    method = micro.build("segguided", dimensions, classes, settings=["diffusion.length=20", *settings])
    cases = [micro.micro_case(index, dimensions, classes) for index in range(4)]
    method.memory = method.begin("image", [method.prepare(case) for case in cases])
    return method


def made(method, seed=0, **request):
    return method.synthesize(SegGuidedRequest(**request), seed, Sampling(solver="ddim", steps=3))


def seen_masks(method, monkeypatch):
    """What the network sees of the masks, call by call."""
    seen = []
    predict = method._predict

    def noting(mask, x, t):
        seen.append(mask.clone())
        return predict(mask, x, t)

    monkeypatch.setattr(method, "_predict", noting)
    return seen


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_mask_of_the_configured_share_of_cases_is_hidden(share, monkeypatch):
    method = guided_method(f"mask_dropout={share}")
    seen = seen_masks(method, monkeypatch)
    batch = {key: tensor.repeat(50, 1, 1, 1) for key, tensor in micro.micro_batch(method).items()}
    with torch.no_grad():
        for seed in range(5):
            method.loss("network", batch, torch.Generator().manual_seed(seed))
    masks = torch.cat(seen)
    hidden = (masks == HIDDEN).flatten(1)
    assert torch.equal(hidden.all(1), hidden.any(1)), "a mask is hidden whole or not at all"
    expected = batch["mask"].repeat(5, 1, 1, 1)
    assert torch.equal(masks[~hidden.all(1)], expected[~hidden.all(1)])
    assert float(hidden.all(1).float().mean()) == pytest.approx(share, abs=4 * (share * (1 - share) / 1000) ** 0.5)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_guidance_is_the_weighted_step_from_unconditional_to_conditional(weight):
    method = guided_method(f"guidance={weight}", "diffusion.clamp=null")
    mask = method.memory["masks"][:1].float()
    x, t = torch.randn((1, 1, 8, 8), generator=torch.Generator().manual_seed(0)), torch.tensor([11])

    def estimate(visible):
        process = method.process
        return process.schedule.clean_estimate(x, t, method._predict(visible, x, t), process.prediction)

    with torch.no_grad():
        conditional, unconditional = estimate(mask), estimate(torch.full_like(mask, HIDDEN))
        assert torch.allclose(
            method._denoiser(mask)(x, t), unconditional + weight * (conditional - unconditional), atol=1e-5
        )
    assert not torch.allclose(conditional, unconditional, atol=1e-3)


@pytest.mark.parametrize(("weight", "evaluations"), [(1.0, 3), (2.5, 6)])
def test_without_guidance_the_network_is_asked_once_a_step(weight, evaluations, monkeypatch):
    method = guided_method(f"guidance={weight}")
    seen = seen_masks(method, monkeypatch)
    made(method)
    assert len(seen) == evaluations


def test_masks_of_the_training_cohort_are_drawn_by_the_seed():
    method = guided_method()
    known = {micro_mask.numpy().tobytes() for micro_mask in method.memory["masks"].float()}
    drawn = set()
    for seed in range(12):
        mask = labels_to_model(made(method, seed).labels, method.fingerprint, (8, 8))
        drawn.add(mask.numpy().tobytes())
    assert drawn == known
    assert method.memory["masks"].dtype == torch.int8


@pytest.mark.parametrize(("dimensions", "classes"), [(2, 1), (2, 2), (3, 2)])
def test_masks_of_another_cohort_are_taken_to_the_grid(dimensions, classes, tmp_path):
    method = guided_method(dimensions=dimensions, classes=classes)
    cohort = micro.micro_cohort(tmp_path / "masks", dimensions, classes, count=3)
    request = validated(SegGuidedRequest, "request", {"labels": {"cohort": str(cohort.root), "case": "case_1"}})
    case = method.synthesize(request, 0, Sampling(solver="ddim", steps=2))
    expected = labels_to_model(cohort["case_1"].labels, method.fingerprint, method.config.size)
    assert torch.equal(labels_to_model(case.labels, method.fingerprint, method.config.size), expected)
    drawn = {made(method, seed, labels=cohort.root).labels.tobytes() for seed in range(10)}
    assert len(drawn) == 3


def test_requests_that_cannot_be_met_are_refused_in_one_line(tmp_path):
    method = guided_method()
    folder = micro.micro_cohort(tmp_path / "good", count=2).root
    two = micro.micro_cohort(tmp_path / "two", classes=2, count=2).root
    volumes = micro.micro_cohort(tmp_path / "volumes", dimensions=3, count=2).root
    refusals: list[tuple[dict[str, Any], type[MedsmithError] | tuple[type[MedsmithError], ...], str]] = [
        ({"labels": {"cohort": folder, "case": "case_9"}}, RequestError, f"{folder}: no case 'case_9'; has case_0, "),
        ({"labels": two}, RequestError, "labels: case 'case_"),
        (
            {"labels": {"cohort": volumes, "case": "case_0"}},
            RequestError,
            f"labels: case 'case_0' of {volumes} is 3-D; trained on",
        ),
        ({"labels": tmp_path / "none"}, (FileError, CohortError), f"{tmp_path / 'none'}: "),
    ]
    for request, kind, line in refusals:
        with pytest.raises(kind) as refusal:
            made(method, **request)
        assert refusal.value.line.startswith(line)
        assert "\n" not in refusal.value.line


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        ({"label": "here"}, "request: unknown key 'label'; nearest: labels"),
        ({"labels": 5}, "request: labels: 5 is neither a cohort's folder nor an object of cohort and case"),
        ({"labels": {"case": "case_1"}}, "request: labels: case 'case_1' of no cohort; name the cohort as well"),
        ({"labels": {"cohort": "a", "case": ["b"]}}, 'request: labels.case = ["b"]; must be a valid string'),
        ({"labels": {"cohort": "a", "cas": "b"}}, "request: unknown key 'labels.cas'; nearest: labels"),
    ],
)
def test_a_misspelt_request_is_refused_by_name(request_, line):
    with pytest.raises(RequestError) as refusal:
        validated(SegGuidedRequest, "request", request_)
    assert refusal.value.line.startswith(line)


def test_a_request_says_in_json_where_its_masks_are():
    request = SegGuidedRequest(labels=CaseRef(cohort=Path("maps"), case="a"))
    assert request.model_dump(mode="json", exclude_defaults=True) == {"labels": {"cohort": "maps", "case": "a"}}
    assert SegGuidedRequest.model_validate({"labels": "maps"}).labels == CaseRef(cohort=Path("maps"))


def test_the_mask_alone_steers_the_image_for_one_seed(monkeypatch):
    method = guided_method()
    images = []
    for mask in method.memory["masks"][:2]:
        drawn = DrawnMap(indices_of_masks(mask).numpy())
        monkeypatch.setattr(method, "_drawn_map", lambda *_, drawn=drawn: drawn)
        images.append(made(method, 3).image)
    assert not np.array_equal(*images)


def test_the_papers_preset_carries_the_papers_numbers():
    paper = cast(SegGuidedConfig, SegGuided.presets["paper"])
    assert (paper.size, paper.diffusion.length, paper.sampling.solver, paper.sampling.steps) == (
        (256, 256), 1000, "ddim", 50,
    )  # fmt: skip
    assert paper.mask_dropout == 0.0
    assert medsmith.methods.segguided.SegGuidedConfig().guidance == 1.0


# --- augmented maps


def test_deformed_maps_are_new_legal_and_named(tmp_path):
    method = guided_method(dimensions=3, classes=2)
    cohort = micro.micro_cohort(tmp_path / "maps", 3, 2, count=3)
    known = {method.prepare(case)["mask"].numpy().tobytes() for case in cohort}
    facts = LabelFacts.from_memory(method.memory)
    assert facts is not None
    cases = [made(method, seed, labels=cohort.root, augment_labels={}) for seed in range(6)]
    for case in cases:
        mask = labels_to_model(case.labels, method.fingerprint, method.config.size)
        assert case.provenance["cases"]["labels"] in cohort
        assert case.provenance["deformation"].keys() == {"rotation_degrees", "stretch", "shift", "elastic"}
        legal = not facts.problems(indices_of_masks(mask).numpy())
        assert legal == (case.provenance["label_problems"] == [])
        assert labels_legal(case, TrainingFacts(method.fingerprint), Limits()).outcome == (
            "passed" if legal else "failed"
        )
        assert mask.to(torch.int8).numpy().tobytes() not in known
    assert sum(not case.provenance["label_problems"] for case in cases) >= 3
    assert len({case.labels.tobytes() for case in cases}) == len(cases)
    again = made(method, 3, labels=cohort.root, augment_labels={})
    assert np.array_equal(again.image, cases[3].image)
    assert again.provenance == cases[3].provenance


def test_one_map_gives_several_deformed_ones(tmp_path):
    method = guided_method()
    cohort = micro.micro_cohort(tmp_path / "maps", count=3)
    given = {"labels": {"cohort": cohort.root, "case": "case_1"}, "augment_labels": {"rotation": 30}, "draws": 1}
    cases = [made(method, seed, **given) for seed in range(4)]
    assert {case.provenance["cases"]["labels"] for case in cases} == {"case_1"}
    assert len({case.labels.tobytes() for case in cases}) > 1
    assert {case.provenance["label_draws"] for case in cases} == {1}


def test_maps_of_the_training_cohort_are_deformed_too():
    method = guided_method()
    plain, deformed = made(method, 4), made(method, 4, augment_labels={"shift": 0.2})
    assert plain.provenance["training_map"] == deformed.provenance["training_map"]
    assert "deformation" not in plain.provenance
    assert not np.array_equal(plain.labels, deformed.labels)


def test_a_map_unlike_training_is_refused_or_flagged(tmp_path):
    method = guided_method()
    case = micro.micro_case(0, 2, 1)
    labels = np.zeros_like(case.labels)
    labels[2:11, 2:9] = 1
    folder = tmp_path / "maps"
    cohort = Cohort.create(folder, channel_names=case.channel_names, label_names=case.label_names, file_ending=".png")
    cohort.write(replace(case, labels=labels))
    cohort.finish()
    with pytest.raises(RequestError, match="is unlike all training maps: volume of background, volume of mass"):
        made(method, labels=folder)
    flagged = made(method, labels=folder, unusual="flag").provenance
    assert flagged["unusual"] == ["volume of background", "volume of mass"]


# --- images without labels


def mixed(count=6, unlabeled=(1, 2, 4)):
    cases = [micro.micro_case(index, 2, 1) for index in range(count)]
    return [replace(case, labels=None) if index in unlabeled else case for index, case in enumerate(cases)]


def test_images_without_labels_enter_the_batches_with_a_hidden_mask(monkeypatch):
    method = guided_method("mask_dropout=0")
    (stage,) = method.stages()
    assert stage.inputs == {"image"}
    examples = [method.prepare(case) for case in mixed()]
    batch = batches_of(examples, len(examples), 0)(0)
    seen = seen_masks(method, monkeypatch)
    with torch.no_grad():
        method.loss("network", batch, torch.Generator().manual_seed(0))
    hidden = (seen[0] == HIDDEN).flatten(1)
    assert torch.equal(hidden.all(1), hidden.any(1))
    assert int(hidden.all(1).sum()) == 3
    assert method.memory["masks"].any(dim=0).all(), "no hidden mask is kept to be drawn"
    memory = method.begin("image", examples)
    assert len(memory["masks"]) == 3
    assert (memory["masks"] != HIDDEN).all()


def test_images_without_labels_change_the_weights_and_may_be_left_out(tmp_path):
    runs = {}
    for name, cases in (("mixed", mixed()), ("labeled", [case for case in mixed() if case.labels is not None])):
        cohort = Cohort.create(
            tmp_path / name, channel_names=("ultrasound",), label_names=micro.micro_case(0, 2, 1).label_names,
            file_ending=".png",
        )  # fmt: skip
        for case in cases:
            cohort.write(case)
        cohort.finish()
    settings = micro.micro_settings("segguided", SegGuided, 2)
    for name, more in (("mixed", "hidden"), ("mixed", "left_out")):
        run = tmp_path / f"run-{more}"
        train("segguided", tmp_path / name, run, settings=[*settings, f"unlabeled={more}"], budget=Budget(steps=3))
        runs[more] = load_method(run)
        card = (run / "README.md").read_text()
        assert f"Trained on {6 if more == 'hidden' else '3 of 6'} cases" in card
        assert "Labels, as shares" in card
        case = made(runs[more], 1, labels=tmp_path / "labeled", augment_labels={})
        assert case.labels.any()
        assert np.isfinite(case.image).all()
    weights = [torch.cat([weight.flatten() for weight in run.state_dict().values()]) for run in runs.values()]
    assert not torch.equal(*weights)
