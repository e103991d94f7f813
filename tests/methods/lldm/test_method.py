"""3D-LLDM: its stages, the equations of synthesis, and given label maps."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import micro
from medsmith.cases.cohort import Cohort
from medsmith.data.fingerprint import take_fingerprint
from medsmith.data.scaling import model_to_image, to_grid
from medsmith.diffusion import SeededNoise, derive_seed
from medsmith.errors import RequestError, RunError
from medsmith.geometry import Geometry
from medsmith.methods.config import apply_settings
from medsmith.methods.label_maps import over
from medsmith.methods.lldm import Lldm
from medsmith.methods.lldm.config import LldmConfig
from medsmith.methods.lldm.controls import Condition
from medsmith.methods.lldm.label_bank import kept_map, number_kept
from medsmith.methods.lldm.label_source import training_map
from medsmith.methods.lldm.synthesis import latent_factor
from medsmith.networks.vqgan import VQGAN
from medsmith.synthesis.checks.masks import labels_legal
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.checks.training import TrainingFacts

SETTINGS = micro.micro_settings("lldm", Lldm, 3)


def prepared(cases, *settings):
    """A method that has begun all its stages on some cases; nothing is trained."""
    facts = take_fingerprint(cases, ".nii.gz", "0" * 64)
    torch.manual_seed(0)
    method = Lldm(apply_settings(LldmConfig(), (*SETTINGS, *settings)), facts).eval()
    examples = [method.prepare(case) for case in cases]
    for stage in method.stages():
        method.memory = {**method.memory, **method.begin(stage.name, examples)}
    return method, examples


@pytest.fixture(scope="module")
def cases():
    return [micro.micro_case(index, 3, 2) for index in range(4)]


@pytest.fixture(scope="module")
def method(cases):
    return prepared(cases)[0]


def made(method, seed=1, **request):
    return method.synthesize(method.Request(**request), seed, method.config.sampling)


def test_what_a_cohort_lacks_is_not_trained(cases):
    whole, _ = prepared(cases)
    assert [stage.name for stage in whole.stages()] == [
        "label_autoencoder", "label_diffusion", "image_autoencoder", "image_diffusion", "control_labels",
    ]  # fmt: skip
    maps, _ = prepared([replace(case, image=None, channel_names=()) for case in cases])
    assert [stage.name for stage in maps.stages()] == ["label_autoencoder", "label_diffusion"]
    assert made(maps).image is None
    assert made(maps).labels is not None
    names = {"background": 0}
    images, _ = prepared([replace(case, labels=None, label_names=names) for case in cases])
    assert [stage.name for stage in images.stages()] == ["image_autoencoder", "image_diffusion"]
    assert made(images).labels is None
    assert made(images).image is not None


def test_a_request_that_spells_out_its_defaults_is_an_empty_one(cases):
    """The plan of a synthesis does."""
    spelled = Lldm.Request().model_dump(mode="json")
    images, _ = prepared([replace(case, labels=None, label_names={"background": 0}) for case in cases])
    maps, _ = prepared([replace(case, image=None, channel_names=()) for case in cases])
    for method in (images, maps):
        one, other = made(method), made(method, **spelled)
        for part in ("image", "labels"):
            assert np.array_equal(getattr(one, part), getattr(other, part))


def awake(network):
    """The network with normal weights in place of zeros, so that every input matters."""
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(5))
    return network


def states(*seeds):
    return [SeededNoise((seed,))(4, 4, 4, 4) for seed in seeds]


def test_an_untrained_controlnet_changes_no_bit(cases):
    method, _ = prepared(cases)
    (x, condition), t, extent = states(3, 4), torch.tensor([7]), torch.zeros(1, 3)
    awake(method.image_network)
    with torch.no_grad():
        plain = method.image_from(extent)(x, t)
        full, none = ([Condition("labels", condition, weight)] for weight in (1.0, 0.0))
        assert torch.equal(method.controlled(full, extent)(x, t), plain)
        awake(method.control("labels"))
        assert not torch.equal(method.controlled(full, extent)(x, t), plain)
        assert torch.equal(method.controlled(none, extent)(x, t), plain)


def test_a_generated_latent_is_decoded_and_encoded_again_before_it_conditions(method, monkeypatch):
    """Equation 4: the condition is the latent of a map of labels, not the latent that was generated."""
    encoded: list[torch.Tensor] = []
    conditions: list[torch.Tensor] = []
    label_state, controlled = type(method).label_state, type(method).controlled

    def watched_state(self, labels):
        encoded.append(labels)
        return label_state(self, labels)

    def watched_control(self, given, extent):
        conditions.extend(each.state for each in given)
        return controlled(self, given, extent)

    monkeypatch.setattr(type(method), "label_state", watched_state)
    monkeypatch.setattr(type(method), "controlled", watched_control)
    made(method, draws=1)
    (labels,), (condition,) = encoded, conditions
    assert labels.shape == (1, 8, 8, 8)
    assert set(labels.unique().tolist()) <= {0, 1, 2}
    assert torch.equal(condition, label_state(method, labels))


def test_the_scale_of_latents_is_one(method, cases):
    with torch.no_grad():
        states = torch.cat([method.label_state(method.prepare(case)["labels"]) for case in cases])
    rows = states.movedim(1, 0).flatten(1)
    torch.testing.assert_close(rows.mean(1), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(rows.std(1, unbiased=False), torch.ones(4), atol=1e-4, rtol=0)


def test_rare_classes_weigh_more_and_the_mean_is_one(cases):
    weights = prepared(cases)[0].memory["class_weights"]
    assert weights[0] < weights[1:].min()
    assert weights.mean() == pytest.approx(1)
    equal = prepared(cases, "class_weight=0")[0].memory["class_weights"]
    assert equal.tolist() == [1, 1, 1]


def test_label_latents_get_noise_when_the_controlnet_is_trained(cases):
    losses = []
    for noise in (0.0, 0.5):
        method, examples = prepared(cases, f"label_noise={noise}")
        awake(method.image_network)
        awake(method.control("labels"))
        encoded = [method.encode("control_labels", example) for example in examples]
        batch = {key: torch.stack([each[key] for each in encoded]) for key in encoded[0]}
        losses.append(float(method.loss("controls.labels", batch, torch.Generator().manual_seed(0)).detach()))
    assert losses[0] != losses[1]


def test_images_follow_several_seeds_of_one_map_and_each_seed_gives_the_same_bytes(method, cases, tmp_path):
    cohort = written(cases, tmp_path / "c")
    given = {"labels": {"cohort": str(cohort.root), "case": "case_0"}}
    one, again, other = made(method, 1, **given), made(method, 1, **given), made(method, 2, **given)
    assert np.array_equal(one.image, again.image)
    assert not np.array_equal(one.image, other.image)
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.labels > 0, other.labels > 0)


def test_previews_draw_one_map_for_each_case(method):
    for case in method.preview(2):
        assert case.provenance["label_draws"] == 1


def test_deformed_maps_have_the_training_maps_classes(method):
    drawn = [made(method, seed, maps="deformed").labels for seed in range(6)]
    assert {value for labels in drawn for value in np.unique(labels)} == {0, 1, 2}
    assert len({labels.tobytes() for labels in drawn}) == 6


def test_a_run_keeps_as_many_maps_as_it_is_told(cases):
    few, _ = prepared(cases, "kept_maps=2")
    assert number_kept(few.memory) == 2
    none, _ = prepared(cases, "kept_maps=0")
    assert not any(name.startswith("label_maps") for name in none.memory)
    assert made(none).labels is not None
    with pytest.raises(RequestError, match="keeps no label maps"):
        made(none, maps="deformed")


@pytest.mark.parametrize("asked", [{"maps": "deformed"}, {"labels": {"cohort": "maps"}}, {"control": 3.0}])
def test_a_run_of_images_alone_refuses_label_maps(cases, asked):
    images, _ = prepared([replace(case, labels=None, label_names={"background": 0}) for case in cases])
    with pytest.raises(RequestError, match="trained on images alone"):
        made(images, **asked)


def test_kept_maps_are_the_training_maps(cases):
    method, examples = prepared([cases[0], wide(cases[1]), *cases[2:]])
    for index, example in enumerate(examples):
        labels, extent = kept_map(method.memory, index, method.config.size, method.classes)
        assert np.array_equal(labels, example["labels"][0].numpy())
        assert torch.equal(extent, example["extent"])


def test_a_run_may_deform_maps_unless_asked_otherwise(cases):
    method, _ = prepared(cases, "maps=deformed")
    assert "training_map" in made(method).provenance
    assert "training_map" not in made(method, maps="generated", draws=1).provenance


def test_a_deformed_map_keeps_its_field_of_view(cases):
    method, examples = prepared([wide(cases[0]), *cases[1:]], "extent_condition=spacing")
    found = [training_map(method.memory, method.fingerprint, method.config, seed) for seed in range(30)]
    assert {drawn.origin["training_map"] for drawn in found} == {0, 1, 2, 3}
    for drawn in found:
        assert drawn.extent is not None
        assert torch.equal(drawn.extent, examples[drawn.origin["training_map"]]["extent"])
    case = made(method, maps="deformed")
    extent = examples[case.provenance["training_map"]]["extent"]
    assert case.geometry.spacing[0] == pytest.approx(method.fingerprint.spacing[0] * float(extent[0].exp()))


def test_images_and_maps_without_a_pair_are_refused_at_once(cases):
    apart = [replace(cases[0], labels=None), replace(cases[1], image=None)]
    with pytest.raises(RequestError, match="no case has an image and labels; the ControlNet learns from such pairs"):
        prepared(apart)


def test_a_cohort_gives_the_maps_that_fit(method, cases, tmp_path):
    cohort = written([empty_but_one(cases[0]), *cases[1:]], tmp_path / "c")
    found = [made(method, seed, labels={"cohort": str(cohort.root)}).provenance for seed in range(8)]
    assert {record["cases"]["labels"] for record in found} <= {"case_1", "case_2", "case_3"}
    assert any(record.get("passed_over") == ["case_0"] for record in found)
    none = written([empty_but_one(case) for case in cases], tmp_path / "none")
    with pytest.raises(RequestError, match="unlike all training maps"):
        made(method, labels={"cohort": str(none.root)})


def test_an_image_lies_where_its_map_lies(method, cases, tmp_path):
    affine = cases[0].geometry.affine.copy()
    affine[:3, 3] = (-30, 12, 7)
    finer = replace(cases[0], geometry=Geometry(cases[0].geometry.shape, affine))
    cohort = written([finer, *cases[1:]], tmp_path / "c")
    given = cohort["case_0"].geometry
    case = made(method, labels={"cohort": str(cohort.root), "case": "case_0"})
    for geometry in (given, case.geometry):
        corner = geometry.affine @ [*(-0.5,) * 3, 1]
        opposite = geometry.affine @ [*(n - 0.5 for n in geometry.shape), 1]
        np.testing.assert_allclose(corner, given.affine @ [-0.5, -0.5, -0.5, 1], atol=1e-4)
        np.testing.assert_allclose(opposite, given.affine @ [*(n - 0.5 for n in given.shape), 1], atol=1e-4)
    coarse = over(Geometry((3, 5, 3), np.eye(4)), given)
    np.testing.assert_allclose(coarse.affine @ [-0.5, -0.5, -0.5, 1], given.affine @ [-0.5, -0.5, -0.5, 1], atol=1e-4)
    np.testing.assert_allclose(np.prod(coarse.spacing) * 45, np.prod(given.spacing) * np.prod(given.shape), rtol=1e-5)


def test_given_and_deformed_maps_exclude_each_other(method):
    with pytest.raises(ValueError, match="given or made, not both"):
        method.Request(labels={"cohort": "maps"}, maps="deformed")


def test_given_maps_are_deformed_where_asked_and_named(method, cases, tmp_path):
    cohort = written(cases, tmp_path / "c")
    given = {"labels": {"cohort": str(cohort.root), "case": "case_1"}, "augment_labels": {}}
    made_cases = [made(method, seed, **given) for seed in range(4)]
    plain = made(method, 0, labels=given["labels"])
    for case in made_cases:
        assert case.provenance["cases"] == {"labels": "case_1"}
        assert case.provenance["deformation"].keys() == {"rotation_degrees", "stretch", "shift", "elastic"}
        assert {"label_draws", "label_problems"} <= case.provenance.keys()
        np.testing.assert_allclose(case.geometry.affine, plain.geometry.affine)
        assert not np.array_equal(case.labels, plain.labels)
    assert len({case.labels.tobytes() for case in made_cases}) == 4
    flagged = made(method, 0, **given, unusual="flag")
    assert "label_problems" not in flagged.provenance


def test_maps_of_training_are_deformed_as_far_as_asked(method):
    far, near = (made(method, 2, augment_labels={"shift": shift}, draws=1).provenance for shift in (0.4, 0.0))
    assert far["training_map"] == near["training_map"]
    assert near["deformation"]["shift"] == [0, 0, 0]
    assert np.abs(far["deformation"]["shift"]).max() > 0.1
    with pytest.raises(ValueError, match="maps from noise are not deformed"):
        method.Request(maps="generated", augment_labels={})


@pytest.mark.parametrize(("factor", "latent", "found"), [(1, 4, 1), (2, 4, 2), (4, 4, 2), (8, 2, 4), (9, 2, 5)])
def test_a_coarse_guide_never_becomes_the_whole_image(factor, latent, found):
    assert latent_factor(factor, latent) == found


def written(cases, folder, names=None):
    names = names or cases[0].label_names
    cohort = Cohort.create(folder, channel_names=("MR",), label_names=names, file_ending=".nii.gz")
    for case in cases:
        cohort.write(replace(case, label_names=names))
    cohort.finish()
    return Cohort.open(folder)


def wide(case):
    return replace(case, geometry=Geometry(case.geometry.shape, case.geometry.affine @ np.diag([2.0, 1, 1, 1])))


def empty_but_one(case):
    labels = np.zeros_like(case.labels)
    labels[5:9, 5:9, 4:8] = 1
    return replace(case, labels=labels)


@pytest.mark.parametrize(
    ("change", "names", "said"),
    [
        (lambda case: case, {"background": 0, "mass": 1, "bone": 2}, "has label 'bone'; trained on mass, cyst; rename"),
        (wide, None, "shows 12 x 5 x 18 mm; trained on 6 x 5 x 18 mm; give one of that field of view"),
        (
            empty_but_one,
            None,
            "is unlike all training maps: classes that never occur together, contact of background with mass; see",
        ),
    ],
)
def test_a_map_unlike_training_is_refused_by_what_is_unlike(method, cases, tmp_path, change, names, said):
    cohort = written([change(case) for case in cases], tmp_path / "c", names)
    with pytest.raises(RequestError, match=re.escape(said)):
        made(method, labels={"cohort": str(cohort.root), "case": "case_0"})


def test_an_unusual_map_is_flagged_where_asked(method, cases, tmp_path):
    cohort = written([empty_but_one(case) for case in cases], tmp_path / "c")
    case = made(method, labels={"cohort": str(cohort.root), "case": "case_0"}, unusual="flag")
    assert "classes that never occur together" in case.provenance["unusual"]
    assert labels_legal(case, TrainingFacts(method.fingerprint), Limits()).outcome == "not made"


def test_a_map_of_a_slice_is_refused(method, tmp_path):
    slices = [micro.micro_case(index, 2, 2) for index in range(2)]
    cohort = Cohort.create(
        tmp_path / "c", channel_names=("ultrasound",), label_names=slices[0].label_names, file_ending=".png"
    )
    for case in slices:
        cohort.write(case)
    cohort.finish()
    with pytest.raises(RequestError, match="is 2-D; trained on 3-D"):
        made(method, labels={"cohort": str(cohort.root)})


def test_guides_act_on_latents_of_images(method, cases, tmp_path):
    """A guide that takes all frequencies to the end gives the guide's own latent."""
    cohort = written(cases, tmp_path / "c")
    guide = {"image": {"cohort": str(cohort.root), "case": "case_0"}, "factor": 1, "until": 0}
    guided = made(method, guides=[guide], maps="deformed").image
    with torch.no_grad():
        state = method.image_autoencoder.encode(method.prepare(cases[0])["image"][None])
        wanted = method.image_autoencoder.decode(state)[0].clamp(-1, 1)
    expected = model_to_image(to_grid(wanted, method.fingerprint.shape), method.fingerprint)
    np.testing.assert_allclose(guided, expected, atol=2)


