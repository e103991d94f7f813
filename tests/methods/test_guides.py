"""Guidance images in requests: the finished image has their low frequencies, whatever the method."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import micro
from medsmith.cases.cohort import Cohort
from medsmith.data.scaling import image_to_model
from medsmith.diffusion import Sampling
from medsmith.diffusion.low_pass import low_pass
from medsmith.errors import RequestError
from medsmith.methods import method_class
from medsmith.methods.config import validated
from medsmith.methods.fit import check_gray_scale
from medsmith.methods.guides import Guide, GuideAction, soft_region
from medsmith.methods.mddpm.request import Anatomy, Pathology
from narrowing import present

METHODS = ("ddpm", "mddpm", "pig", "segguided")


@pytest.fixture(scope="module", params=[(2, 1), (2, 2), (3, 1)], ids=lambda p: f"{p[0]}d-{p[1]}label")
def cohort(request, tmp_path_factory):
    return micro.micro_cohort(tmp_path_factory.mktemp("guides") / "c", *request.param)


def method_for(name, cohort):
    first = cohort[cohort.ids[0]]
    method = micro.build(name, first.geometry.dimensions, len(cohort.label_names) - 1, settings=["diffusion.length=20"])
    if name in ("segguided", "mddpm"):
        method.memory = method.begin("image", [method.prepare(case) for case in cohort])
    return method


def states(method, request, seed=3, steps=6):
    """The image channels after every step, and the finished ones."""
    seen = []
    sampling = method.config.sampling.override(steps=steps)
    method.synthesize(request, seed, sampling, observe=lambda step: seen.append(step.x.clone()))
    return [x[:, -len(method.fingerprint.channel_names) :] for x in seen]


def of_case(method, cohort, id):
    return image_to_model(cohort[id], method.fingerprint, method.config.size)[None]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("factor", [1, 2, 8])
def test_the_finished_image_has_the_guides_low_frequencies(name, factor, cohort):
    method, keep_low = method_for(name, cohort), low_pass(factor)
    requested = {"guides": [{"image": {"cohort": str(cohort.root), "case": "case_1"}, "factor": factor}]}
    request = validated(method.Request, "request", json.loads(json.dumps(requested)))
    guided, free = states(method, request)[-1], states(method, method.Request())[-1]
    reference = of_case(method, cohort, "case_1")
    torch.testing.assert_close(keep_low(guided), keep_low(reference), atol=1e-5, rtol=0)
    assert (keep_low(free) - keep_low(reference)).abs().max() > 0.02
    if factor > 1:
        assert (guided - reference).abs().max() > 0.02


@pytest.mark.parametrize("name", METHODS)
def test_a_guide_acts_until_its_share_of_the_schedule(name, cohort):
    method, keep_low = method_for(name, cohort), low_pass(2)
    reference = of_case(method, cohort, "case_0")
    image = {"cohort": cohort.root, "case": "case_0"}
    early = states(method, method.Request(guides=[{"image": image, "factor": 2, "until": 0.5}]))
    free = states(method, method.Request())
    assert not torch.equal(early[1], free[1])
    assert (keep_low(early[-1]) - keep_low(reference)).abs().max() > 1e-3
    whole = states(method, method.Request(guides=[{"image": image, "factor": 2}]))
    torch.testing.assert_close(keep_low(whole[-1]), keep_low(reference), atol=1e-5, rtol=0)


def test_the_seed_chooses_where_a_guide_names_a_cohort_alone(cohort):
    method, keep_low = method_for("ddpm", cohort), low_pass(4)
    request = method.Request(guides=[{"image": str(cohort.root), "factor": 4}])
    references = [keep_low(of_case(method, cohort, id)) for id in cohort.ids]
    chosen = set()
    for seed in range(12):
        low = keep_low(states(method, request, seed)[-1])
        (match,) = [n for n, each in enumerate(references) if torch.allclose(low, each, atol=1e-4)]
        chosen.add(match)
    assert len(chosen) >= 3


def test_guides_that_cannot_act_are_refused_in_one_line(cohort, tmp_path):
    method = method_for("ddpm", cohort)
    dimensions = method.fingerprint.dimensions
    other = micro.micro_cohort(tmp_path / "other", dimensions=5 - dimensions, count=1).root
    for guide, line in [
        (
            {"image": {"cohort": str(other), "case": "case_0"}},
            f"guides.0.image: case 'case_0' of {other} is {5 - dimensions}-D",
        ),
        ({"image": {"cohort": str(cohort.root), "case": "case_9"}}, f"{cohort.root}: no case 'case_9'; has case_0"),
    ]:
        with pytest.raises(RequestError) as refusal:
            states(method, validated(method.Request, "request", {"guides": [guide]}))
        assert refusal.value.line.startswith(line)
        assert "\n" not in refusal.value.line


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (
            {"factor": 6, "filter": "bicubic"},
            "request: guides.0: factor = 6 is not a power of two, which bicubic needs",
        ),
        ({"factor": 0}, "request: guides.0.factor = 0; must be greater than or equal to 1"),
        ({"factor": True}, "request: guides.0.factor = true; must be a valid integer"),
        ({"factor": 2**40}, "request: guides.0.factor = 1099511627776; must be less than or equal to 1024"),
        ({"factor": 4, "relative_factor": 0.1}, "request: guides.0: factor and relative_factor say the same"),
        ({"relative_factor": 0}, "request: guides.0.relative_factor = 0; must be greater than 0"),
        ({"until": 0.5, "last_step": 3}, "request: guides.0: until and last_step say the same"),
        ({"last_step": 0}, "request: guides.0.last_step = 0; must be greater than or equal to 1"),
        ({"region_labels": ["mass"]}, "request: guides.0: region_labels without region: name the case that has them"),
        ({"until": 1.0}, "request: guides.0.until = 1.0; must be less than 1"),
        ({"n": 8}, "request: unknown key 'guides.0.n'"),
        ({"factr": 8}, "request: unknown key 'guides.0.factr'; nearest: guides.factor"),
        ({"image": {"cohort": "a\0b"}}, "request: guides.0.image.cohort: is no path: it holds a null character"),
        ({"image": {"cohort": "\ud800"}}, "request: guides.0.image.cohort: is no path: it holds half a character"),
    ],
)
def test_a_guide_out_of_range_is_refused_by_name(wrong, line):
    with pytest.raises(RequestError) as refusal:
        validated(method_class("pig").Request, "request", {"guides": [{"image": "somewhere", **wrong}]})
    assert refusal.value.line.startswith(line)


def test_a_guide_is_json():
    guide = Guide.model_validate({"image": "cohort", "factor": 4, "until": 0.25})
    assert Guide.model_validate_json(guide.model_dump_json()) == guide
    assert guide.until == 0.25


@pytest.mark.parametrize(("share", "at_64", "at_512"), [(1 / 8, 8, 64), (1 / 16, 4, 32), (0.1, 6, 51), (1e-4, 1, 1)])
def test_a_relative_factor_means_the_same_at_every_size(share, at_64, at_512):
    """n = 64 of the paper's 512 pixels is 8 of 64."""
    guide = Guide.model_validate({"image": "cohort", "relative_factor": share})
    assert guide.factor_at((64, 48)) == at_64
    assert guide.factor_at((512, 512)) == at_512
    assert Guide.model_validate({"image": "cohort"}).factor_at((512, 512)) == 64
    assert Guide.model_validate({"image": "cohort"}).factor_at((96, 96)) == 12
    assert Guide.model_validate({"image": "cohort", "filter": "bicubic"}).factor_at((96, 96)) == 16
    assert Guide.model_validate({"image": "cohort", "factor": 16}).factor_at((64, 64)) == 16


