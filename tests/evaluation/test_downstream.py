import importlib
import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import micro
from medsmith import Budget, train
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, MedsmithError, RequestError, RunError
from medsmith.evaluation.downstream import segmenter
from medsmith.evaluation.downstream.arms import plan_arms
from medsmith.evaluation.downstream.loaded_cohort import hash_of, load_cohort
from medsmith.evaluation.downstream.result import summarize_arm
from medsmith.evaluation.downstream.segmenter import SegmenterConfig, dice_of_cases, train_segmenter
from medsmith.evaluation.downstream.utility import utility
from medsmith.formats.lock import hold_output
from medsmith.geometry import Geometry
from medsmith.methods import method_class

QUICK = SegmenterConfig(steps=3, batch=4, channels=4)


def make_cohort(root, count, seed, *, shape=(24, 24, 1), synthetic=False, label="mass", copies=()):
    """Noise with one bright box per case; ``copies`` are written as further cases."""
    flat = shape[2] == 1
    cohort = Cohort.create(
        root,
        channel_names=("ultrasound",),
        label_names={"background": 0, label: 1},
        file_ending=".png" if flat else ".nii.gz",
    )
    rng = np.random.default_rng(seed)
    for number in range(count):
        labels = np.zeros(shape, np.uint8)
        x, y = rng.integers(2, shape[0] - 10, 2)
        labels[x : x + 8, y : y + 8, : None if flat else 6] = 1
        image = np.rint(np.clip(rng.normal(80, 25, shape) + 90 * labels, 0, 255)).astype(np.float32)
        cohort.write(a_case(f"case-{number:03d}", image, labels, cohort, synthetic))
    for number, case in enumerate(copies):
        cohort.write(a_case(f"copy-{number:03d}", case.image[0], case.labels, cohort, synthetic))
    cohort.finish()
    return cohort


def a_case(name, image, labels, cohort, synthetic):
    flat = labels.shape[2] == 1
    return Case(
        id=name,
        image=image[None],
        labels=labels,
        geometry=Geometry.plain(labels.shape) if flat else Geometry(labels.shape, np.eye(4)),
        channel_names=cohort.channel_names,
        label_names=cohort.label_names,
        stored=np.dtype(np.uint8 if flat else np.int16),
        provenance={"seed": 0} if synthetic else None,
    )


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    root = tmp_path_factory.mktemp("utility")
    return (
        make_cohort(root / "real", 6, 0),
        make_cohort(root / "synthetic", 12, 1, shape=(16, 16, 1), synthetic=True),
        make_cohort(root / "test", 5, 2),
    )


def of_all(cohorts, out, **named):
    real, synthetic, test = cohorts
    return utility(real, synthetic, test, out, **named)


def pool(cohort, edge=24):
    return load_cohort(cohort, edge, lambda *_: None)


def test_every_arm_is_run_and_written(cohorts, tmp_path):
    found = of_all(cohorts, tmp_path, seeds=2, config=QUICK, facts={"machine": "<b>"})
    assert [(r.arm.name, r.arm.real, r.arm.synthetic) for r in found.arms] == [
        ("real", 6, 0),
        ("synthetic", 0, 12),
        ("synthetic then real", 6, 12),
        ("real+0.5x", 6, 3),
        ("real+1x", 6, 6),
        ("real+2x", 6, 12),
    ]
    assert all(r.dice.n == 5 and len(r.seeds) == 2 for r in found.arms)
    assert found.arms[0].gain is None
    assert json.loads((tmp_path / "utility.json").read_text())["arms"]["real+1x"]["synthetic_cases"] == 6
    page = (tmp_path / "utility.html").read_text()
    assert "not for diagnosis" in page
    assert "&lt;b&gt;" in page
    assert set(re.findall(r'src="(.{15})', page)) == {"data:image/png;"}


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [([0.05, 0.06], "a gain"), ([-0.05, -0.06], "a loss"), ([0.2, -0.01], "no difference"), ([0.0, 0.0], "no diff")],
)
def test_a_gain_is_called_so_only_where_every_seed_agrees(gains, verdict):
    of_real = np.full((2, 30, 1), 0.5)
    scores = of_real + np.array(gains)[:, None, None] + np.linspace(-0.01, 0.01, 30)[None, :, None]
    arm = plan_arms(4, 4, [1])[3]
    found = summarize_arm(arm, scores, of_real, ("mass",), np.ones(30, bool))
    assert found.verdict.startswith(verdict)
    assert found.seed_gains == pytest.approx(gains)