def test_a_field_of_view_is_a_condition_where_trained_so(cases):
    spread = [cases[0], cases[1], wide(cases[2]), cases[3]]
    method, examples = prepared(spread, "extent_condition=spacing")
    assert [round(float(each["extent"][0]), 4) for each in examples] == [0, 0, round(float(np.log(2)), 4), 0]
    assert made(method, extent_mm=(9, 5, 18)).geometry.spacing[0] * 12 == pytest.approx(9)
    with pytest.raises(RequestError, match=r"extent_mm: 20 x 5 x 18 mm; trained on 6 to 12 x 5 to 5 x 18 to 18 mm"):
        made(method, extent_mm=(20, 5, 18))
    with pytest.raises(
        RequestError, match=r"extent_mm: .*e-324 x 5 x 18 mm; trained on 6 to 12 x 5 to 5 x 18 to 18 mm"
    ):
        made(method, extent_mm=(5e-324, 5, 18))
    with pytest.raises(RequestError, match="trained without fields of view; leave it out, or train with --set"):
        made(prepared(cases)[0], extent_mm=(6, 5, 18))
    (x,), t = states(1), torch.tensor([7])
    awake(method.image_network)
    with torch.no_grad():
        near, far = (method.image_from(torch.full((1, 3), value))(x, t) for value in (0.0, 0.5))
    assert not torch.equal(near, far)


