import json
import tracemalloc
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from medsmith.cases.case import Case
from medsmith.data.similarity import (
    COPY_MEASURE,
    LEAST_COPY,
    NEAR_DUPLICATE,
    copy_threshold,
    find_scenes,
    nearest,
    similarities,
    thumbnails,
)
from medsmith.geometry import Geometry
from medsmith.measurement.noise_level import noise_levels
from medsmith.runs.checkpoints import find_run, read_record, unpack
from medsmith.synthesis.checks.finished import CHECKS, check_case
from medsmith.synthesis.checks.guidance import annotation_followed
from medsmith.synthesis.checks.images import image_noise, not_a_copy
from medsmith.synthesis.checks.masks import labels_declared, labels_legal
from medsmith.synthesis.checks.result import CheckResult, Limits
from medsmith.synthesis.checks.training import TrainingFacts
from synthesis_fakes import fingerprint

SHAPE = (48, 48, 1)
LIMITS = Limits()


def image(seed):
    field = gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE[:2]), 1.5)
    return np.clip(120 + 45 * field / field.std(), 0, 255).astype(np.float32).round()[None, :, :, None]


TRAINING_IMAGES = [image(seed) for seed in range(30)]


@cache
def memory():
    small = thumbnails(TRAINING_IMAGES)
    noise = np.max([noise_levels(image * 2 / 255 - 1) for image in TRAINING_IMAGES], axis=0)
    return {
        "thumbnails": torch.from_numpy(small),
        "copy_threshold": torch.tensor(copy_threshold(small)),
        "copy_measure": torch.tensor(COPY_MEASURE),
        "noise_levels": torch.from_numpy(noise),
    }


def facts(**changes):
    return TrainingFacts.of(fingerprint(shape=SHAPE, **changes), memory())


def good_case(**changes):
    labels = np.zeros(SHAPE, np.uint8)
    labels[10:22, 12:22] = 1
    case = Case("c", image(99), labels, Geometry.plain(SHAPE), ("ultrasound",), {"background": 0, "lesion": 1})
    return replace(case, **changes)


def marked(*boxes, value=1):
    labels = np.zeros(SHAPE, np.uint8)
    for x, y, w, h in boxes:
        labels[x : x + w, y : y + h] = value
    return labels


def with_noise(deviation):
    noise = np.random.default_rng(1).normal(0, deviation, SHAPE)
    return np.clip(image(99) + noise, 0, 255).round().astype(np.float32)


def white_noise():
    return np.random.default_rng(0).uniform(0, 255, (1, *SHAPE)).round().astype(np.float32)


def with_voxel(value):
    changed = image(99)
    changed[0, 3, 4, 0] = value
    return changed


BROKEN = {
    "undeclared label": ("labels_declared", {"labels": marked((10, 12, 12, 10), value=7)}),
    "empty mask": ("mask_not_empty", {"labels": marked()}),
    "too small": ("foreground_share", {"labels": marked((5, 5, 4, 4))}),
    "too large": ("foreground_share", {"labels": marked((2, 2, 40, 40))}),
    "in pieces": ("components", {"labels": marked((2, 2, 9, 9), (20, 20, 9, 9))}),
    "no number": ("image_finite", {"image": with_voxel(np.nan)}),
    "infinite": ("image_finite", {"image": with_voxel(np.inf)}),
    "too bright": ("image_range", {"image": with_voxel(300)}),
    "too dark": ("image_range", {"image": with_voxel(-1)}),
    "constant": ("image_spread", {"image": np.full((1, *SHAPE), 90, np.float32)}),
    "one bright voxel": ("image_spread", {"image": np.full((1, *SHAPE), 90, np.float32) + (with_voxel(0) == 0)}),
    "noise alone": ("image_noise", {"image": white_noise()}),
    "a copy": ("not_a_copy", {"image": TRAINING_IMAGES[17]}),
    "a mirrored, darker copy": ("not_a_copy", {"image": (TRAINING_IMAGES[3][:, ::-1] * 0.7).copy()}),
}


def failed(case, training, limits=LIMITS):
    return {result.check for result in check_case(case, training, limits) if result.outcome == "failed"}