def test_a_stopped_run_continues_and_ends_with_the_same_bytes(cohorts, tmp_path, monkeypatch):
    calm, broken = tmp_path / "calm", tmp_path / "broken"
    of_all(cohorts, calm, ratios=[1], seeds=1, config=QUICK)
    trained, train = [], segmenter.train_segmenter

    def dies_in_the_second(*args):
        trained.append(1)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*args)

    monkeypatch.setattr(
        importlib.import_module("medsmith.evaluation.downstream.utility"), "train_segmenter", dies_in_the_second
    )
    with pytest.raises(KeyboardInterrupt):
        of_all(cohorts, broken, ratios=[1], seeds=1, config=QUICK)
    of_all(cohorts, broken, ratios=[1], seeds=1, config=QUICK)
    assert len(trained) == 2 + 3
    for path in sorted(calm.rglob("*.*")):
        assert path.read_bytes() == (broken / path.relative_to(calm)).read_bytes()


def test_results_of_other_settings_are_not_mixed(cohorts, tmp_path):
    of_all(cohorts, tmp_path, ratios=[1], seeds=1, config=QUICK)
    with pytest.raises(RunError, match="another training"):
        of_all(cohorts, tmp_path, ratios=[1], seeds=1, config=QUICK.model_copy(update={"steps": 4}))


@pytest.mark.parametrize("place", ["real", "synthetic"])
def test_a_test_image_in_training_is_refused_by_name(cohorts, tmp_path, place):
    real, synthetic, test = cohorts
    stolen = [test[test.ids[3]]]
    if place == "real":
        real = make_cohort(tmp_path / "leaky", 4, 5, copies=stolen)
    else:
        synthetic = make_cohort(tmp_path / "leaky", 8, 5, synthetic=True, copies=stolen)
    with pytest.raises(CohortError, match=f"1 test images are among the {place} ones \\(case-003 is copy-000\\)"):
        utility(real, synthetic, test, tmp_path / "out", ratios=[1], seeds=1, config=QUICK)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["utility.json", "utility.html", "settings.json"])
def test_a_file_of_others_is_not_overwritten(cohorts, tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(MedsmithError, match=r"exists and is no earlier result|holds results with another"):
        utility(cohorts[0], cohorts[1], cohorts[2], tmp_path, ratios=[1], seeds=1, config=QUICK)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "{}")]


def test_one_process_writes_results(cohorts, tmp_path):
    with hold_output(tmp_path), pytest.raises(CohortError, match="another process is writing here"):
        utility(cohorts[0], cohorts[1], cohorts[2], tmp_path, ratios=[1], seeds=1, config=QUICK)


def test_near_duplicates_are_counted_and_left_out_of_a_second_estimate(cohorts, tmp_path):
    real, synthetic, test = cohorts
    darker = [a_case("x", test[name].image[0] - 1, test[name].labels, test, False) for name in test.ids[:2]]
    real = make_cohort(tmp_path / "near-duplicates", 4, 6, copies=darker)
    found = utility(real, synthetic, test, tmp_path / "out", ratios=[1], seeds=1, config=QUICK)
    assert found.near_duplicates.value == 2 / 5
    gain = found.arms[3]
    assert gain.gain is not None
    assert gain.gain_without_near_duplicates is not None
    assert (gain.gain.n, gain.gain_without_near_duplicates.n) == (5, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ratios": [4]}, "allow up to 2.00"),
        ({"ratios": [-1.0]}, "ratio: -1; a number above 0; choose another"),
        ({"ratios": [float("nan")]}, "ratio: nan; a number above 0"),
        ({"ratios": [float("inf")]}, "ratio: inf; a number above 0"),
        ({"size": 1_000_000}, "a multiple of 8, 16 to 1024"),
        ({"ratios": []}, "none requested"),
        ({"size": 20}, "a multiple of 8"),
        ({"seeds": 0}, "at least 1"),
    ],
)
def test_impossible_requests_are_refused(cohorts, tmp_path, change, words):
    with pytest.raises(RequestError, match=words):
        of_all(cohorts, tmp_path / "out", config=QUICK, **change)
    assert not (tmp_path / "out").exists()


def test_other_labels_are_refused(cohorts, tmp_path):
    other = make_cohort(tmp_path / "other", 3, 0, label="cyst")
    with pytest.raises(CohortError, match="cyst"):
        utility(cohorts[0], cohorts[1], other, tmp_path / "out", config=QUICK)


@pytest.mark.parametrize(
    ("missing", "words"),
    [({"labels": None}, "1 of 5 cases have no labels"), ({"image": None}, "1 of 5 cases have no image")],
)
def test_cases_without_image_or_labels_are_refused(cohorts, tmp_path, missing, words):
    test = make_cohort(tmp_path / "test", 5, 7)
    test.write(replace(test["case-002"], **missing))
    with pytest.raises(CohortError, match=f"{words}; a segmentation network needs both"):
        utility(cohorts[0], cohorts[1], test, tmp_path / "out", config=QUICK)
    assert not (tmp_path / "out").exists()