BOTH = 'controls=[{"name": "organ", "labels": ["mass"]}, {"name": "lesion", "labels": ["cyst"]}]'


def test_controlnets_see_their_labels_and_add_up_by_weight(cases):
    method, examples = prepared(cases, BOTH)
    assert [stage.name for stage in method.stages()][-2:] == ["control_organ", "control_lesion"]
    labels = examples[0]["labels"]
    organ, lesion = (method.encode(f"control_{name}", examples[0])["label_state"] for name in ("organ", "lesion"))
    with torch.no_grad():
        assert torch.equal(organ, method.label_state(torch.where(labels == 1, 1, 0).to(torch.uint8))[0])
        assert torch.equal(lesion, method.label_state(torch.where(labels == 2, 2, 0).to(torch.uint8))[0])
        for network in (method.image_network, method.control("organ"), method.control("lesion")):
            awake(network)
        (x,), t, extent = states(3), torch.tensor([7]), torch.zeros(1, 3)
        weights = [{"organ": 1.0, "lesion": 0.0}, {"organ": 0.0, "lesion": 1.0}, {"organ": 1.0, "lesion": 1.0}]
        made_by = [method.controlled(method.conditions(labels, each), extent)(x, t) for each in weights]
        alone = method.controlled(method.conditions(labels, weights[0])[:1], extent)(x, t)
    assert torch.equal(made_by[0], alone)
    assert len({tensor.numpy().tobytes() for tensor in made_by}) == 3