def test_a_good_case_passes_every_check():
    results = check_case(good_case(), facts(), LIMITS)
    assert [result.check for result in results] == [check.__name__ for check in CHECKS]
    assert {result.outcome for result in results} == {"passed"}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_case_fails_its_check(name):
    check, changes = BROKEN[name]
    assert check in failed(good_case(**changes), facts())


def test_every_check_has_a_case_that_breaks_it():
    assert {check for check, _ in BROKEN.values()} == {check.__name__ for check in CHECKS}


def test_an_empty_mask_is_allowed_where_training_has_some():
    results = check_case(good_case(labels=marked()), facts(foreground=(0.0, 0.2), components=3), LIMITS)
    outcomes = {result.check: result.outcome for result in results}
    assert outcomes["mask_not_empty"] == "not made"
    assert "failed" not in outcomes.values()


LABEL_CHECKS = {"labels_declared", "mask_not_empty", "foreground_share", "components"}


@pytest.mark.parametrize(("missing", "left"), [("labels", False), ("image", True)])
def test_what_a_case_lacks_is_not_checked(missing, left):
    """Its checks are not made; the others are unaffected."""
    results = check_case(good_case(**{missing: None}), facts(), LIMITS)
    assert {v.check for v in results if (v.outcome == "passed")} == {
        check.__name__ for check in CHECKS if (check.__name__ in LABEL_CHECKS) == left
    }
    reasons = {v.reason for v in results if v.outcome == "not made"}
    assert reasons == {f"the case has no {missing}"}


def test_the_copy_check_sees_through_the_order_of_axes():
    shape = (24, 20, 16)
    rng = np.random.default_rng(3)
    volumes = [gaussian_filter(rng.standard_normal(shape), 1.5).astype(np.float32)[None] for _ in range(12)]
    small = thumbnails(volumes)
    known = {"thumbnails": torch.from_numpy(small), "copy_threshold": torch.tensor(copy_threshold(small))}
    known["copy_measure"] = torch.tensor(COPY_MEASURE)
    turned = np.ascontiguousarray(volumes[4].transpose(0, 3, 1, 2))
    affine = np.eye(4)[[1, 2, 0, 3]]
    case = Case("c", turned, None, Geometry((16, 24, 20), affine), ("CT",), {"background": 0})
    assert "not_a_copy" in failed(case, TrainingFacts.of(fingerprint(shape=shape), known))


def test_a_threshold_is_compared_with_the_measure_that_it_is_of():
    small = thumbnails(TRAINING_IMAGES)
    inverted = good_case(image=255 - TRAINING_IMAGES[4])
    older = {"thumbnails": torch.from_numpy(small), "copy_threshold": torch.tensor(find_scenes(small).threshold)}
    newer = memory()
    scores = {}
    for name, known in (("older", older), ("newer", newer)):
        training = TrainingFacts.of(fingerprint(shape=SHAPE), known)
        scores[name] = not_a_copy(inverted, training, LIMITS)
    query = thumbnails([inverted.image])
    assert scores["older"].value == pytest.approx(similarities(query, small).max())
    assert scores["newer"].value == pytest.approx(nearest(query, small)[0][0])
    assert (scores["older"].outcome, scores["newer"].outcome) == ("passed", "failed")
    unknown = {**newer, "copy_measure": torch.tensor(99)}
    assert not_a_copy(inverted, TrainingFacts.of(fingerprint(shape=SHAPE), unknown), LIMITS).outcome == "not made"


def test_the_copy_threshold_is_the_percentile_of_the_score_that_is_compared():
    small = thumbnails(TRAINING_IMAGES)
    others = [nearest(small[[at]], np.delete(small, at, 0))[0][0] for at in range(len(small))]
    assert max(others) < NEAR_DUPLICATE  # no image has a near-duplicate
    assert copy_threshold(small) == pytest.approx(max(np.quantile(others, 0.99), LEAST_COPY), abs=1e-5)
    assert copy_threshold(small) >= find_scenes(small).threshold