def test_the_last_step_counts_as_the_paper_does():
    """a = 1 acts in every step, also on the final image, whose time is -1; a = T in the first step alone."""
    assert Guide.model_validate({"image": "cohort", "last_step": 1}).last_time(1000) == -1
    assert Guide.model_validate({"image": "cohort", "last_step": 1000}).last_time(1000) == 998
    assert Guide.model_validate({"image": "cohort", "until": 0.5}).last_time(1000) == 499
    assert Guide.model_validate({"image": "cohort"}).last_time(1000) == -1


@pytest.mark.parametrize("name", METHODS)
def test_a_guide_with_a_region_acts_there_alone(name, cohort):
    """In the last step: where the region is 0 the state stays the network's, inside it has the whole guide."""
    method = method_for(name, cohort)
    ref = {"cohort": cohort.root, "case": "case_1"}
    guide = {"image": ref, "factor": 1, "region": ref, "region_labels": ["mass"]}
    labels = cohort["case_1"].require_labels()
    region = soft_region(labels == cohort.label_names["mass"], method.config.size)
    assert 0 < float((region == 0).float().mean()) < 1
    final = states(method, method.Request(guides=[guide]))[-1][0]
    reference = of_case(method, cohort, "case_1")[0]
    inside = (region > 1 - 1e-6).expand_as(final)
    assert inside.any()
    torch.testing.assert_close(final[inside], reference[inside], atol=1e-5, rtol=0)
    outside = (region == 0).expand_as(final)
    assert (final[outside] - reference[outside]).abs().max() > 0.05