def test_weights_of_controlnets_are_asked_by_name(cases):
    method, _ = prepared(cases, BOTH)
    assert made(method, control={"lesion": 0.5}).image is not None
    with pytest.raises(RequestError, match="control: no ControlNet 'bone'; there are organ, lesion"):
        made(method, control={"bone": 1.0})
    with pytest.raises(RequestError, match=r"controls\.a: no label 'bone'; there are mass, cyst; choose of these"):
        prepared(cases, 'controls=[{"name": "a", "labels": ["bone"]}]')


def test_a_vqgan_takes_the_place_of_the_kl_autoencoder(cases):
    method, examples = prepared(cases, "image_autoencoder.codes=16")
    assert isinstance(method.image_autoencoder, VQGAN)
    batch = {"image": torch.stack([example["image"] for example in examples])}
    losses = [
        method.loss(part, batch, torch.Generator().manual_seed(0)) for part in ("image_autoencoder", "discriminators")
    ]
    assert all(torch.isfinite(loss) for loss in losses)
    assert made(method).image is not None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (('controls=[{"name": "a"}, {"name": "a"}]',), "controls: the names a, a are not different"),
        (("size=[9,8,8]",), "every axis must be a multiple of 2"),
        (("image_autoencoder.channels=[4,4,4]",), "the autoencoders reduce the grid by 2 and 4: they must agree"),
        (("sampling.solver=ddpm",), "--set"),
        (("maps=deformed", "kept_maps=0"), "maps = deformed, but kept_maps = 0: deformed maps need some"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, said):
    with pytest.raises(RequestError, match=re.escape(said)):
        apply_settings(LldmConfig(), (*SETTINGS, *settings))


