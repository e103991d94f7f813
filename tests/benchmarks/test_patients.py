"""Several cases of one patient count as one in the tables, and what cannot be so is refused before anything is made."""

import json
import re
from dataclasses import replace
from typing import final

import numpy as np
import pytest

from box_cohorts import make_cohort
from medsmith import Cohort, bench
from medsmith.benchmarks import running
from medsmith.benchmarks.page import bench_page
from medsmith.benchmarks.paper import Inputs
from medsmith.benchmarks.papers import PAPERS
from medsmith.benchmarks.result import BenchResult, RowResult
from medsmith.benchmarks.rows import Bench, stem
from medsmith.benchmarks.scales import SCALES
from medsmith.cli import main
from medsmith.errors import CohortError, RequestError, RunError
from medsmith.evaluation.downstream import arm_results
from medsmith.evaluation.downstream.arms import Arm
from medsmith.evaluation.downstream.scores import ArmScores
from medsmith.evaluation.fidelity.comparison import ComparisonPlan
from medsmith.evaluation.fidelity.extractors import WHOLE
from medsmith.evaluation.pages.page import Page, render
from medsmith.preparation.split import patient_groups
from medsmith.progress import NullProgress

PATIENT = r"^(\w+)-"
PAPER = PAPERS["pig"]
OWN = next(row for row in PAPER.rows if row.name == PAPER.own)
MIXED = Arm("R + S", "real-and-synthetic", (0.5,))


def named_cases(root, source, patients, *, whose="p", each=1):
    """A cohort in which each case of another one is there ``each`` times, as the slices of ``patients`` patients."""
    cohort = Cohort.create(
        root, channel_names=source.channel_names, label_names=source.label_names, file_ending=source.file_ending
    )
    for number, case in enumerate(source):
        for slice in range(each):
            cohort.write(replace(case, id=f"{whose}{number % patients}-{number}-{slice}", provenance=None))
    cohort.finish()
    return Cohort.open(root)


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    """Cases to learn from, to test on, the same three times, and synthetic ones."""
    root = tmp_path_factory.mktemp("patients")
    train, test = (make_cohort(root / f"plain-{seed}", count, seed) for seed, count in ((0, 6), (1, 10)))
    return {
        "train": named_cases(root / "train", train, 6),
        "test": named_cases(root / "test", test, 10, whose="t"),
        "thrice": named_cases(root / "thrice", test, 10, whose="t", each=3),
        "synthetic": make_cohort(root / "synthetic", 12, 2, synthetic=True),
    }


@final
class Brightness:
    """Mean and spread of the gray values."""

    name, identity, dimension = "brightness", "1", 2

    def __call__(self, views):
        return np.array([[np.mean(view.image), np.std(view.image)] for view in views])

    def parts(self, _view_spec):
        return WHOLE


@pytest.fixture
def row_of(cohorts, tmp_path):
    """Makes a row of the synthetic cases, measured on some test cases."""

    def row(test, group):
        synthetic = tmp_path / test / "rows" / stem(PAPER.own)
        synthetic.parent.mkdir(parents=True)
        synthetic.symlink_to(cohorts["synthetic"].root)
        train = cohorts["train"].root
        inputs = Inputs(train, cohorts[test].root, train, tmp_path / "space", group)
        return Bench(PAPER, SCALES["smoke"], tmp_path / test, inputs, NullProgress(), print)

    return row


def test_distances_to_cases_that_are_there_three_times_are_those_to_single_ones(row_of, monkeypatch):
    monkeypatch.setattr("medsmith.benchmarks.rows.default_extractors", lambda: [Brightness()])
    monkeypatch.setattr("medsmith.evaluation.compare_cohorts.ComparisonPlan", lambda: ComparisonPlan(2, 2))
    monkeypatch.setattr("medsmith.evaluation.compare_cohorts.evaluation_page", lambda *_: Page("", [], [], {}))
    (alone,) = row_of("test", None)._distances(OWN).values()
    (repeated,) = row_of("thrice", PATIENT)._distances(OWN).values()
    assert repeated == alone
    assert (alone.whole.n, alone.floor.n) == (10, 5)
    assert alone.whole.low < alone.whole.high


def test_dice_of_cases_that_are_there_three_times_is_that_of_single_ones(row_of, monkeypatch):
    asked = []

    def seen(*_cohorts, options, **_more):
        asked.append(options.group)
        raise KeyboardInterrupt

    monkeypatch.setattr("medsmith.benchmarks.rows.utility", seen)
    for test, group in (("test", None), ("thrice", PATIENT)):
        with pytest.raises(KeyboardInterrupt):
            row_of(test, group)._with_utility(OWN, RowResult(OWN.name))
    assert asked == [None, PATIENT]

    both = np.random.default_rng(0).uniform(0.3, 0.9, (2, 3, 2, 10, 1))  # of two arms, 3 subsets, 2 seeds, 10 cases

    def result(times):
        owners = {id: patient for patient, ids in patient_groups(_ids(times), PATIENT).items() for id in ids}
        ours, real = (
            ArmScores({"dice": np.repeat(each, times, 2)}, np.zeros((3, 2, 10 * times, 1, 1, 3))) for each in both
        )
        return arm_results.Tested(owners, ("mass",), True, 2.0).result(MIXED, ours, real, 0.0).dice

    alone, repeated = result(1), result(3)
    for name in ("value", "gain"):
        one, other = getattr(alone, name), getattr(repeated, name)
        assert one.n == other.n == 10
        assert (other.value, other.low, other.high) == pytest.approx((one.value, one.low, one.high))


