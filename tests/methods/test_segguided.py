"""Segmentation-guided diffusion: hidden masks, guidance, masks from elsewhere, and requests that cannot be met."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

import medsmith.methods.segguided
import micro
from medsmith.cases.case_ref import CaseRef
from medsmith.data.scaling import labels_to_model
from medsmith.diffusion import Sampling
from medsmith.errors import CohortError, FileError, MedsmithError, RequestError
from medsmith.methods.config import validated
from medsmith.methods.segguided import HIDDEN, SegGuided, SegGuidedConfig, SegGuidedRequest


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
    request = validated(SegGuidedRequest, "request", {"masks": {"cohort": str(cohort.root), "case": "case_1"}})
    case = method.synthesize(request, 0, Sampling(solver="ddim", steps=2))
    expected = labels_to_model(cohort["case_1"].labels, method.fingerprint, method.config.size)
    assert torch.equal(labels_to_model(case.labels, method.fingerprint, method.config.size), expected)
    drawn = {made(method, seed, masks=cohort.root).labels.tobytes() for seed in range(10)}
    assert len(drawn) == 3


def test_requests_that_cannot_be_met_are_refused_in_one_line(tmp_path):
    method = guided_method()
    folder = micro.micro_cohort(tmp_path / "good", count=2).root
    two = micro.micro_cohort(tmp_path / "two", classes=2, count=2).root
    volumes = micro.micro_cohort(tmp_path / "volumes", dimensions=3, count=2).root
    refusals: list[tuple[dict[str, Any], type[MedsmithError] | tuple[type[MedsmithError], ...], str]] = [
        ({"masks": {"cohort": folder, "case": "case_9"}}, RequestError, f"{folder}: no case 'case_9'; has case_0, "),
        ({"masks": two}, RequestError, f"request: labels of {two} are {{'background': 0, 'mass': 1, 'cyst': 2}}"),
        (
            {"masks": {"cohort": volumes, "case": "case_0"}},
            RequestError,
            f"request: case 'case_0' of {volumes} is 3-D; trained on",
        ),
        ({"masks": tmp_path / "none"}, (FileError, CohortError), f"{tmp_path / 'none'}: "),
    ]
    for request, kind, line in refusals:
        with pytest.raises(kind) as refusal:
            made(method, **request)
        assert refusal.value.line.startswith(line)
        assert "\n" not in refusal.value.line


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        ({"mask": "here"}, "request: unknown key 'mask'; nearest: masks"),
        ({"masks": 5}, "request: masks: 5 is neither a cohort's folder nor an object of cohort and case"),
        ({"masks": {"case": "case_1"}}, "request: masks: case 'case_1' of no cohort; name the cohort as well"),
        ({"masks": {"cohort": "a", "case": ["b"]}}, 'request: masks.case = ["b"]; must be a valid string'),
        ({"masks": {"cohort": "a", "cas": "b"}}, "request: unknown key 'masks.cas'; nearest: masks"),
    ],
)
def test_a_misspelt_request_is_refused_by_name(request_, line):
    with pytest.raises(RequestError) as refusal:
        validated(SegGuidedRequest, "request", request_)
    assert refusal.value.line.startswith(line)


def test_a_request_says_in_json_where_its_masks_are():
    request = SegGuidedRequest(masks=CaseRef(cohort=Path("masks"), case="a"))
    assert request.model_dump(mode="json", exclude_defaults=True) == {"masks": {"cohort": "masks", "case": "a"}}
    assert SegGuidedRequest.model_validate({"masks": "masks"}).masks == CaseRef(cohort=Path("masks"))


def test_the_mask_alone_steers_the_image_for_one_seed(monkeypatch):
    method = guided_method()
    chosen = [mask.float() for mask in method.memory["masks"]]
    images = []
    for mask in chosen[:2]:
        monkeypatch.setattr(method, "_chosen_mask", lambda *_, mask=mask: mask)
        images.append(made(method, 3).image)
    assert not np.array_equal(*images)


def test_the_papers_preset_carries_the_papers_numbers():
    paper = cast(SegGuidedConfig, SegGuided.presets["paper"])
    assert (paper.size, paper.diffusion.length, paper.sampling.solver, paper.sampling.steps) == (
        (256, 256), 1000, "ddim", 50,
    )  # fmt: skip
    assert paper.mask_dropout == 0.0
    assert medsmith.methods.segguided.SegGuidedConfig().guidance == 1.0
