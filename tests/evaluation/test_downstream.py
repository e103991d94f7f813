"""The utility experiment: arms, kept results, what is said."""

import importlib
import json
import os
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

import micro
from box_cohorts import a_case, make_cohort
from medsmith import Budget, train
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, RunError, counted
from medsmith.evaluation.downstream import UtilityOptions, networks, segmenter, summary_lines
from medsmith.evaluation.downstream.arms import plan_arms
from medsmith.evaluation.downstream.forecast import steps_line
from medsmith.evaluation.downstream.inputs import check_settings
from medsmith.evaluation.downstream.intervals import METHOD
from medsmith.evaluation.downstream.loaded_cohort import load_cohort
from medsmith.evaluation.downstream.measures import MEASURES
from medsmith.evaluation.downstream.networks import Job, Material, jobs_of
from medsmith.evaluation.downstream.result import WITHHELD, Convergence, SizeResult
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.evaluation.downstream.separation import Separation, check_generator
from medsmith.evaluation.downstream.tables import points
from medsmith.evaluation.downstream.utility import utility
from medsmith.evaluation.downstream.wording import size_lines
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.kept_parts import DIGEST, keep_part
from medsmith.methods import method_class
from quick_utility import QUICK, of_all, three_cohorts


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    return three_cohorts(tmp_path_factory.mktemp("utility"))


def test_a_gain_that_rounds_to_zero_has_no_minus():
    assert points(Estimate(-0.0004, -0.02, 0.0002, 5, "bootstrap")) == "+0.0 (-2.0 to +0.0)"


def test_every_arm_is_run_and_written(cohorts, tmp_path):
    real, synthetic, test = cohorts
    more, procedural = make_cohort(tmp_path / "more", 4, 11), make_cohort(tmp_path / "procedural", 4, 12)
    options = UtilityOptions(cases=(3, 0), subsets=2, seeds=1, shares=(0.25, 0.5))
    found = utility(
        real,
        synthetic,
        test,
        tmp_path / "out",
        more=more,
        procedural=procedural,
        options=options,
        config=QUICK,
        facts={"machine": "<b>"},
    )
    small, whole = found.sizes
    names = ["R", "R, flips only", "R + copy-paste", "R + more real cases", "S", "S then R"]
    assert [result.arm.name for result in small.arms] == [
        *names,
        *(f"R + {made}, share {share}" for made in ("S", "procedural") for share in (0.25, 0.5)),
    ]
    assert (small.cases, whole.cases, small.shared, small.patients) == ((3, 3), (6,), 0.0, 5)
    assert small.arms[0].dice.gain is None
    assert all(set(result.measures) == set(MEASURES) and result.dice.value.n == 5 for result in small.arms)
    assert all(result.dice.gain is not None for result in small.arms[1:])
    written = json.loads((tmp_path / "out" / "utility.json").read_text())
    assert written["sizes"][0]["arms"]["S"]["measures"]["dice"]["gain"]["interval"] == METHOD
    assert written["unit_of_distances"] == "pixels"
    page = (tmp_path / "out" / "utility.html").read_text()
    assert "not for diagnosis" in page
    assert "&lt;b&gt;" in page
    assert "Dice over the number of real cases." in page
    assert set(re.findall(r'src="(.{15})', page)) == {"data:image/png;"}
    steps = {path.name.rsplit("-", 1)[0] for path in (tmp_path / "out" / "networks" / "3-0").iterdir()}
    assert "real-longer" in steps


