"""The rule table and the reports drawn from it: 200 of each type obey it, validate, and survive being written out."""

import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.errors import RequestError
from medsmith.reports.organs import is_hollow, members_of
from medsmith.reports.parsing.report import parse_report
from medsmith.reports.rules import (
    INCOMPATIBLE_OPTIONS,
    LESION_TYPES,
    ORGAN_SPECIFIC_OPTIONS,
    Combination,
    check_anatomy,
    combinations,
    find_type,
    stated_attributes,
    types_of,
)
from medsmith.reports.sampling import check_report, complete_report, sample_report
from medsmith.reports.schema import LesionReport, ScanReport, json_schema
from medsmith.reports.vocabulary import ATTRIBUTES, Cavity
from medsmith.reports.wording import to_text

PAPER = (
    *("gallstone", "kidney stone", "liver cyst", "pancreas cyst", "kidney cyst", "esophageal cancer"),
    *("gallbladder cancer", "lung cancer", "liver cancer", "pancreas cancer", "kidney cancer", "stomach cancer"),
    *("colon cancer", "bladder cancer"),
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def drawn(name: str, count: int, **fixed: Any) -> list[LesionReport]:
    generator = rng()
    return [sample_report(name, generator, fixed) for _ in range(count)]


def test_the_types_of_the_paper_and_the_one_it_never_saw() -> None:
    assert set(LESION_TYPES) == {*PAPER, "intracranial hemorrhage"}
    assert [types_of(organ, "cyst") for organ in ("kidney_left", "spleen")] == [("kidney cyst",), ()]
    assert set(types_of("kidney")) == {"kidney stone", "kidney cyst", "kidney cancer"}


@pytest.mark.parametrize("name", LESION_TYPES)
def test_every_choice_of_the_table_is_anatomy(name: str) -> None:
    rules = LESION_TYPES[name]
    assert combinations(name)
    for choice in combinations(name):
        words = choice.words()
        assert all(rules.organ in ORGAN_SPECIFIC_OPTIONS.get(word, (rules.organ,)) for word in words)
        assert not any({one, other} <= words for one, other in INCOMPATIBLE_OPTIONS)
        assert (choice.cavity in get_args(Cavity)[:2]) == is_hollow(rules.organ)
        assert choice.hu[0] < choice.hu[1]
        assert 1 <= choice.morphology.longest_mm[0] < choice.morphology.longest_mm[1] <= 400
        assert 0 < choice.morphology.min_aspect < 1
        assert choice.weight > 0


def spoken(said: Combination | LesionReport) -> tuple[object, ...]:
    """All words of a report or of a choice of the table, to look up."""
    single = (said.enhancement, said.density, said.density_variation, said.surface, said.relationship, said.cavity)
    return (*single, frozenset(said.shape), frozenset(said.features))


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", LESION_TYPES)
def test_reports_of_each_type_obey_the_rules_and_are_read_back(name: str, count: int) -> None:
    rules = LESION_TYPES[name]
    reports = drawn(name, count)
    allowed: dict[Any, list[Any]] = {spoken(choice): [] for choice in combinations(name)}
    for choice in combinations(name):
        allowed[spoken(choice)].append(choice)
    for report in reports:
        assert (report.lesion_type, report.organ) == (name, rules.organ)
        assert stated_attributes(report).keys() | {"features"} == ATTRIBUTES.keys()
        numbers = {"size_mm": report.size_mm, "ct_value_hu": report.ct_value_hu}
        assert any(all(c.agrees(*number) for number in numbers.items()) for c in allowed[spoken(report)])
    for report in reports[:20]:
        check_report(report)
    scan = ScanReport(lesions=tuple(reports))
    assert ScanReport.model_validate_json(scan.model_dump_json()) == scan
    parsed = parse_report(to_text(scan))
    assert parsed.report == scan
    assert parsed.unplaced == ()


@pytest.mark.parametrize("name", LESION_TYPES)
def test_all_that_the_table_says_is_drawn(name: str) -> None:
    looks = {(c.density, c.density_variation, c.enhancement) for c in combinations(name)}
    shapes = {frozenset(c.shape) for c in combinations(name)}
    reports = drawn(name, 400)
    assert {(r.density, r.density_variation, r.enhancement) for r in reports} == looks
    assert {frozenset(r.shape) for r in reports} == shapes


def test_what_a_radiologist_would_laugh_at_is_never_drawn() -> None:
    for name in LESION_TYPES:
        for report in drawn(name, 60):
            words = " ".join(map(str, stated_attributes(report).values()))
            assert ("renal" in words) <= (report.organ == "kidney")
            assert ("pancreatic" in words) <= (report.organ == "pancreas")
            assert ("ground-glass" in words) <= (report.organ == "lung")
            assert ("serosal" in words) <= is_hollow(str(report.organ))
            assert ("ring enhancement" in words) <= (report.enhancement == "enhanced CT")
            if "stone" in name:
                assert (report.density, report.density_variation) == ("hyperdense", "homogeneous")
                assert report.features == ("stone",)
            if "cyst" in name and report.density != "hyperdense":
                assert -20 <= (report.ct_value_hu or 0) <= 30


def test_the_same_seed_draws_the_same() -> None:
    assert drawn("liver cancer", 20) == drawn("liver cancer", 20)
    assert len(set(map(str, drawn("liver cancer", 20)))) == 20


def test_long_tumours_of_the_esophagus_lie_along_it() -> None:
    for report in drawn("esophageal cancer", 50, shape=("luminal narrowing",)):
        assert report.size_mm is not None
        assert report.size_mm[2] == max(report.size_mm)


@given(st.sampled_from(sorted(LESION_TYPES)), st.integers(0, 2**32), st.data())
@settings(max_examples=30, deadline=None)
def test_what_is_fixed_stays(name: str, seed: int, data: st.DataObject) -> None:
    full = sample_report(name, rng(seed))
    names = data.draw(st.sets(st.sampled_from(sorted(stated_attributes(full)))))
    fixed = {key: value for key, value in stated_attributes(full).items() if key in names}
    again = sample_report(name, rng(seed + 1), fixed)
    assert {key: getattr(again, key) for key in names} == fixed
    check_report(again)


@pytest.mark.parametrize(
    ("name", "fixed", "said"),
    [
        ("kidney cyst", {"surface": "clear serosal surface"}, "allowed: 'well-defined margin'; 'clear boundary with"),
        ("kidney cyst", {"organ": "liver"}, "organ: 'liver' has no kidney cyst; allowed: kidney; kidney_left"),
        (
            "kidney cyst",
            {"shape": ("irregular",)},
            "shape: 'irregular' does not go with kidney cyst; allowed: 'round-l",
        ),
        ("kidney cyst", {"ct_value_hu": 300.0}, "ct_value_hu: 300 HU does not go with kidney cyst; allowed: -10 to 20"),
        (
            "kidney cyst",
            {"size_mm": (200.0, 9.0, 9.0)},
            "size_mm: 200 x 9 x 9 mm does not go with kidney cyst; allowed:",
        ),
        (
            "kidney cyst",
            {"enhancement": "enhanced CT", "density": "hyperdense"},
            "density: 'hyperdense' does not go with kidney cyst, 'enhanced CT'; allowed: 'hypodense fluid-like'; 'hypo",
        ),
        ("gallstone", {"features": ("spiculated margins",)}, "allowed: 'stone'; choose among them, or leave it open"),
        ("liver cyst", {"surface": "sharp"}, "surface: 'sharp' is not possible; there are well-defined margin,"),
        ("liver cyst", {"colour": "red"}, "colour: no such attribute; there are enhancement, organ,"),
        ("liver cyst", {"size_mm": (0.0, 1.0, 1.0)}, "size_mm: 0.0 is not possible"),
        ("spleen cyst", {}, "lesion type 'spleen cyst': no such type; there are "),
        ("xyzzy", {}, "there are gallstone, kidney stone, liver cyst"),
    ],
)
def test_what_contradicts_the_rules_is_refused(name: str, fixed: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        sample_report(name, rng(), fixed)
    assert said in caught.value.line


def test_options_can_be_ruled_out() -> None:
    for seed in range(30):
        without = ("spiculated margins", "enhanced CT", "irregular")
        report = sample_report("lung cancer", rng(seed), without=without)
        assert not set(without) & {*report.shape, *report.features, report.enhancement}
    with pytest.raises(RequestError, match="nothing is left without 'stone'"):
        sample_report("gallstone", rng(), without=("stone",))


def test_a_text_is_completed() -> None:
    parsed = parse_report("a 20 mm round-like hypodense cyst with a well-defined margin inside the right kidney")
    (asked,) = parsed.report.lesions
    got = complete_report(asked, rng())
    assert {key: getattr(got, key) for key in stated_attributes(asked)} == stated_attributes(asked)
    check_report(got)
    assert got.ct_value_hu is not None
    unknown = LesionReport(organ="spleen", density="hypodense")
    assert complete_report(unknown, rng()) == unknown


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"organ": "liver", "surface": "clear boundary with the renal parenchyma"}, "said only of kidney"),
        ({"organ": "liver", "shape": ("wall thickening",)}, "said only of colon, duodenum"),
        (
            {"organ": "colon", "cavity": "within the parenchymal organ"},
            "'within the parenchymal organ' in organ 'colon'",
        ),
        ({"organ": "kidney", "density": "low-density ground-glass opacity"}, "said only of lung"),
        ({"organ": "liver", "features": ("retention of pancreatic fluid",)}, "said only of pancreas"),
        ({"enhancement": "non-contrast CT", "density": "ring enhancement"}, "contradicts"),
        ({"density_variation": "homogeneous", "density": "mixed-density"}, "'homogeneous' contradicts 'mixed-density'"),
    ],
)
def test_anatomy_holds_for_lesions_of_no_type(said: dict[str, Any], line: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_anatomy(LesionReport(**said))
    assert line in caught.value.line


def test_organs_that_nobody_knows_are_not_judged() -> None:
    check_anatomy(LesionReport(organ="breast", cavity="within the parenchymal organ"))


def test_bound_options_are_options() -> None:
    options = {option for row in ATTRIBUTES.values() for option in row.options}
    assert ORGAN_SPECIFIC_OPTIONS.keys() <= options
    assert {option for pair in INCOMPATIBLE_OPTIONS for option in pair} <= options
    assert all(
        set(organs) >= set(members_of(organs[0])) for organs in ORGAN_SPECIFIC_OPTIONS.values() if organs[0] == "kidney"
    )


def test_the_json_schema_lists_every_option() -> None:
    text = json.dumps(json_schema())
    assert all(json.dumps(option) in text for row in ATTRIBUTES.values() for option in row.options)


def test_nearest_type_is_named() -> None:
    with pytest.raises(RequestError, match="there are kidney cyst"):
        find_type("kidney cist")