def test_volumes_are_trained_on_too(tmp_path):
    real, test = (
        make_cohort(tmp_path / name, 3, seed, shape=(16, 16, 12), label="lesion")
        for seed, name in enumerate(("real", "test"))
    )
    synthetic = make_cohort(tmp_path / "synthetic", 3, 7, shape=(16, 16, 16), synthetic=True, label="lesion")
    found = utility(real, synthetic, test, tmp_path / "out", ratios=[1], seeds=1, config=QUICK)
    assert [result.arm.name for result in found.arms] == ["real", "synthetic", "synthetic then real", "real+1x"]
    assert all(set(result.labels) == {"lesion"} and 0 <= result.dice.value <= 1 for result in found.arms)


def test_the_network_learns_what_is_there_to_learn(cohorts):
    real, _, test = cohorts
    of_real, of_test = pool(real), pool(test)
    training = SegmenterConfig(steps=60, batch=8, channels=8, learning_rate=5e-3)
    network = train_segmenter([(of_real.images, of_real.labels)], 2, training, 0, lambda *_: None)
    assert dice_of_cases(network, of_test, 2).mean() > 0.7


def test_the_seed_decides_the_weights_and_nobody_else_is_disturbed(cohorts):
    of_real = pool(cohorts[0])
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (
        train_segmenter([(of_real.images, of_real.labels)], 2, QUICK, seed, lambda *_: None).state_dict()
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_one_image_in_two_files_has_one_hash(cohorts):
    case = cohorts[0][cohorts[0].ids[0]]
    renamed = a_case("other", case.image[0].copy(), case.labels * 0, cohorts[0], True)
    assert hash_of(case) == hash_of(renamed)
    assert hash_of(case) != hash_of(cohorts[0][cohorts[0].ids[1]])


@given(st.integers(1, 40), st.integers(20, 200), st.integers(0, 9))
def test_a_larger_ratio_holds_the_cases_of_a_smaller_one(real, synthetic, seed):
    _, alone, then_real, *mixed = plan_arms(real, max(synthetic, real), None)
    chosen = [set(arm.phases[0].rows(synthetic + real, seed)[1]) for arm in mixed]
    assert all(smaller <= larger for smaller, larger in pairwise(chosen))
    assert [len(rows) for rows in chosen] == [arm.synthetic for arm in mixed]
    assert alone.synthetic == max(arm.synthetic for arm in mixed)
    assert then_real.phases[0] == alone.phases[0]


def test_no_two_arms_share_a_file():
    arms = plan_arms(4, 8, [1, 2])
    assert [arm.stem for arm in arms] == [
        "real4-synthetic0",
        "real0-synthetic8",
        "real0-synthetic8-then-real4-synthetic0",
        "real4-synthetic4",
        "real4-synthetic8",
    ]


@pytest.mark.parametrize(("steps", "learnt_from"), [(4, [3, 3, 5, 5]), (3, [3, 3, 5]), (2, [3, 5])])
def test_courses_share_the_steps_in_their_order(cohorts, monkeypatch, steps, learnt_from):
    of_real, seen, batch = pool(cohorts[0]), [], segmenter._batch

    def noting(images, *others):
        seen.append(len(images))
        return batch(images, *others)

    monkeypatch.setattr(segmenter, "_batch", noting)
    phases = [(of_real.images[:3], of_real.labels[:3]), (of_real.images[:5], of_real.labels[:5])]
    train_segmenter(phases, 2, QUICK.model_copy(update={"steps": steps}), 0, lambda *_: None)
    assert seen == learnt_from


def test_two_courses_of_the_same_cases_are_one(cohorts):
    of_real = pool(cohorts[0])
    phase = (of_real.images, of_real.labels)
    once, twice = (
        train_segmenter(phases, 2, QUICK, 0, lambda *_: None).state_dict() for phases in ([phase], [phase, phase])
    )
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_results_go_nowhere_into_what_is_read(cohorts):
    with pytest.raises(CohortError, match="nothing is written into what is read"):
        of_all(cohorts, cohorts[0].root / "utility", config=QUICK)
    assert not (cohorts[0].root / "utility").exists()


def test_cases_that_the_generator_learned_from_are_no_test(cohorts, tmp_path):
    real, synthetic, test = cohorts
    settings = micro.micro_settings("ddpm", method_class("ddpm"), 2)
    train("ddpm", test, tmp_path / "run", settings=settings, budget=Budget(steps=1))
    record = synthetic.root / "synthesis.json"
    record.write_text(json.dumps({"run": str(tmp_path / "run")}))
    try:
        with pytest.raises(CohortError, match="was trained on it; test cases are new to everything"):
            of_all(cohorts, tmp_path / "out", config=QUICK)
        record.write_text(json.dumps({"run": "nowhere"}))
        of_all((real, synthetic, test), tmp_path / "out", config=QUICK, ratios=[1], seeds=1)
    finally:
        record.unlink()