@pytest.fixture(scope="module")
def finished(cohorts, tmp_path_factory):
    """The folder of a finished experiment, not to be written to."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    of_all(cohorts, folder)
    return folder


def test_without_sizes_half_of_the_real_cases_are_drawn(cohorts, finished, tmp_path):
    found = of_all(cohorts, shutil.copytree(finished, tmp_path / "out"), cases=None)
    assert found.sizes[0].cases == (3, 3)
    assert "over the number of real cases" not in (tmp_path / "out" / "utility.html").read_text()


def test_a_stopped_run_continues_and_ends_with_the_same_bytes(cohorts, finished, tmp_path, monkeypatch):
    trained, train = [], segmenter.train_segmenter

    def dies_in_the_third(*args):
        trained.append(1)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train(*args)

    monkeypatch.setattr(
        importlib.import_module("medsmith.evaluation.downstream.networks"), "train_segmenter", dies_in_the_third
    )
    with pytest.raises(KeyboardInterrupt):
        of_all(cohorts, tmp_path)
    of_all(cohorts, tmp_path)
    assert len(trained) == 3 + (2 * 7 - 2)
    of_all(cohorts, tmp_path)
    assert len(trained) == 3 + (2 * 7 - 2)
    for path in sorted(finished.rglob("*.*")):
        assert path.read_bytes() == (tmp_path / path.relative_to(finished)).read_bytes()


def test_more_seeds_and_shares_keep_the_networks_that_are_done(cohorts, finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "out")
    before = {path: path.read_bytes() for path in (out / "networks").rglob("*.json")}
    found = of_all(cohorts, out, seeds=2, shares=(0.5, 0.75))
    assert all(path.read_bytes() == data for path, data in before.items())
    assert (len(found.sizes[0].cases), found.sizes[0].seeds, len(found.sizes[0].arms)) == (2, 2, 7)


def test_test_patients_with_empty_masks_are_told_in_the_summary(cohorts, finished, tmp_path):
    found = of_all(cohorts, shutil.copytree(finished, tmp_path / "out"))
    (size,) = found.sizes
    assert size.unlabeled == 0
    assert size.as_json()["test_patients_without_labels"] == 0
    assert not any("empty" in line for line in size_lines(size, 2.0))
    power = size_lines(replace(size, unlabeled=3), 2.0)[-1]
    assert f"with {size.patients} test patients (the masks of 3 more are empty: no Dice), 2 subsets and " in power


def test_the_devices_that_computed_the_results_are_named(cohorts, finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "out")
    here = f"cpu, {counted(torch.get_num_threads(), 'thread')}"
    assert json.loads((out / "utility.json").read_text())["facts"]["device"] == here
    for name, record in (("real-0", {"device": "cuda"}), ("synthetic-0", {})):
        path = out / "networks" / "3-1" / f"{name}.json"
        keep_part(path, record | {"cases": json.loads(path.read_text())["cases"]})
    assert of_all(cohorts, out).facts["device"] == f"{here} (12 networks), cuda (1 network), unknown (1 network)"


def test_a_network_that_a_gpu_trained_is_one_of_the_gpu(cohorts, finished, tmp_path, monkeypatch):
    out = shutil.copytree(finished, tmp_path / "out")
    path = out / "networks" / "3-1" / "synthetic-0.json"
    path.unlink()
    monkeypatch.setattr(networks, "usual_device", lambda: "cuda")
    of_all(cohorts, out)
    assert json.loads(path.read_text())["device"] == "cuda"


def test_results_of_other_settings_are_not_mixed(cohorts, finished):
    with pytest.raises(RunError, match=r"out: holds results of other settings \(training\); one folder"):
        of_all(cohorts, finished, config=QUICK.model_copy(update={"steps": 4}))
    with pytest.raises(RunError, match=r"of other settings \(options\)"):
        of_all(cohorts, finished, weight=0.5)


@pytest.mark.parametrize(
    ("old", "new"), [('"mass": 1', '"cyst": 1'), ('"ultrasound"', '"MR"')], ids=["label", "channel"]
)
def test_other_names_in_the_cohorts_are_other_settings(cohorts, finished, tmp_path, old, new):
    for cohort in cohorts:
        path = shutil.copytree(cohort.root, tmp_path / cohort.root.name) / "dataset.json"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    renamed = [Cohort.open(tmp_path / cohort.root.name) for cohort in cohorts]
    assert [each.content_hash() for each in renamed] == [each.content_hash() for each in cohorts]
    with pytest.raises(RunError, match=r"holds results of other settings \(labels and channels\)"):
        of_all(renamed, finished)


def test_every_setting_that_differs_is_named(tmp_path):
    check_settings(tmp_path, {"grid edge": "16", "options": "{}", "training": "{}"})
    with pytest.raises(RunError, match=r"holds results of other settings \(grid edge, options\); one folder"):
        check_settings(tmp_path, {"grid edge": "24", "options": "[]", "training": "{}"})


def test_the_training_is_announced_before_it_starts(cohorts, tmp_path):
    said: list[str] = []
    real, synthetic, test = cohorts
    config = SegmenterConfig(steps=30, batch=2, channels=2)
    options = UtilityOptions(cases=(3,), subsets=1, seeds=1)

    def call():
        utility(real, synthetic, test, tmp_path, options=options, config=config, report=said.append)

    call()
    assert said[0].startswith("utility: trains 7 networks (resunet), 240 steps in all, on cpu (")
    assert re.search(r"\(\d+ threads?\); its first steps show how long; the same command continues after an", said[0])
    assert re.fullmatch(r"utility: 220 steps of [\d.]+ s: .*, until \d\d:\d\d, and the time of the tests", said[1])
    assert len(said) == 2
    call()
    assert len(said) == 2  # nothing is left to train


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.01, "utility: 500 steps of 0.01 s: less than 1 min, until 12:00"),
        (2.3, "utility: 500 steps of 2.3 s: about 19 min, until 12:19"),
        (36.0, "utility: 500 steps of 36 s: about 5 h, until 17:00"),
        (360.0, "utility: 500 steps of 360 s: about 50 h, until 06 Mar 14:00"),
    ],
)
def test_how_long_the_networks_take(seconds, said):
    noon = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
    shorter = (
        "; fewer --subsets, --seeds, --share or sizes of --cases train fewer networks, --steps each for less, and a "
        "smaller --size (evaluate --all: --network-size) makes a step faster"
    )
    assert steps_line(500, seconds, noon) == f"{said}, and the time of the tests{shorter if seconds > 2.4 else ''}"


@pytest.mark.parametrize("damage", ["another digit", "truncated", "no digest"])
def test_a_damaged_result_is_measured_anew(cohorts, finished, tmp_path, damage, caplog):
    out = shutil.copytree(finished, tmp_path / "out")
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    path = out / "networks" / "3-1" / "synthetic-0.json"
    whole = path.read_text()
    path.write_text(
        {
            "another digit": whole.replace('"hd95": [', '"hd95": [\n1', 1),
            "truncated": whole[:99],
            "no digest": json.dumps({name: value for name, value in json.loads(whole).items() if name != DIGEST}),
        }[damage]
    )
    of_all(cohorts, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files
    assert caplog.messages == [f"{path}: is damaged, or not what this version writes, and is made anew"]


@pytest.mark.parametrize("damage", ["other cases", "a word in place of a share"])
def test_a_result_of_other_measures_is_named(cohorts, finished, tmp_path, damage):
    out = shutil.copytree(finished, tmp_path / "out")
    path = out / "networks" / "3-1" / "synthetic-0.json"
    if damage == "other cases":
        keep_part(path, {"cases": {"case-000": {}}})
    else:
        record = json.loads(path.read_text())
        del record[DIGEST]
        next(iter(record["cases"].values()))["dice"][0] = "high"
        keep_part(path, record)
    with pytest.raises(RunError, match=r"synthetic-0.json: does not hold the measures of every test case; delete it"):
        of_all(cohorts, out)


def test_one_case_is_no_plural():
    course = Convergence(10, Estimate(0.0, 0.0, 0.0, 5, "by hand"))
    names = [SizeResult(of, 1, 0.0, 5, 0, {}, course, ()).name for of in ((1,), (1, 2), (3, 3))]
    assert names == ["1 real case", "1 to 2 real cases", "3 real cases"]


@pytest.mark.parametrize(
    ("steps", "rise", "reached", "proposed"),
    [(100, 0.01, True, None), (99, -0.05, False, 1000), (100, 0.011, False, 200), (400, 0.05, False, 3200)],
)
def test_a_course_is_long_enough_where_it_is_no_mere_start_and_flat(steps, rise, reached, proposed):
    course = Convergence(steps, Estimate(rise, rise, rise, 5, "by hand"))
    assert (course.reached, course.proposed) == (reached, proposed)


def test_a_course_that_is_too_short_has_no_verdict(cohorts, tmp_path):
    config = SegmenterConfig(steps=16, batch=8, channels=8, learning_rate=5e-3)
    found = of_all(cohorts, tmp_path, config=config, subsets=1)
    size = found.sizes[0]
    assert size.convergence.rise.value > 0.02
    assert size.convergence.proposed == 1000
    assert {result.verdict for result in size.arms[1:]} == {WITHHELD}
    lines = summary_lines(found)
    assert lines[0].startswith("Useful? Unknown: the networks were not trained long enough: R + S against strong")
    assert lines[1].startswith("Arms: R, real cases alone, with strong augmentation as all arms but R, flips only; ")
    assert lines[1].endswith("In brackets: 95 % intervals.")
    assert f"real cases: R reaches a Dice of {size.arms[0].dice.value.value:.3f} and rises by +" in lines[2]
    assert "points from 16 to 32 steps, fewer than 100, so that no verdict is given; " in lines[2]
    assert f"run again with --steps {size.convergence.proposed} in a new folder" in lines[2]
    assert f"--steps {size.convergence.proposed} " in (tmp_path / "utility.html").read_text()


def test_test_cases_of_a_training_scene_are_left_out(cohorts, tmp_path):
    _, synthetic, test = cohorts
    darker = [a_case("x", test[name].image[0] - 1, test[name].labels, test, False) for name in test.ids[:2]]
    real = make_cohort(tmp_path / "near-duplicates", 4, 6, copies=darker)
    found = of_all((real, synthetic, test), tmp_path / "out", subsets=1)
    assert found.sizes[0].patients == 3
    assert any(note.startswith("2 test cases were left out") for note in found.notes)
    kept = of_all((real, synthetic, test), tmp_path / "kept", scenes="ignored", subsets=1)
    assert kept.sizes[0].patients == 5
    known = [a_case("x", test[name].image[0] - 1, test[name].labels, test, False) for name in test.ids[:4]]
    generators = make_cohort(tmp_path / "generators", 4, 6, copies=known)
    with pytest.raises(CohortError, match="1 test patient of a scene that no training case shows"):
        utility(cohorts[0], synthetic, test, tmp_path / "few", training=generators, config=QUICK)


def test_volumes_are_trained_on_too(tmp_path):
    real, test = (
        make_cohort(tmp_path / name, 3, seed, shape=(16, 16, 12), label="lesion")
        for seed, name in enumerate(("real", "test"))
    )
    synthetic = make_cohort(tmp_path / "synthetic", 3, 7, shape=(16, 16, 16), synthetic=True, label="lesion")
    found = of_all((real, synthetic, test), tmp_path / "out", cases=(0,), scenes="ignored")
    assert found.unit == "mm"
    assert found.sizes[0].lesions == {"below 10 mm": 3, "10 to 20 mm": 0, "above 20 mm": 0}
    assert all(set(result.structures) == {"lesion"} for result in found.sizes[0].arms)


def test_an_arm_learns_from_the_cases_that_it_names(cohorts, tmp_path):
    real, synthetic, test = cohorts
    procedural = make_cohort(tmp_path / "procedural", 4, 12)
    loaded = [load_cohort(each, 32, lambda _steps, _note: None) for each in (real, synthetic, test, procedural)]
    material = Material(loaded[0], loaded[1], None, loaded[2], real.channel_names, ("lesion",), loaded[3])
    arms = plan_arms((0.5,), 0.5, more=False, procedural=True)
    assert [arm.name for arm in arms[-2:]] == ["R + S", "R + procedural"]
    for arm, made in zip(arms[-2:], (loaded[1], loaded[3]), strict=True):
        (phase,) = networks._phases(Job(3, 0, loaded[0].ids[:3], arm, 0), material, 1.0)
        assert isinstance(phase, segmenter.Mixture)
        assert torch.equal(phase.synthetic[0], made.images)
        assert torch.equal(phase.real[0], loaded[0].images[:3])
        assert phase.share == 0.5


def test_arms_of_one_subset_start_alike_and_differ_by_subset_and_seed():
    subsets, arms = [("a", "b"), ("c", "d")], plan_arms((0.5,), 0.5, more=False)
    jobs = jobs_of(2, subsets, arms, 3)
    by_network: dict[tuple[int, int], set[int]] = {(job.subset, job.seed): set() for job in jobs}
    for job in jobs:
        by_network[job.subset, job.seed].add(job.network_seed)
    assert all(len(seeds) == 1 for seeds in by_network.values())
    assert len(set().union(*by_network.values())) == 6
    assert len({job.path(Path("out")) for job in jobs}) == len(jobs) == 2 * 3 * 6 + 2


def test_cases_that_the_generator_learned_from_are_no_test(cohorts, finished, tmp_path, monkeypatch):
    _, synthetic, test = cohorts
    settings = micro.micro_settings("ddpm", method_class("ddpm"), 2)
    train("ddpm", test, tmp_path / "run", settings=settings, budget=Budget(steps=1))
    record = synthetic.root / "synthesis.json"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)  # the run is named relative to the cohort, wherever the command is called
    record.write_text(json.dumps({"run": os.path.relpath(tmp_path / "run", synthetic.root)}))
    try:
        with pytest.raises(CohortError, match="was trained on it; test cases are new to everything"):
            of_all(cohorts, tmp_path / "out")
        found = "The generator learned from 5 cases; if R has fewer, a gain includes what the others taught it."
        other = cohorts[0]
        assert check_generator(synthetic, other, [test]) == found
        assert check_generator(synthetic, other, []).startswith(
            f"{found} These cases were not at hand: give --training"
        )
        record.write_text(json.dumps({"run": "nowhere"}))
        kept = of_all(cohorts, shutil.copytree(finished, tmp_path / "kept"))
        assert kept.notes[0].startswith("Which cases the generator learned from is not recorded")
    finally:
        record.unlink()


def test_test_cases_that_are_fewer_patients_are_told():
    patients = {"a": "1", "b": "1", "c": "2"}
    first, *_ = Separation((), patients, (), 0).notes
    assert first.startswith("3 test cases are 2 test patients: those of one patient (--group), or near-duplicates")
    assert len(Separation((), {"a": "1", "b": "2"}, (), 0).notes) == 1
