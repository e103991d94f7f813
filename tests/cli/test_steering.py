"""The options that steer, as entries of a request."""

from pathlib import Path

import pytest

from medsmith.cli import main
from medsmith.cli.app import pairs
from medsmith.cli.steering import SteeringOptions
from medsmith.errors import RequestError


@pytest.fixture
def cohort(tmp_path):
    (tmp_path / "cohort").mkdir()
    return tmp_path / "cohort"


def test_a_case_is_a_cohort_and_a_name_and_a_folder_is_a_cohort(cohort):
    options = SteeringOptions(texture=[f"{cohort}/case_1", str(cohort)])
    assert options.entries({})["guides"] == [
        {"image": {"cohort": str(cohort), "case": "case_1"}},
        {"image": {"cohort": str(cohort)}},
    ]


def test_each_lesion_takes_its_own_values_in_order(cohort):
    options = SteeringOptions(
        pathology=[str(cohort), f"{cohort}/b"],
        at=["0.3,0.4", "0.5,0.6"],
        scale=[2.0, 1.0],
        within="lung",
        lesion_label="nodule",
    )
    first, second = options.entries({})["pathologies"]
    common = {"within": "lung", "label": "nodule"}
    assert first == {"case": {"cohort": str(cohort)}, "at": [0.3, 0.4], "scale": 2.0, **common}
    assert second == {"case": {"cohort": str(cohort), "case": "b"}, "at": [0.5, 0.6], "scale": 1.0, **common}


def test_options_change_entries_of_the_file_and_keep_their_other_settings(cohort):
    stored = {
        "anatomy": {"space": "old", "factor": 8},
        "guides": [{"image": "other", "factor": 4, "until": 0.1}, {"image": "kept"}],
        "pathologies": [{"case": "other", "factor": 2, "at": [0, 0]}],
    }
    options = SteeringOptions(anatomy=Path("new"), texture=[str(cohort)], at=["0.1,0.2"])
    found = options.entries(stored)
    assert found["anatomy"] == {"space": "new", "factor": 8}
    assert found["guides"][0] == {"image": {"cohort": str(cohort)}, "factor": 4, "until": 0.1}
    assert found["guides"][1] == {"image": "kept"}
    assert found["pathologies"] == [{"case": "other", "factor": 2, "at": [0.1, 0.2]}]
    assert SteeringOptions().entries(stored) == {}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"texture": ["nowhere/at/all"]}, "--texture: 'nowhere/at/all' is neither a cohort nor a case of one; write"),
        ({"texture": ["nope"]}, "--texture: 'nope' is neither a cohort nor a case of one; write"),
        ({"pathology": [""]}, "--pathology: '' is neither a cohort nor a case of one; write"),
        ({"at": ["0.1,0.2"]}, "--at: given 1 times for 0 lesions; one for each --pathology; name the cases"),
        (
            {"within": "lung"},
            "--within: 'lung' for no lesion; lesions are transplanted; name the cases with --pathology",
        ),
        ({"within": ""}, "--within: '' for no lesion; lesions are transplanted; name the cases with --pathology"),
        (
            {"lesion_label": "mass", "anatomy": Path("s")},
            "--lesion-label: 'mass' for no lesion; lesions are transplanted",
        ),
        ({"pathology": ["."], "scale": [1.0, 2.0]}, "--scale: given 2 times for 1 lesions"),
        (
            {"pathology": [".", "."], "at": ["0.1,0.2"]},
            "--at: given 1 times for 2 lesions; one for each --pathology; give --at 2 times",
        ),
        (
            {"pathology": [".", ".", "."], "rotate": [1.0, 2.0]},
            "--rotate: given 2 times for 3 lesions; one for each --pathology; give --rotate 3 times",
        ),
        ({"pathology": ["."], "at": ["left"]}, "--at: 'left'; numbers separated by commas; write 0.3,0.5, say"),
        ({"pathology": ["."], "at": ["nan,1"]}, "--at: 'nan,1'; numbers separated by commas"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_option(options, line):
    with pytest.raises(RequestError) as refusal:
        SteeringOptions(**options).entries({})
    assert refusal.value.line.startswith(line)


@pytest.mark.parametrize("stored", [3, "lung", [1]])
def test_odd_entries_of_the_file_do_not_stop_the_options(stored, cohort):
    found = SteeringOptions(anatomy=Path("new"), pathology=[str(cohort)], texture=[str(cohort)])
    entries = found.entries(dict.fromkeys(("anatomy", "guides", "pathologies"), stored))
    assert entries["anatomy"] == {"space": "new"}
    assert entries["pathologies"] == ([1] if stored == [1] else [{"case": {"cohort": str(cohort)}}])


def test_a_name_is_given_once():
    assert pairs("--gray", ["a=1", "b=", "c=x=y"]) == {"a": "1", "b": "", "c": "x=y"}
    with pytest.raises(RequestError) as refusal:
        pairs("--gray", ["organ=1", "vessel=2", "organ=3"])
    assert refusal.value.line == "--gray: 'organ' is given twice: 1 and 3; give it once"


def test_empty_percentiles_are_refused(tmp_path, capsys):
    assert main(["prepare", str(tmp_path), str(tmp_path / "out"), "--percentiles", ""]) == 2
    assert capsys.readouterr().err == "--percentiles: ''; numbers separated by commas; write 0.3,0.5, say\n"
    assert not (tmp_path / "out").exists()