def test_draws_are_counted_and_end(method):
    case = made(method, derive_seed(1, "x"), draws=3)
    assert 1 <= case.provenance["label_draws"] <= 3
    assert case.provenance["label_draws"] == 3 or not case.provenance["label_problems"]
    outcome = labels_legal(case, TrainingFacts(method.fingerprint), Limits()).outcome
    assert outcome == ("failed" if case.provenance["label_problems"] else "passed")


def test_a_perceptual_loss_is_added_where_weights_are_at_hand_and_stays(cases, monkeypatch):
    method, examples = prepared(cases)
    batch = {"image": torch.stack([example["image"] for example in examples])}

    def loss():
        method.image_autoencoder.steps.zero_()
        return float(method.loss("image_autoencoder", batch, torch.Generator().manual_seed(0)).detach())

    plain = loss()
    monkeypatch.setattr("medsmith.methods.lldm.perceptual_distance", lambda _device: lambda *_: torch.tensor(0.25))
    with pytest.raises(RunError, match="began without a perceptual loss; one loss in a run; unset MEDSMITH_VGG16"):
        loss()
    method.memory = {**method.memory, "perceptual": torch.tensor(True)}
    assert loss() == pytest.approx(plain + 0.25, rel=1e-5)


def test_names_of_controlnets_that_torch_reserves_are_refused():
    for name in ("keys", "forward", "training", "type"):
        with pytest.raises(RequestError, match=f"{name} is reserved; choose another name"):
            apply_settings(LldmConfig(), (*SETTINGS, f'controls=[{{"name": "{name}"}}]'))


