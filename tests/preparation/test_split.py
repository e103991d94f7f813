from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_cases import make_case, new_cohort
from medsmith.cases.verification import verify_folder
from medsmith.cli import main
from medsmith.data.scenes import scenes_of
from medsmith.errors import RequestError
from medsmith.evaluation.privacy import threshold
from medsmith.evaluation.scope import MIN_REAL
from medsmith.preparation.prepare import prepare
from medsmith.preparation.split import CALIBRATED, EVALUATED, _few, held_out_ids, split
from scan_files import (
    good_source,
    listing,
    run,
)


def silent(_):
    """Takes a line and drops it."""


PATIENTS = tuple(f"P{patient:02d}_{slice_}" for patient in range(12) for slice_ in range(patient % 4 + 1))


@given(st.floats(0.1, 0.9), st.integers(0, 2**32))
def test_patients_stay_together_and_the_share_is_met(fraction, seed):
    test = held_out_ids(PATIENTS, fraction, seed, r"(P\d+)_")
    train = set(PATIENTS) - test
    assert not {i[:3] for i in train} & {i[:3] for i in test}
    assert train
    assert abs(len(test) - fraction * len(PATIENTS)) <= 2
    assert held_out_ids(tuple(reversed(PATIENTS)), fraction, seed, r"(P\d+)_") == test


def test_the_seed_decides_and_seeds_differ():
    chosen = {held_out_ids(PATIENTS, 0.3, seed, None) for seed in range(20)}
    assert len(chosen) > 15
    share = np.mean([("P03_0" in held_out_ids(PATIENTS, 0.3, seed, None)) for seed in range(300)])
    assert 0.2 < share < 0.4


@pytest.mark.parametrize(
    ("fraction", "group", "words"),
    [
        (0.0, None, "--test-fraction: 0; between 0 and 1"),
        (1.5, None, "--test-fraction: 1.5"),
        (0.5, "P", "30 cases in 1 group cannot be split"),
        (0.5, "(P", "is no regular expression"),
        (0.5, "Q", "does not match 30 ids: P00_0"),
        (0.5, "", "'' finds an empty name in 30 ids: P00_0"),
        (0.5, r"P(1)?\d", "finds an empty name in"),
    ],
)
def test_splits_that_cannot_be_made(fraction, group, words):
    code, line = run(lambda: held_out_ids(PATIENTS, fraction, 0, group))
    assert code == 2
    assert words in line


def test_split_writes_two_cohorts_and_continues(tmp_path):
    whole = prepare(good_source(tmp_path / "in", count=5), tmp_path / "all", report=silent)
    said: list[str] = []
    places = (tmp_path / "all", tmp_path / "train", tmp_path / "test")
    train, test = split(*places, test_fraction=0.4, seed=3, report=said.append)
    assert sorted(train.ids + test.ids) == list(whole.ids)
    assert len(test) == 2
    assert [line.split(":")[0] for line in said[:2]] == ["train", "test"]
    few = "too few for evaluate (at least 8) and for the thresholds of privacy (19 held-out cases, for 5 % of false"
    assert said[2:] == [f"2 test cases: {few} alarms); a larger --test-fraction gives more"]
    for part in (train, test):
        verify_folder(part.root)
        assert part.content_hash() == whole.subset(part.ids).content_hash()
    before = listing(tmp_path)
    split(*places, test_fraction=0.4, seed=3, report=silent)
    assert listing(tmp_path) == before
    code, line = run(lambda: split(*places, test_fraction=0.4, seed=4, report=silent))
    assert code == 2
    assert "split.json differs in" in line
    code, line = run(lambda: split(places[0], places[0], places[1], test_fraction=0.4, seed=3, report=silent))
    assert code == 2
    assert "lies in, on or around" in line


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "1 test case: too few for evaluate (at least 8) and for the thresholds of privacy (19 held-out cases"),
        (8, "8 test cases: enough for evaluate (at least 8), too few for the thresholds of privacy (19 held-out cases"),
        (18, "18 test cases: enough for evaluate"),
        (19, None),
    ],
)
def test_a_split_says_what_its_test_cases_are_too_few_for(count, said):
    found = _few(count, "more")
    assert [line.startswith(str(said)) for line in found] == [True] * (said is not None)


def test_a_split_counts_as_evaluate_and_privacy_do():
    assert (EVALUATED, CALIBRATED) == (MIN_REAL, threshold.CALIBRATED)


class Killed(BaseException):
    """Stands for SIGKILL."""