def test_a_region_without_the_label_or_of_other_dimensions_is_refused(cohort, tmp_path):
    method, ref = method_for("ddpm", cohort), {"cohort": str(cohort.root), "case": "case_1"}
    other = micro.micro_cohort(tmp_path / "other", dimensions=5 - method.fingerprint.dimensions, count=1).root
    wrong: list[tuple[dict[str, Any], str]] = [
        (
            {"region": ref, "region_labels": ["tumor"]},
            f"guides.0.region_labels: {cohort.root} has no label 'tumor'; has background",
        ),
        ({"region": str(other)}, f"guides.0.region: case 'case_0' of {other} is {5 - method.fingerprint.dimensions}-D"),
    ]
    for more, line in wrong:
        with pytest.raises(RequestError) as refusal:
            states(method, validated(method.Request, "request", {"guides": [{"image": ref, **more}]}))
        assert refusal.value.line.startswith(line)


def test_a_soft_region_fades_outside_and_is_whole_inside():
    inside = np.zeros((64, 64, 1), bool)
    inside[20:40, 24:40] = True
    region = soft_region(inside, (64, 64)).numpy()
    assert (region[inside[..., 0]] == 1).all()
    far = np.ones((64, 64), bool)
    far[14:46, 18:46] = False
    assert region[far].max() < 1e-3
    profile = region[30, 39:46]
    assert (np.diff(profile) <= 0).all()
    assert 0.05 < profile[1] < 1


def test_a_guide_on_another_gray_scale_is_refused():
    """An 8-bit picture for a model of Hounsfield units, and the other way round; MR has no scale to check."""
    hounsfield = micro.fingerprint().model_copy(
        update={"full_range": ((-1024.0, 1500.0),), "stored": "int16", "absolute": True}
    )
    pictures = hounsfield.model_copy(update={"full_range": ((0.0, 255.0),), "absolute": True})
    check_gray_scale((-1000.0, 300.0), hounsfield, "guides", "case")
    check_gray_scale((0.0, 255.0), pictures, "guides", "case")
    check_gray_scale((0.0, 5000.0), pictures.model_copy(update={"absolute": False}), "guides", "case")
    for found, facts, line in [
        ((0.0, 255.0), hounsfield, "guides: case has gray values from 0 to 255; trained on -1024 to 1500; bring it to"),
        ((-1000.0, 300.0), pictures, "guides: case has gray values from -1000 to 300; trained on 0 to 255"),
    ]:
        with pytest.raises(RequestError) as refusal:
            check_gray_scale(found, facts, "guides", "case")
        assert refusal.value.line.startswith(line)


@pytest.mark.parametrize(
    ("settings", "steps", "line"),
    [
        ({"factor": 16}, 6, "guides.0: factor = 16 on a grid of 8 x 8"),
        ({"last_step": 21}, 6, "guides.0: it acts at no step: its last is before the first of 6"),
        ({"until": 0.5}, 1, "guides.0: it acts at no step: its last is before the first of 1"),
        ({"until": 0.99}, 6, "guides.0: it acts at no step"),
    ],
)
def test_a_guide_that_could_never_act_is_refused(settings, steps, line):
    """Otherwise an unguided image would carry the annotation of its guide."""
    action, sampling = GuideAction(**settings), Sampling(solver="ddim", steps=steps)
    with pytest.raises(RequestError) as refusal:
        action.check("guides.0", (8, 8), 20, sampling)
    assert refusal.value.line.startswith(line)
    GuideAction(factor=8, until=0.5).check("guides.0", (8, 8), 20, Sampling(solver="ddim", steps=6))