def test_a_run_of_label_maps_alone_refuses_what_acts_on_images(cases, tmp_path):
    method, _ = prepared([replace(case, image=None, channel_names=()) for case in cases])
    cohort = written(cases, tmp_path / "c")
    for asked in ({"guides": [{"image": {"cohort": str(cohort.root)}, "factor": 4}]}, {"control": 2.0}):
        with pytest.raises(
            RequestError, match="acts on images; this run was trained on label maps alone; leave it out"
        ):
            made(method, **asked)
    assert made(method).image is None


@pytest.mark.parametrize("field", ["control", "guidance"])
def test_a_weight_is_a_number(method, field):
    with pytest.raises(ValueError, match=field):
        method.Request(**{field: True})


@pytest.mark.parametrize(
    "damage",
    [
        {"label_maps": torch.zeros(3, dtype=torch.uint8)},
        {"label_maps.ends": torch.tensor([0, 2, 3, 4])},
        {"label_maps.ends": torch.tensor([1.5, 2.0, 3.0, 4.0])},
        {"label_maps.extents": torch.full((4, 3), float("nan"))},
        {"label_maps.extents": torch.zeros(1, 2)},
    ],
)
def test_damaged_label_maps_are_refused_in_one_line(method, damage):
    memory = {**method.memory, **damage}
    with pytest.raises(RunError, match=r"memory\.safetensors: label map 0 is damaged; copy the run again"):
        kept_map(memory, 0, method.config.size, method.classes)
    with pytest.raises(RunError, match="is damaged"):
        kept_map(method.memory, 0, method.config.size, 1)


def test_a_name_that_no_folder_can_have_is_refused_before_training():
    """Checkpoints and latents of a ControlNet have folders with its name."""
    with pytest.raises(RequestError, match=r"controls.0.name = .*; must have at most 64 characters"):
        apply_settings(LldmConfig(), (*SETTINGS, f'controls=[{{"name": "{"a" * 65}"}}]'))