def _ids(times):
    return [f"t{number}-{slice}" for number in range(10) for slice in range(times)]


def test_expressions_that_do_not_find_the_patients_are_refused_before_anything_is_made(cohorts, tmp_path):
    real, test = cohorts["train"], cohorts["thrice"]
    plain = {"real": real, "test": test}
    both = {"real": real, "test": named_cases(tmp_path / "both", test, 30, whose="p")}
    few = {"real": real, "test": named_cases(tmp_path / "few", cohorts["test"], 7, whose="t")}
    for given, group, error, line in (
        (
            {},
            PATIENT,
            RequestError,
            "--group: there are no cohorts of patients; phantoms are one patient each",
        ),
        (plain, "(", RequestError, "--group: '(' is no regular expression"),
        (plain, "p", RequestError, "--group: 'p' does not match 30 ids: t0-0-0"),
        (plain, "(x?)", RequestError, "--group: '(x?)' finds an empty name in 30 ids: t0-0-0"),
        (
            both,
            PATIENT,
            CohortError,
            "both: 6 patients have training cases as well (p0); no patient on both sides",
        ),
        (few, PATIENT, CohortError, "few: 10 cases of 7 patients; at least 8 to test on"),
    ):
        with pytest.raises(error, match=re.escape(line)):
            bench("pig", tmp_path / "out", **given, group=group)
        assert not (tmp_path / "out").exists()


def test_a_folder_takes_one_expression(cohorts, tmp_path, monkeypatch):
    def interrupted(*_given):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_inputs", interrupted)
    given = {"real": cohorts["train"], "test": cohorts["thrice"]}
    with pytest.raises(KeyboardInterrupt):
        bench("pig", tmp_path / "out", **given, group=PATIENT)
    for other in (None, r"^(\w\d+)"):
        with pytest.raises(RunError, match=re.escape("holds results of other settings (group)")):
            bench("pig", tmp_path / "out", **given, group=other)
    with pytest.raises(KeyboardInterrupt):
        bench("pig", tmp_path / "out", **given, group=PATIENT)


def test_the_report_says_how_many_patients_there_are(cohorts, tmp_path, monkeypatch):
    monkeypatch.setattr(Bench, "result", lambda _, row: RowResult(row.name, missing="not made"))
    found = bench("pig", tmp_path / "out", real=cohorts["train"], test=cohorts["thrice"], group=PATIENT)
    said = "6 cases of 6 patients to learn from, 30 cases of 10 patients to test on (--group). Distances compare"
    assert found.patients.startswith(said)
    assert found.facts["test cases"].startswith("30 cases of 10 patients, content ")
    assert said in render(bench_page(found, {}))
    assert json.loads((tmp_path / "out" / "bench.json").read_text())["patients"] == found.patients
    alone = bench("pig", tmp_path / "none", real=cohorts["train"], test=cohorts["thrice"])
    assert alone.patients.startswith("No --group: each case counts as a patient.")
    assert alone.facts["test cases"].startswith("30 cases, content ")
    assert "<h2>Patients" not in render(bench_page(BenchResult(PAPER, (), {}), {}))


def test_copy_paste_knows_the_patients(cohorts, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("medsmith.benchmarks.rows.train", lambda *_, settings, **_more: seen.append(settings))
    train = cohorts["train"].root
    for group in (None, PATIENT):
        rows = Bench(PAPER, SCALES["smoke"], tmp_path, Inputs(train, train, train, train, group), NullProgress(), print)
        rows._trained("copypaste", PAPER.generators["copypaste"])
    assert seen == [(), (r'group="^(\\w+)-"',)]


def test_the_command_asks_for_patients(cohorts, tmp_path, monkeypatch, capsys):
    asked = {}

    def seen(*_given, group, **_more):
        asked["group"] = group
        raise KeyboardInterrupt

    call = ["bench", "pig", str(tmp_path / "out")]
    assert main([*call, "--group", PATIENT]) == 2
    assert "--group: there are no cohorts of patients" in capsys.readouterr().err
    given = [*call, "--real", str(cohorts["train"].root), "--test", str(cohorts["thrice"].root), "--group"]
    assert main([*given, "(x?)"]) == 2
    assert "finds an empty name in 30 ids" in capsys.readouterr().err
    monkeypatch.setattr("medsmith.benchmarks.bench", seen, raising=False)
    with pytest.raises(SystemExit):
        main([*given, PATIENT])
    assert asked == {"group": PATIENT}
