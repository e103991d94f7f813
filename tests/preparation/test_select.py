"""Cases kept by thresholds, and what is lost."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, FileError, RequestError
from medsmith.geometry import Geometry
from medsmith.preparation.case_measures import measures_of, types_of
from medsmith.preparation.select import Kept, Rule, Selection, _by_size, select

NAMES = {"background": 0, "lesion": 1}


def case(number, *, similarity=0.5, passed=True, edge=3):
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[:edge, :edge, :edge] = 1
    lesion = {"lesion_type": "liver cyst" if number % 2 else "kidney stone", "size_mm": [edge, edge, edge + 1.0]}
    return Case(
        id=f"c{number}",
        image=np.full((1, 9, 9, 9), number, np.float32),
        labels=labels,
        geometry=Geometry(labels.shape, np.eye(4)),
        channel_names=("MR",),
        label_names=NAMES,
        report={"lesions": [lesion]},
        provenance={
            "synthetic": True,
            "attempt": 2,
            "checks": [{"check": "not_a_copy", "value": similarity}, {"check": "image_noise", "outcome": "not made"}],
            "lesions": [{"passed": passed}, {"passed": True}],
            "adherence": {"Dice lung": 0.9},
        },
    )


@pytest.fixture
def made(tmp_path):
    out = Cohort.create(tmp_path / "in", channel_names=("MR",), label_names=NAMES, file_ending=".nii.gz")
    for number in range(6):
        out.write(case(number, similarity=number / 10, passed=number != 1, edge=2 + number))
    out.finish()
    return Cohort.open(tmp_path / "in")


def test_measures_and_types_of_a_case():
    found = measures_of(case(1, passed=False), Path())
    assert found["not_a_copy"] == 0.5
    assert found["attempt"] == 2
    assert found["lesions"] == 2
    assert found["lesions_as_asked"] == 0.5
    assert found["largest_lesion_mm"] == 4
    assert found["Dice_lung"] == 0.9
    assert found["foreground_share"] == found["share.lesion"] == pytest.approx(27 / 729)
    assert "image_noise" not in found
    assert types_of(case(1)) == ("liver cyst",)
    assert types_of(replace(case(1), report=None)) == ("lesion",)


def test_a_label_with_a_space_can_be_named_in_a_rule_and_absent_checks_are_none():
    spaced = replace(case(1), label_names={"background": 0, "liver tumor": 1}, provenance={"checks": None})
    found = measures_of(spaced, Path())
    assert found["share.liver_tumor"] == found["foreground_share"] > 0
    assert Rule.parse("share.liver_tumor>0").passes(found)


def test_only_cases_that_pass_every_rule_are_kept_and_losses_are_counted(made, tmp_path):
    found = select(made, tmp_path / "out", ["not_a_copy<0.4", "lesions_as_asked>=1"])
    assert found.kept == Cohort.open(tmp_path / "out").ids == ("c0", "c2", "c3")
    assert found.lines[:3] == (
        "kept: 3 of 6 (50%)",
        "pass not_a_copy<0.4: 4 of 6 (67%)",
        "pass lesions_as_asked>=1: 5 of 6 (83%)",
    )
    assert found.lines[-2:] == ("kept of kidney stone: 2 of 3 (67%)", "kept of liver cyst: 1 of 3 (33%)")
    assert [(kept.kept, kept.cases) for kept in found.by_size] == [(1, 2), (2, 2), (0, 2)]
    assert {kept.group: (kept.kept, kept.cases) for kept in found.by_type} == {
        "kidney stone": (2, 3),
        "liver cyst": (1, 3),
    }
    kept = Cohort.open(tmp_path / "out")
    np.testing.assert_array_equal(kept["c2"].image, made["c2"].image)
    assert kept["c2"].provenance == made["c2"].provenance


@pytest.mark.parametrize(
    ("small", "large", "said"),
    [
        (0, 5, "large masks are kept more often than small ones (Fisher's exact test, p = 0.0079): what is kept"),
        (5, 0, "small masks are kept more often than large ones (Fisher's exact test, p = 0.0079): what is kept"),
        (2, 5, ""),  # p = 0.17
    ],
)
def test_rules_that_prefer_a_size_are_told(small, large, said, made):
    by_size = Kept("small masks", small, 5), Kept("medium masks", 3, 5), Kept("large masks", large, 5)
    lines = Selection(made, (), Kept("kept", 8, 15), (), by_size, ()).lines
    assert lines[-1].startswith(said or "kept of large masks")
    assert len(lines) == 4 + bool(said)


def test_the_same_call_continues_and_another_is_refused(made, tmp_path):
    select(made, tmp_path / "out", ["not_a_copy<0.4"])
    select(made, tmp_path / "out", ["not_a_copy<0.4"])
    with pytest.raises(CohortError, match="with other options"):
        select(made, tmp_path / "out", ["not_a_copy<0.3"])


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_rule_compares(value, limit):
    for sign, holds in (("<", value < limit), ("<=", value <= limit), (">", value > limit), (">=", value >= limit)):
        assert Rule("m", sign, limit).passes({"m": value}) == holds
        assert not Rule("m", sign, limit).passes({})


@pytest.mark.parametrize(
    ("rules", "line"),
    [
        ([], r"--rule: none is given; at least one"),
        (["not_a_copy=1"], r"--rule: 'not_a_copy=1'; MEASURE, one of <= >= < >, NUMBER"),
        (["beauty>1"], r"no case has 'beauty'; the cases have Dice_lung, attempt, .*; name one of them"),
        (["not_a_copy<-1"], r"no case passes all rules \(not_a_copy<-1: 0 of 6 \(0%\)\); at least one; loosen a rule"),
    ],
)
def test_wrong_rules_are_refused_before_anything_is_written(made, tmp_path, rules, line):
    with pytest.raises(RequestError, match=line):
        select(made, tmp_path / "out", rules)
    assert not (tmp_path / "out").exists()


def test_a_cohort_without_cases_is_named(tmp_path):
    empty = Cohort.create(tmp_path / "in", channel_names=("MR",), label_names=NAMES, file_ending=".nii.gz")
    with pytest.raises(CohortError, match=r"in: has no cases; at least one; name a cohort that has some"):
        select(empty, tmp_path / "out", ["foreground_share>0"])
    assert not (tmp_path / "out").exists()


def test_numbers_are_read_in_every_usual_form():
    assert Rule.parse(" share.lesion >= 1e-3 ") == Rule("share.lesion", ">=", 0.001)
    assert str(Rule.parse("a<.5")) == "a<0.5"


@pytest.mark.parametrize(
    ("folder", "record"),
    [
        ("provenance", {"checks": "abc"}),
        ("provenance", {"checks": [{"check": None, "value": 1}]}),
        ("provenance", {"checks": [{"check": ["a"], "value": 1}]}),
        ("provenance", {"checks": [{"check": "a", "value": 10**400}]}),
        ("provenance", {"adherence": [1]}),
        ("provenance", {"lesions": 5}),
        ("reports", {"lesions": "abc"}),
        ("reports", {"lesions": [{"size_mm": "12"}]}),
        ("reports", {"lesions": [{"size_mm": 12}]}),
        ("reports", {"lesions": [{"size_mm": [None, 1]}]}),
        ("reports", {"lesions": [{"size_mm": [10**400]}]}),
    ],
)
def test_a_damaged_record_is_named_before_anything_is_written(made, tmp_path, folder, record):
    path = made.root / folder / "c0.json"
    path.write_text(json.dumps(record))
    line = f"{path}: is damaged; it holds what medsmith does not write; restore or remove it"
    with pytest.raises(FileError, match=f"^{re.escape(line)}$"):
        select(made, tmp_path / "out", ["foreground_share>0"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("shares", "groups"),
    [
        ((0, 0, 0, 0, 0), []),
        ((0, 0, 0, 0, 0.5), [("small", 4), ("large", 1)]),
        ((0.1, 0.2, 0.2, 0.2, 0.2, 0.3), [("small", 5), ("large", 1)]),
        ((0.1, 0.2, 0.3, 0.5, 0.5, 0.5), [("small", 2), ("large", 4)]),
        ((0.1, 0.2, 0.3, 0.4, 0.5), [("small", 2), ("medium", 2), ("large", 1)]),
    ],
)
def test_masks_of_one_size_lie_in_one_group(shares, groups):
    measures = {f"c{row}": {"foreground_share": share} for row, share in enumerate(shares)}
    found = _by_size(measures, [])
    assert [(each.group.split()[0], each.cases) for each in found] == groups
