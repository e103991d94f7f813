"""From a request to guides, annotation and record; and finished cases of an untrained network."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from medsmith.anatomy import ShapeSpace
from medsmith.anatomy.context import find_context
from medsmith.cases.cohort import Cohort
from medsmith.data.scaling import image_to_model
from medsmith.diffusion import Sampling
from medsmith.diffusion.low_pass import low_pass
from medsmith.errors import MedsmithError, RequestError
from medsmith.methods import method_class
from medsmith.methods.config import validated
from medsmith.methods.mddpm.adherence import lesion_contrast
from medsmith.methods.mddpm.pathology import holding_class
from medsmith.methods.mddpm.request import Anatomy
from medsmith.methods.mddpm.requested_anatomy import RequestedAnatomy
from medsmith.methods.mddpm.steering import annotated_facts
from medsmith.runs.checkpoints import load_method
from medsmith.synthesis import SynthesisOptions, regenerate, synthesize
from medsmith.synthesis.checks.guidance import annotation_followed
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.checks.training import TrainingFacts
from steered_runs import EDGE, LESIONS, UNTRAINED, disk, slice_of, steered_files, write_cohort
from synthesis_fakes import InProcessExecutor


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return steered_files(tmp_path_factory.mktemp("steering"))


@pytest.fixture(scope="module")
def method(files):
    return load_method(files / "run")


def request_of(files, **parts):
    anatomy = {"space": str(files / "space.safetensors")}
    lesion = {"case": {"cohort": str(files / "lesions"), "case": "case_0"}, "within": "lung"}
    texture = {"image": {"cohort": str(files / "labeled"), "case": "case_3"}, "factor": 4, "until": 0.5}
    whole = {"anatomy": anatomy, "pathologies": [lesion], "guides": [texture]}
    chosen = {key: value for key, value in whole.items() if key in parts and parts[key] is True}
    chosen |= {key: value for key, value in parts.items() if value is not True}
    return validated(method_class("mddpm").Request, "request", json.loads(json.dumps(chosen)))


def steering_of(method, request, seed=1):
    return method.steering(request, seed, Sampling(steps=10))


def test_the_anatomy_is_annotation_and_guide(method, files):
    request = request_of(files, anatomy=True)
    space = ShapeSpace.load(files / "space.safetensors")
    found = steering_of(method, request)
    assert dict(annotated_facts(request, method.fingerprint).label_names) == {"background": 0, "heart": 1, "aorta": 2}
    assert set(np.unique(found.labels)) == {0, 1, 2}
    assert found.record["anatomy_attempts"] >= 1
    guide = found.guides["anatomy"]
    heart = guide.reference[0, 0].numpy()[found.labels == 1]
    (gray,) = space.record.gray_values["heart"]
    assert heart == pytest.approx(gray / 127.5 - 1, abs=0.02)
    assert not np.array_equal(found.labels, steering_of(method, request, 2).labels)
    assert np.array_equal(found.labels, steering_of(method, request).labels)


def test_a_case_can_give_the_anatomy(method, files):
    space = str(files / "space.safetensors")
    labels = {"cohort": str(files / "labeled"), "case": "case_5"}
    found = steering_of(method, request_of(files, anatomy={"space": space, "labels": labels}))
    case = Cohort.open(files / "labeled")["case_5"]
    assert np.array_equal(found.labels, case.require_labels()[..., 0])
    assert found.record["cases"] == {"anatomy": "case_5"}
    own = image_to_model(case, method.fingerprint, (EDGE, EDGE))[0]
    keep_low = low_pass(4)
    difference = keep_low(found.guides["anatomy"].reference - own[None, None])
    assert float(difference.abs().mean()) < 0.08  # a low-pass of it looks like a low-pass of the scan


def test_textures_anatomy_and_lesions_come_in_this_order(method, files):
    found = steering_of(method, request_of(files, anatomy=True, pathologies=True, guides=True))
    assert list(found.guides) == ["guides.0", "anatomy", "pathologies.0"]
    texture, anatomy, lesion = found.guides.values()
    reference = image_to_model(Cohort.open(files / "labeled")["case_3"], method.fingerprint, (EDGE, EDGE))
    assert torch.equal(texture.reference[0], reference)
    assert (texture.factor, anatomy.factor, lesion.factor) == (4, 4, 2)
    assert texture.region is None
    assert anatomy.region is None
    assert float(lesion.region[0, 0].numpy()[found.labels == 3].min()) == 1
    assert dict(annotated_facts(request_of(files, anatomy=True, pathologies=True), method.fingerprint).label_names) == {
        "background": 0, "heart": 1, "aorta": 2, "nodule": 3,
    }  # fmt: skip
    assert len(found.record["places"]) == 1
    assert found.record["cases"] == {"guides.0": "case_3", "pathologies.0": "case_0"}
    assert texture.until > anatomy.until > lesion.until


@pytest.fixture(scope="module")
def organs_too(files):
    """Lesions in cohorts that label organs as well: one label besides those of the space, or two, or none."""
    more = {
        "one": {"background": 0, "heart": 1, "nodule": 2, "lung": 3},
        "two": {"background": 0, "heart": 1, "nodule": 2, "cyst": 3},
        "none": {"background": 0, "heart": 1, "aorta": 2},
    }
    for folder, names in more.items():
        cases = [slice_of(index, LESIONS) for index in range(2)]
        write_cohort(files / folder, [replace(each, labels=2 * each.labels, label_names=names) for each in cases])
    return files


@pytest.mark.parametrize("anatomy", [True, False])
def test_the_one_label_that_is_no_class_of_the_space_is_the_lesions(method, organs_too, anatomy):
    lesion = {"case": {"cohort": str(organs_too / "one"), "case": "case_0"}}
    if not anatomy:  # nothing tells a lesion from an organ
        with pytest.raises(RequestError, match="no label named; it has heart, nodule, lung; name one of these"):
            method.output_fingerprint(request_of(organs_too, pathologies=[lesion]))
        return
    names = {"background": 0, "heart": 1, "aorta": 2, "nodule": 3}
    request = request_of(organs_too, anatomy=True, pathologies=[lesion])
    assert dict(method.output_fingerprint(request).label_names) == names
    asked = request_of(organs_too, anatomy=True, pathologies=[{**lesion, "label": "nodule"}])
    found, named = (steering_of(method, each) for each in (request, asked))
    assert found.lesions[0].label == "nodule"
    assert np.array_equal(found.labels, named.labels)
    assert (found.labels == 3).any()


@pytest.mark.parametrize(("folder", "known"), [("two", "heart, nodule, cyst"), ("none", "heart, aorta")])
def test_several_labels_or_none_besides_the_classes_are_asked_for(method, organs_too, folder, known):
    lesion = {"case": {"cohort": str(organs_too / folder)}}
    for act in (method.output_fingerprint, lambda request: steering_of(method, request)):
        with pytest.raises(RequestError) as refusal:
            act(request_of(organs_too, anatomy=True, pathologies=[lesion]))
        line = f"pathologies.0.label: no label named; it has {known}; name one of these (--lesion-label)"
        assert refusal.value.line == line


@pytest.mark.parametrize("folder", ["one", "two"])
def test_a_case_that_does_not_exist_is_named_before_its_label(method, organs_too, folder):
    lesion = {"case": {"cohort": str(organs_too / folder), "case": "case_9"}}
    for anatomy in ({}, {"anatomy": True}):
        with pytest.raises(RequestError) as refusal:
            method.output_fingerprint(request_of(organs_too, pathologies=[lesion], **anatomy))
        line = f"{organs_too / folder}: no case 'case_9'; has case_0, case_1; name one of these"
        assert refusal.value.line == line


def test_a_texture_of_a_file_stops_with_the_anatomy(method, files):
    texture = [{"image": {"cohort": str(files / "labeled"), "case": "case_3"}}]
    found = steering_of(method, request_of(files, anatomy=True, guides=texture))
    assert found.guides["guides.0"].until == found.guides["anatomy"].until


def test_context_classes_are_annotated_where_they_are_named(method, files):
    space = str(files / "space.safetensors")
    request = request_of(files, anatomy={"space": space, "classes": ["lung", "heart"]})
    facts = annotated_facts(request, method.fingerprint)
    assert dict(facts.label_names) == {"background": 0, "lung": 1, "heart": 2}
    found = steering_of(method, request).labels
    assert set(np.unique(found)) == {0, 1, 2}
    assert (found == 1).sum() > (found == 2).sum()


def test_without_guides_nothing_is_annotated(method, files):
    found = steering_of(method, request_of(files))
    assert (found.guides, found.labels, found.record) == ({}, None, {})
    made = method.synthesize(request_of(files), 1, Sampling(steps=2))
    assert made.labels is None
    assert made.provenance is None


@pytest.mark.parametrize(("solver", "steps"), [("ddpm", 20), ("ddim", 5), ("dpm++2m", 4)])
def test_the_image_has_the_low_frequencies_of_the_anatomy(method, files, solver, steps):
    space = {"space": str(files / "space.safetensors"), "factor": 8, "until": 0}
    request, states = request_of(files, anatomy=space), []
    method.synthesize(request, 4, Sampling(solver=solver, steps=steps), observe=lambda step: states.append(step.x))
    wanted = steering_of(method, request, 4).guides["anatomy"].reference
    torch.testing.assert_close(low_pass(8)(states[-1]), low_pass(8)(wanted), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ({"pathologies": [{"case": "x", "within": "lung"}]}, "request: within = 'lung' without an anatomy"),
        ({"anatomy": {"space": "nowhere"}}, "nowhere: "),
        ({"anatomy": {"spread": 9}}, "request: 'anatomy.space' is missing"),
        ({"combination": "max"}, "request: combination = \"max\"; must be 'sum', 'mean', 'sequential' or 'band_split'"),
    ],
)
def test_requests_that_cannot_be_are_refused_by_name(method, files, parts, line):
    with pytest.raises(MedsmithError) as refusal:
        annotated_facts(request_of(files, **parts), method.fingerprint)
    assert refusal.value.line.startswith(line)


def test_organs_classes_and_overlaps_are_refused_by_name(method, files):
    space = {"space": str(files / "space.safetensors")}
    case = {"cohort": str(files / "lesions"), "case": "case_0"}
    here = {"case": case, "at": [0.5, 0.5]}
    wrong: list[tuple[dict[str, Any], str]] = [
        (
            {"anatomy": {**space, "classes": ["liver"]}},
            "anatomy.classes: no class 'liver'; there are heart, aorta, body, lung",
        ),
        ({"anatomy": space, "pathologies": [{"case": case, "within": "liver"}]}, "pathologies.0.within: no class"),
        ({"pathologies": [here, here]}, "pathologies.1: shares"),
        ({"anatomy": {**space, "labels": str(files / "lesions")}}, "case case_"),
    ]
    for parts, line in wrong:
        with pytest.raises(MedsmithError) as refusal:
            steering_of(method, request_of(files, **parts))
        assert refusal.value.line.startswith(line)
        assert "\n" not in refusal.value.line


def test_made_and_regenerated_with_every_guide_by_hash_and_no_path(files, tmp_path):
    asked = request_of(files, anatomy=True, pathologies=True, guides=True).model_dump(mode="json", exclude_unset=True)
    options = SynthesisOptions(executor=InProcessExecutor, limits=UNTRAINED)
    synthesize(files / "run", tmp_path / "out", count=2, request=asked, steps=3, workers=1, options=options)
    made = Cohort.open(tmp_path / "out")
    assert dict(made.label_names) == {"background": 0, "heart": 1, "aorta": 2, "nodule": 3}
    text = (tmp_path / "out" / "provenance" / "mddpm_00001.json").read_text()
    assert set(json.loads(text)["inputs"]) == {"anatomy.space", "guides.0.image", "pathologies.0.case"}
    assert str(files) not in text
    assert regenerate(tmp_path / "out", "mddpm_00001", options=options)


def test_noise_instead_of_an_image_is_not_written(files, tmp_path):
    """The network was trained for two steps, and nothing steers it."""
    options = SynthesisOptions(executor=InProcessExecutor, limits=Limits(attempts=2))
    with pytest.raises(MedsmithError, match="the checks refused all 2 attempts, image_noise most often"):
        synthesize(files / "run", tmp_path / "out", count=1, steps=3, workers=1, options=options)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rejected"]


def test_a_space_of_other_channels_or_gray_values_is_refused(method, files):
    space = ShapeSpace.load(files / "space.safetensors")
    anatomy = Anatomy.model_validate({"space": files / "space.safetensors"})
    drawn = space.sample(1, (EDGE, EDGE))
    facts = method.fingerprint
    hounsfield = {"full_range": ((-1024.0, 1000.0),), "stored": "int16", "absolute": True}
    for changed, line in [
        ({"channel_names": ("CT",)}, "is of channels gray; trained on CT"),
        (hounsfield, "has gray values from"),
    ]:
        with pytest.raises(RequestError) as refusal:
            RequestedAnatomy.of(anatomy).image(drawn, facts.model_copy(update=changed))
        assert refusal.value.line.startswith(f"anatomy.space: {files / 'space.safetensors'} {line}")


def test_gray_values_that_a_user_gave_need_no_channel_names(method, files):
    space = ShapeSpace.load(files / "space.safetensors")
    nameless = replace(space, record=space.record.model_copy(update={"channel_names": ()}))
    nameless.save(files / "nameless.safetensors")
    anatomy = Anatomy.model_validate({"space": files / "nameless.safetensors"})
    drawn = nameless.sample(1, (EDGE, EDGE))
    assert RequestedAnatomy.of(anatomy).image(drawn, method.fingerprint).shape == (1, EDGE, EDGE)
    with pytest.raises(RequestError, match=r"anatomy.space: .* is of channels \?; trained on a, b"):
        RequestedAnatomy.of(anatomy).image(drawn, method.fingerprint.model_copy(update={"channel_names": ("a", "b")}))


def test_anatomies_are_sampled_until_the_lesion_fits(method, files):
    """A fixed place lies in the lung of some samples alone; every seed finds one, or says that none was found."""
    space = {"space": str(files / "space.safetensors")}
    case = {"cohort": str(files / "lesions"), "case": "case_0"}
    edge = {"anatomy": space, "pathologies": [{"case": case, "within": "lung", "at": [0.21, 0.58]}]}
    attempts = [steering_of(method, request_of(files, **edge), seed).record["anatomies"] for seed in range(8)]
    assert min(attempts) == 1
    assert max(attempts) > 1
    far = request_of(files, anatomy=space, pathologies=[{"case": case, "within": "aorta", "at": [0.5, 0.5]}])
    with pytest.raises(RequestError, match=r"pathologies.0: at 0.50, 0.50, .* of the lesion lie in the aorta"):
        steering_of(method, far)


def test_a_space_that_was_replaced_is_read_again(method, files, tmp_path):
    space = ShapeSpace.load(files / "space.safetensors")
    path = tmp_path / "space.safetensors"
    space.save(path)
    request = request_of(files, anatomy={"space": str(path)})
    before = steering_of(method, request).guides["anatomy"].reference
    path.unlink()
    space.with_gray_values({"heart": (20.0,)}).save(path)
    after = steering_of(method, request).guides["anatomy"].reference
    assert not torch.equal(before, after)


def test_the_record_says_how_well_the_image_follows(method, files):
    made = method.synthesize(request_of(files, anatomy=True, pathologies=True), 1, Sampling(steps=4))
    assert set(made.provenance["adherence"]) == {
        "error anatomy", "error pathologies.0", "Dice body", "Dice lung", "contrast pathologies.0",
        "guide contrast pathologies.0",
    }  # fmt: skip


def test_an_image_without_the_anatomy_of_its_annotation_is_not_written(files, tmp_path):
    """The guide acts in the first half alone, and the network has learned nothing: no lung, but a label map."""
    asked = {"anatomy": {"space": str(files / "space.safetensors"), "until": 0.5, "classes": ["lung"]}}
    options = SynthesisOptions(executor=InProcessExecutor, limits=Limits(attempts=2, noise=1e6))
    with pytest.raises(MedsmithError, match="annotation_followed"):
        synthesize(files / "run", tmp_path / "out", count=1, request=asked, steps=3, workers=1, options=options)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rejected"]


def test_the_contrast_of_a_lesion_is_compared_with_that_in_its_guidance_image(method, files):
    """Bright in a dark lung: of an image that is the guide, both are the same."""
    lesion = [{"case": {"cohort": str(files / "lesions"), "case": "case_0"}, "factor": 1, "gray": "keep"}]
    made = method.synthesize(request_of(files, pathologies=lesion), 1, Sampling(steps=4))
    found = made.provenance["adherence"]
    own = Cohort.open(files / "lesions")["case_0"]
    mask = own.require_labels()[..., 0] == 1
    expected = lesion_contrast(own.require_image()[0, ..., 0], mask)
    assert found["guide contrast pathologies.0"] == pytest.approx(expected, abs=1)
    assert annotation_followed(made, TrainingFacts(method.fingerprint), Limits()).outcome == "passed"


def test_a_region_that_leaves_out_the_lesion_is_refused(method, files):
    region = {"region": {"cohort": str(files / "labeled"), "case": "case_3"}, "region_labels": ["aorta"]}
    case = {"cohort": str(files / "lesions"), "case": "case_0"}
    with pytest.raises(RequestError, match=r"pathologies.0.region: the region of .* leaves out the lesion; a guide"):
        steering_of(method, request_of(files, pathologies=[{"case": case, "at": [0.2, 0.55], **region}]))


def test_a_lesion_without_a_place_stays_in_the_class_that_held_it(method, files):
    """A nodule of the lung goes to the lung of the new anatomy, a heart to its body; seeds choose the place."""
    space = {"space": str(files / "space.safetensors")}
    nodule = {"case": {"cohort": str(files / "lesions"), "case": "case_0"}}
    places = []
    for seed in range(3):
        found = steering_of(method, request_of(files, anatomy=space, pathologies=[nodule]), seed)
        (lesion,) = found.lesions
        assert (lesion.mask & found.regions["lung"]).sum() >= 0.75 * lesion.mask.sum()
        places.append(tuple(lesion.at))
    assert len(set(places)) == 3
    named = steering_of(method, request_of(files, anatomy=space, pathologies=[{**nodule, "within": "lung"}]), 1)
    assert tuple(named.lesions[0].at) == places[1]
    anywhere = steering_of(method, request_of(files, anatomy=space, pathologies=[{**nodule, "at": [0.5, 0.5]}]))
    assert tuple(anywhere.lesions[0].at) == (0.5, 0.5)
    alone = steering_of(method, request_of(files, pathologies=[nodule]))
    mask = Cohort.open(files / "lesions")["case_0"].require_labels()[..., 0] == 1
    assert alone.lesions[0].at == pytest.approx((np.argwhere(mask).mean(0) + 0.5) / EDGE)


def test_a_lesion_whose_class_cannot_be_told_needs_one_named(method, files, tmp_path):
    case = Cohort.open(files / "lesions")["case_0"]
    checker = 30 + 40 * (np.indices((EDGE, EDGE)).sum(0) % 2)[None, ..., None]
    bare = replace(case, image=np.where(case.require_labels()[None] > 0, 200, checker).astype(np.float32))
    cohort = write_cohort(tmp_path / "bare", [bare])
    lesion = {"case": {"cohort": str(cohort.root), "case": "case_0"}, "gray": "keep"}
    line = r"pathologies.0: its own image does not show which class holds the nodule; there are .*; name one with"
    with pytest.raises(RequestError, match=line):
        steering_of(method, request_of(files, anatomy=True, pathologies=[lesion]))
    held = steering_of(method, request_of(files, anatomy=True, pathologies=[{**lesion, "within": "lung"}]))
    assert len(held.lesions) == 1


@pytest.mark.parametrize(("center", "expected"), [((20, 32), "lung"), ((32, 50), "body"), ((3, 3), None)])
def test_the_class_around_a_lesion_holds_it(center, expected):
    """A solid lesion of the lung is tissue to the thresholds: its surroundings decide."""
    image = np.where(disk((32, 32), 29), 120.0, 2.0)
    for side in (-12, 12):
        image[disk((32 + side, 32), 10)] = 30
    lesion = disk(center, 3)
    image[lesion] = 140
    assert holding_class(find_context(image.astype(np.float32)), lesion) == expected
