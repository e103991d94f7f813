"""Combinations of attributes that a cohort lacks, and the reports that fill them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.reports.collection import read_reports
from medsmith.reports.coverage import COUNTED, count_unplaced, coverage, lesions_of, missing_reports
from medsmith.reports.rules import LESION_TYPES, combinations
from medsmith.reports.sampling import check_report, sample_report
from medsmith.reports.schema import LesionReport

RNG_SEED = 3


def sampled(name, count, seed=RNG_SEED):
    rng = np.random.default_rng(seed)
    return [sample_report(name, rng) for _ in range(count)]


@pytest.mark.parametrize("name", sorted(LESION_TYPES))
def test_each_sampled_lesion_is_counted_in_one_combination(name):
    lesions = sampled(name, 12)
    for attributes in (("density",), ("shape", "surface"), COUNTED):
        cells = coverage(lesions, attributes, 1)
        assert sum(cell.count for cell in cells) == len(lesions)
        assert {cell.lesion_type for cell in cells} == {name}


@settings(deadline=None, max_examples=10)
@given(name=st.sampled_from(sorted(LESION_TYPES)), chosen=st.sets(st.sampled_from(COUNTED), min_size=1, max_size=3))
def test_the_reports_fill_what_is_missing_and_obey_the_rules(name, chosen):
    attributes = sorted(chosen)
    lesions = sampled(name, 2)
    cells = coverage(lesions, attributes, 1)
    added = list(missing_reports(cells, np.random.default_rng(0)))
    assert len(added) == sum(cell.missing for cell in cells)
    for report in added:
        check_report(report)
    assert all(cell.missing == 0 for cell in coverage([*lesions, *added], attributes, 1))


def test_counts_and_lines():
    name = sorted(LESION_TYPES)[0]
    density = combinations(name)[0].density
    lesions = [LesionReport(lesion_type=name, density=density)] * 2
    (cell,) = [cell for cell in coverage(lesions, ["density"], 3) if cell.values["density"] == density]
    assert (cell.count, cell.missing, cell.line) == (2, 1, f"{name}, {density}: 2")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (([], ["density"], 1), "no lesion has a type that the rules know; combinations are those of a type; name a"),
        (([], ["color"], 1), "--by: no attribute 'color'; there are enhancement, shape"),
        (([], ["density"], 0), "--wanted: 0; at least 1; correct it"),
        (([], ["density"], 10_001), "--wanted: 10001; at most 10,000; correct it"),
    ],
)
def test_wrong_requests_are_refused(arguments, line):
    with pytest.raises(RequestError, match=line):
        coverage(*arguments)


@pytest.fixture
def reported(tmp_path):
    """A cohort of one label map with one report."""
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[3:6, 3:6, 3:6] = 1
    names = {"background": 0, "lesion": 1}
    lesion = {"lesion_type": "liver cyst", "density": "hypodense"}
    out = Cohort.create(tmp_path / "in", channel_names=(), label_names=names, file_ending=".nii.gz")
    grid = Geometry(labels.shape, np.eye(4))
    out.write(Case("one", None, labels, grid, (), names, report={"lesions": [lesion]}))
    out.finish()
    return out.root


def test_the_command_counts_and_writes_reports_that_synthesize_takes(reported, tmp_path, capsys):
    out = tmp_path / "missing.jsonl"
    with pytest.raises(SystemExit) as ended:
        main(["coverage", str(reported), "--by", "density", "--wanted", "2", "--out", str(out)])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    counts = ["liver cyst, hypodense fluid-like: 0", "liver cyst, hypodense: 1"]
    assert lines == ["lesions of each type, density:", *counts, lines[-1]]
    assert lines[-1] == (
        f"{out}: 3 reports of missing lesions; to make them: medsmith synthesize lesiondiffusion MORE "
        f"--templates SCANS --report {out} --count 3"
    )
    densities = [str(report.lesions[0].density) for report in read_reports(out)]
    assert sorted(densities) == ["hypodense", "hypodense fluid-like", "hypodense fluid-like"]
    assert main(["coverage", str(reported), "--out", str(out)]) == 2
    assert "exists; a new .jsonl file; choose another name" in capsys.readouterr().err
    inside = reported / "reports" / "missing.jsonl"
    assert main(["coverage", str(reported), "--out", str(inside)]) == 2
    assert capsys.readouterr().err.startswith(f"{inside}: lies in or on {reported}; nothing is written into what")
    assert not inside.exists()


def test_lesions_of_no_combination_are_counted(reported, capsys):
    cyst = {"lesion_type": "liver cyst"}
    lesions = [cyst, {**cyst, "density": "hypodense"}, {**cyst, "density": "hyperdense"}, {"density": "hypodense"}]
    (reported / "reports" / "one.json").write_text(json.dumps({"lesions": lesions}))
    counted = [LesionReport.model_validate(each) for each in lesions]
    assert count_unplaced(counted, coverage(counted, ["density"], 1)) == 2
    for arguments in ([], ["--json"]):
        with pytest.raises(SystemExit) as ended:
            main(["coverage", str(reported), "--by", "density", *arguments])
        assert ended.value.code == 0
    *lines, record = capsys.readouterr().out.splitlines()
    assert "2 lesions do not state density, or break the rules" in lines
    assert '"unplaced": 2' in record


def test_lesions_count_for_the_type_that_was_asked_for_whatever_type_their_measures_fit(reported):
    cancer, asked = {"lesion_type": "kidney cancer", "density": "hyperdense"}, {"lesion_type": "kidney cyst"}
    lesions = {"lesions": [cancer, cancer], "requested": [{**asked, "density": "hypodense"}, {}]}
    (reported / "reports" / "one.json").write_text(json.dumps(lesions))
    found = lesions_of(Cohort.open(reported))
    assert [(each.lesion_type, each.density) for each in found] == [
        ("kidney cyst", "hyperdense"),
        ("kidney cancer", "hyperdense"),
    ]
    (reported / "reports" / "one.json").write_text(json.dumps({**lesions, "requested": [asked]}))
    assert {each.lesion_type for each in lesions_of(Cohort.open(reported))} == {"kidney cancer"}


def test_a_damaged_report_is_named(reported, capsys):
    (reported / "reports" / "one.json").write_text('{"lesions": [{"density": "purple"}]}')
    assert main(["coverage", str(reported)]) == 2
    assert "one.json" in capsys.readouterr().err


def reported_as(cohort, lesions, **more):
    (cohort / "reports" / "one.json").write_text(json.dumps({"lesions": lesions, **more}))
    return str(cohort)


def said(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["coverage", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out.splitlines()


UNTYPED = [
    {"organ": "kidney_left", "size_mm": [9.0, 10.0, 8.0], "density": "hypodense"},
    {"organ": "kidney_left", "size_mm": [9.9, 9.0, 8.0], "density": "hyperdense"},
    {"organ": "liver", "size_mm": [30.0, 9.0, 8.0], "lesion_type": "hemangioma", "density": "hypodense"},
    {"measured": {"edge_x_pixels": 16.0, "edge_y_pixels": 31.9, "area_pixels": 400.0}},
    {},
]
COUNTED_UNTYPED = [
    "5 lesions without a type that the rules know (medsmith report types lists them): "
    "how many are missing is not known, how many there are is",
    "density hypodense: 2",
    "density hyperdense: 1",
    "density not stated: 2",
    "longest edge under 10 mm: 1",
    "longest edge 10 to under 20 mm: 1",
    "longest edge 30 mm or more: 1",
    "longest edge 16 to under 32 pixels: 1",
    "longest edge not stated: 1",
    "organ left kidney: 2",
    "organ liver: 1",
    "organ not stated: 2",
]


def test_lesions_without_a_type_are_counted_by_size_and_organ(reported, capsys):
    cohort = reported_as(reported, UNTYPED)
    assert said(capsys, cohort) == COUNTED_UNTYPED
    record = json.loads(said(capsys, cohort, "--json")[0])
    assert (record["combinations"], record["missing"], record["untyped"]["lesions"]) == ([], None, 5)
    assert record["untyped"]["combinations"] == {
        "density hypodense": 2,
        "density hyperdense": 1,
        "density not stated": 2,
    }
    assert record["untyped"]["organ"] == {"left kidney": 2, "liver": 1, "not stated": 2}


def test_lesions_without_a_type_are_counted_by_what_is_asked(reported, capsys):
    lines = said(capsys, reported_as(reported, UNTYPED), "--by", "density,surface")
    assert lines[1:4] == [
        "density hypodense, surface not stated: 2",
        "density not stated, surface not stated: 2",
        "density hyperdense, surface not stated: 1",
    ]


def test_lesions_without_a_type_are_told_beside_those_that_have_one(reported, capsys):
    cohort = reported_as(reported, [*UNTYPED, {"lesion_type": "liver cyst", "density": "hypodense"}])
    lines = said(capsys, cohort)
    assert lines[:3] == [
        "lesions of each type, density:",
        "liver cyst, hypodense fluid-like: 0",
        "liver cyst, hypodense: 1",
    ]
    assert lines[3:] == ["missing: 1 lesion, for at least 1 of each combination", *COUNTED_UNTYPED]
    assert (
        said(capsys, reported_as(reported, UNTYPED), "--type", "liver cyst")[-len(COUNTED_UNTYPED) :] == COUNTED_UNTYPED
    )


def test_what_cannot_be_counted_is_refused_with_its_cure(reported, tmp_path, capsys):
    out = tmp_path / "gaps.jsonl"
    assert main(["coverage", reported_as(reported, UNTYPED), "--out", str(out)]) == 2
    assert "no lesion has a type that the rules know" in capsys.readouterr().err
    assert not out.exists()
    assert main(["coverage", reported_as(reported, []), "--by", "density"]) == 2
    assert (
        "no lesion in any report; the lesions of reports are counted; run medsmith describe" in capsys.readouterr().err
    )
    assert main(["coverage", reported_as(reported, UNTYPED), "--by", "color"]) == 2
    assert "no attribute 'color'" in capsys.readouterr().err
    phantom = reported_as(reported, [{"shape": "spiculated"}], phantom={"family": "breast"})
    assert main(["coverage", phantom]) == 2
    line = (
        "reports its phantom in words of its own; coverage counts structured reports; measure the lesions: run medsmith"
    )
    assert f"{line} describe {reported} --replace" in capsys.readouterr().err