def test_a_split_killed_anywhere_ends_with_the_bytes_of_a_calm_one(tmp_path, monkeypatch):
    """Before every single file in turn, the reports of real cases among them."""
    source = new_cohort(tmp_path / "all")
    for index in range(3):
        source.write(make_case(f"c{index}", index, report={"lesions": [index]}))
    source.finish()

    def run_split(name):
        split(tmp_path / "all", tmp_path / name / "a", tmp_path / name / "b", test_fraction=0.4, report=silent)
        return {key: value for key, value in listing(tmp_path / name).items() if value}

    calm, true_replace = run_split("calm"), Path.replace
    assert sum(key.startswith(("a/reports/", "b/reports/")) for key in calm) == 3
    stop_at = 0
    while True:
        stop_at += 1
        count = 0

        def replace_or_die(self, target, stop_at=stop_at):
            nonlocal count
            count += 1
            if count == stop_at:
                raise Killed
            return true_replace(self, target)

        monkeypatch.setattr(Path, "replace", replace_or_die)
        try:
            run_split(str(stop_at))
        except Killed:
            monkeypatch.setattr(Path, "replace", true_replace)
            assert run_split(str(stop_at)) == calm, stop_at
        else:
            break
    assert stop_at > 9


def patients(root, twins=()):
    """Two pictures each of five patients; ``twins`` are brighter copies of each other."""
    made = new_cohort(root)
    for patient in range(5):
        for number in range(2):
            case_id = f"P{patient}_{number}"
            made.write(make_case(case_id, seed=99 if case_id in twins else 10 * patient + number, size=40))
    made.finish()
    return made


@pytest.mark.parametrize("seed", range(6))
def test_near_duplicates_stay_on_one_side(seed, tmp_path):
    cohort = patients(tmp_path / "in", twins=("P1_0", "P3_1"))
    scenes = scenes_of(cohort)
    assert scenes["P1_0"] == scenes["P3_1"]
    assert len(set(scenes.values())) == 9
    sides = split(cohort, tmp_path / "a", tmp_path / "b", test_fraction=0.4, seed=seed, scenes=scenes)
    assert [("P1_0" in side) == ("P3_1" in side) for side in sides] == [True, True]
    named = split(cohort, tmp_path / "c", tmp_path / "d", test_fraction=0.4, seed=seed, scenes=scenes, group=r"(P\d)")
    for side in named:
        found = {case_id[:2] for case_id in side.ids}
        assert len(side) == 2 * len(found)
        assert ("P1" in found) == ("P3" in found)


def test_a_list_of_patients_is_the_test_set(tmp_path):
    cohort = patients(tmp_path / "in", twins=("P1_0", "P3_1"))
    train, test = split(cohort, tmp_path / "a", tmp_path / "b", patients=["P1", "P4"], group=r"(P\d)")
    assert test.ids == ("P1_0", "P1_1", "P4_0", "P4_1")
    assert len(train) == 6
    assert split(cohort, tmp_path / "a", tmp_path / "b", patients=["P4", "P1"], group=r"(P\d)")[1].ids == test.ids
    for wrong, line in [
        (["P1", "P9"], "--patients: no patient P9; the patients are P0, P1, P2 and 2 more"),
        ([], "--patients: 0 of 5 patients; each side needs a case"),
        (["P0", "P1", "P2", "P3", "P4"], "--patients: 5 of 5 patients; each side needs a case"),
        (["P1"], "--patients: P1_0 and P3_0 are of one scene, and one of them alone is of a listed patient"),
    ]:
        with pytest.raises(RequestError, match=line):
            split(cohort, tmp_path / "c", tmp_path / "d", patients=wrong, group=r"(P\d)", scenes=scenes_of(cohort))
        assert not (tmp_path / "c").exists()


def test_the_command_takes_scenes_and_a_file_of_patients(tmp_path, capsys):
    patients(tmp_path / "in", twins=("P1_0", "P3_1"))
    (tmp_path / "test.txt").write_text("P1\n\n P3 \n")
    ends = [str(tmp_path / name) for name in ("in", "train", "test")]
    more = ["--by-scene", "--patients", str(tmp_path / "test.txt"), "--group", r"(P\d)"]
    with pytest.raises(SystemExit) as ended:
        main(["split", *ends, *more])
    assert ended.value.code == 0
    assert "test: 4 cases in 1 group" in capsys.readouterr().out
    assert main(["split", *ends, *more, "--test-fraction", "0.5"]) == 2
    assert "--test-fraction is given as well" in capsys.readouterr().err