def test_a_search_over_both_contrasts_has_a_threshold_of_its_own():
    """Pairs of opposite contrast are alike by the search alone."""
    rng = np.random.default_rng(3)
    images = [sign * base + rng.normal(size=SHAPE) for base in rng.normal(size=(6, *SHAPE)) for sign in (1.5, -1.5)]
    small = thumbnails([image[None].astype(np.float32) for image in images])
    assert LEAST_COPY < copy_threshold(small) < NEAR_DUPLICATE
    assert copy_threshold(small) > find_scenes(small).threshold


def test_the_check_of_labels_takes_less_memory_than_the_labels():
    shape = (96, 96, 96)
    labels = np.ones(shape, np.uint8)
    case = Case("c", np.zeros((1, *shape), np.float32), labels, Geometry.plain(shape), ("CT",), {"lesion": 1})
    tracemalloc.start()
    result = labels_declared(case, facts(), LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.outcome == "passed"
    assert peak < labels.nbytes


def test_the_copy_check_says_when_it_cannot_be_made():
    training = TrainingFacts.of(fingerprint(shape=SHAPE), {"noise_levels": torch.ones(1)})
    last = check_case(good_case(image=TRAINING_IMAGES[0]), training, LIMITS)[-1]
    assert (last.check, last.outcome) == ("not_a_copy", "not made")
    assert "keeps no thumbnails" in last.as_json()["reason"]


def test_the_noise_check_compares_with_the_noisiest_training_image():
    largest = float(memory()["noise_levels"][0]) * 255 / 2
    for factor, outcome in ((0, "passed"), (2, "failed")):
        result = image_noise(good_case(image=with_noise(factor * largest)), facts(), LIMITS)
        assert (result.outcome, result.high) == (outcome, 1.5)
    value = image_noise(good_case(image=with_noise(2 * largest)), facts(), LIMITS).value
    own = noise_levels(with_noise(2 * largest) * 2 / 255 - 1) / memory()["noise_levels"].numpy()
    assert value == pytest.approx(float(own[0]), rel=1e-4)
    assert image_noise(good_case(image=with_noise(2 * largest)), facts(), Limits(noise=3)).outcome == "passed"


def test_the_noisier_channel_decides():
    two = fingerprint(
        shape=SHAPE,
        channel_names=("t1", "t2"),
        full_range=((0.0, 255.0), (0.0, 510.0)),
        robust_range=((20.0, 220.0), (0.0, 400.0)),
    )
    known = {"noise_levels": memory()["noise_levels"].repeat(2)}
    quiet = np.concatenate([image(99), 2 * image(98)])
    noisy = np.concatenate([image(99), 2 * white_noise()])
    for values, outcome in ((quiet, "passed"), (noisy, "failed")):
        case = good_case(image=values, channel_names=("t1", "t2"))
        assert image_noise(case, TrainingFacts.of(two, known), LIMITS).outcome == outcome


def test_noise_below_a_gray_value_is_not_noise():
    """Training images without any noise refuse no image for noise that nobody can see."""
    known = TrainingFacts.of(fingerprint(shape=SHAPE), {"noise_levels": torch.zeros(1)})
    flat = np.broadcast_to(np.linspace(30, 200, SHAPE[0], dtype=np.float32)[None, :, None, None], (1, *SHAPE))
    noise = np.random.default_rng(1).normal(0, 1, (1, *SHAPE))
    for gray_values, outcome in ((1, "passed"), (3, "failed")):
        case = good_case(image=(flat + gray_values * noise).astype(np.float32))
        assert image_noise(case, known, LIMITS).outcome == outcome


@pytest.mark.parametrize("run", ["mddpm", "pig"])
def test_runs_without_noise_levels_are_not_checked_for_noise(run):
    record = read_record(find_run(run))
    known = TrainingFacts.of(record.fingerprint, unpack(find_run(run) / "memory.safetensors"))
    assert known.thumbnails is not None
    result = image_noise(good_case(image=white_noise()), known, LIMITS)
    assert (result.outcome, result.reason) == ("not made", "the run keeps no noise levels to compare with")


def test_limits_are_the_users():
    small = good_case(labels=marked((5, 5, 4, 4)))
    assert failed(small, facts()) == {"foreground_share"}
    assert failed(small, facts(), Limits(foreground=(0.1, 1.5))) == set()
    pieces = good_case(**BROKEN["in pieces"][1])
    assert failed(pieces, facts(), Limits(components=2, foreground=(0, 9))) == set()
    assert failed(pieces, facts(), Limits(components=1.9, foreground=(0, 9))) == {"components"}
    odd = replace(good_case(), provenance={"label_problems": ["2 pieces of heart"]})
    assert labels_legal(odd, facts(), LIMITS).outcome == "failed"
    assert labels_legal(odd, facts(), Limits(label_problems=1)).outcome == "passed"
    bright = good_case(**BROKEN["too bright"][1])
    assert failed(bright, facts(), Limits(beyond_range=0.2)) == set()
    assert failed(bright, facts(), Limits(beyond_range=0.1)) == {"image_range"}


@pytest.mark.parametrize(("name", "other"), [("components", 2), ("label_problems", 1), ("beyond_range", 0.2)])
def test_limits_that_are_the_usual_ones_leave_records_as_they_were(name, other):
    assert name not in Limits().model_dump()
    assert Limits(**{name: other}).model_dump()[name] == other


def test_channels_are_checked_one_by_one():
    two = fingerprint(
        shape=SHAPE,
        channel_names=("t1", "t2"),
        full_range=((0.0, 255.0), (0.0, 1.0)),
        robust_range=((20.0, 220.0), (0.0, 1.0)),
    )
    case = good_case(image=np.concatenate([image(99), image(98)]), channel_names=("t1", "t2"))
    assert failed(case, TrainingFacts.of(two, {})) == {"image_range"}


@pytest.mark.parametrize(("value", "outcome"), [(0.9, "failed"), (1, "passed"), (2, "passed"), (2.1, "failed")])
def test_limits_are_inclusive(value, outcome):
    assert CheckResult.of("x", value, 1, 2).outcome == outcome


def test_no_number_fails():
    assert CheckResult.of("x", float("nan")).outcome == "failed"


def test_provenance_hides_the_last_bits():
    first, second = (CheckResult.of("x", 0.1 + bit, high=1 / 3).as_json() for bit in (0, 1e-12))
    assert json.dumps(first) == json.dumps(second)
    assert first["high"] == 0.333333


@pytest.mark.parametrize(
    ("adherence", "count"),
    [
        ({"Dice lung": 0.5, "Dice body": 0.97}, 0),
        ({"Dice lung": 0.49, "Dice body": 0.97}, 1),
        ({"Dice lung": 0.2, "Dice body": 0.3}, 2),
        ({"contrast pathologies.0": 20.0, "guide contrast pathologies.0": 80.0}, 0),
        ({"contrast pathologies.0": 19.0, "guide contrast pathologies.0": 80.0}, 1),
        ({"contrast pathologies.0": -80.0, "guide contrast pathologies.0": 80.0}, 1),
        ({"contrast pathologies.0": -30.0, "guide contrast pathologies.0": -80.0}, 0),
        ({"contrast pathologies.0": 60.0, "guide contrast pathologies.0": 80.0, "Dice lung": 0.4}, 1),
    ],
)
def test_an_annotation_that_the_image_does_not_follow_is_counted(adherence, count):
    result = annotation_followed(good_case(provenance={"adherence": adherence}), facts(), LIMITS)
    assert (result.outcome, result.value) == ("failed" if count else "passed", count)


def test_what_was_not_measured_of_the_annotation_is_not_checked():
    for record in (None, {}, {"adherence": {"error guides.0": 0.4}}):
        assert annotation_followed(good_case(provenance=record), facts(), LIMITS).outcome == "not made"
    asked = Limits(region_dice=0.2, lesion_contrast=0.1)
    found = {"Dice lung": 0.3, "contrast pathologies.0": 9.0, "guide contrast pathologies.0": 80.0}
    assert annotation_followed(good_case(provenance={"adherence": found}), facts(), LIMITS).value == 2
    assert annotation_followed(good_case(provenance={"adherence": found}), facts(), asked).outcome == "passed"