@pytest.mark.parametrize("kind", [Guide, Anatomy, Pathology])
def test_the_last_step_replaces_the_default_of_every_guide(kind):
    needed = {Guide: {"image": "c"}, Anatomy: {"space": "s"}, Pathology: {"case": "c"}}[kind]
    action = kind.model_validate({**needed, "last_step": 3})
    assert action.last_time(1000) == 1
    again = kind.model_validate(action.model_dump(mode="json"))
    assert again.last_time(1000) == 1
    assert kind.model_validate(needed).last_time(1000) == round(kind.UNTIL * 1000) - 1


def blank_cohort(folder, cohort, file_ending, marked=()):
    """Copies of a case without labels, but those of some indices."""
    made = Cohort.create(
        folder,
        channel_names=cohort["case_1"].channel_names,
        label_names=dict(cohort.label_names),
        file_ending=file_ending,
    )
    case = cohort["case_1"]
    for index in range(3):
        labels = case.require_labels() if index in marked else np.zeros_like(case.require_labels())
        made.write(replace(case, id=f"case_{index}", labels=labels))
    made.finish()
    return Cohort.open(folder)


def test_a_region_without_a_voxel_is_refused(cohort, tmp_path):
    """The guide would never act, beside an annotation that says it did."""
    method, ref = method_for("ddpm", cohort), {"cohort": str(cohort.root), "case": "case_1"}
    blank = blank_cohort(tmp_path / "blank", cohort, method.fingerprint.file_ending).root
    cure = "a guide acts somewhere; name another case"
    refused: list[tuple[dict[str, Any], str]] = [
        (
            {"region": {"cohort": str(blank), "case": "case_1"}, "region_labels": ["mass"]},
            f"guides.0.region: case 'case_1' of {blank} has no voxel of 'mass'; {cure}",
        ),
        ({"region": str(blank)}, f"guides.0.region: no case of {blank} has a voxel of any label; {cure}"),
    ]
    for region, line in refused:
        with pytest.raises(RequestError) as refusal:
            states(method, validated(method.Request, "request", {"guides": [{"image": ref, **region}]}))
        assert refusal.value.line == line


def test_a_cohort_alone_gives_a_region_with_voxels(cohort, tmp_path):
    method = method_for("ddpm", cohort)
    some = blank_cohort(tmp_path / "some", cohort, method.fingerprint.file_ending, marked=[2])
    guide = Guide.model_validate({"image": "unused", "region": some.root, "region_labels": ["mass"]})
    grid = method.fingerprint, method.config.size
    regions = [present(guide.region_on(*grid, index, "guides.0")) for index in range(3)]
    assert all(torch.equal(region, regions[2]) for region in regions)
    assert float(regions[0].max()) == 1
    labels = some["case_2"].require_labels() == 1
    torch.testing.assert_close(regions[0], soft_region(labels, method.config.size))


@pytest.mark.parametrize("solver", ["ddpm", "dpm++2m"])
def test_a_guide_changes_nothing_where_its_region_ends(solver, cohort):
    """Its noise is its own: in the first step the solver and the other guides see the same as without it."""
    method = method_for("ddpm", cohort)
    ref = {"cohort": cohort.root, "case": "case_1"}
    local = {"image": ref, "factor": 1, "region": ref, "region_labels": ["mass"]}
    guide, sampling = {"image": ref, "factor": 2}, Sampling(solver=solver, steps=5)
    seen: list[torch.Tensor] = []
    for guides in ([guide], [guide, local]):
        method.synthesize(method.Request(guides=guides), 3, sampling, observe=lambda step: seen.append(step.x.clone()))
    alone, beside = seen[0], seen[5]
    labels = cohort["case_1"].require_labels() == cohort.label_names["mass"]
    outside = (soft_region(labels, method.config.size) == 0).expand_as(alone)
    assert outside.any()
    assert torch.equal(alone[outside], beside[outside])
    assert not torch.equal(alone, beside)
