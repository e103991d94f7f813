"""Cohorts that cannot be compared are refused by the folder that differs, before anything is read."""

import json
import re

import pytest

from medsmith import phantom
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError
from medsmith.evaluation.alike import check_alike


@pytest.fixture
def cohorts(tmp_path):
    return [phantom("breast", tmp_path / name, 1, size=32) for name in ("real", "synthetic", "training")]


def declared(cohort, **facts):
    """The same folder, whose dataset.json says something else."""
    path = cohort.root / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))
    return Cohort.open(cohort.root)


def refused(*cohorts, channel=None):
    with pytest.raises(CohortError) as caught:
        check_alike(*cohorts, channel=channel)
    return caught.value.line


def test_equal_cohorts_pass(cohorts):
    check_alike(*cohorts)
    check_alike(*cohorts, channel="ultrasound")


@pytest.mark.parametrize("place", [1, 2])
def test_a_slice_is_not_compared_with_a_volume(cohorts, tmp_path, place):
    cohorts[place] = phantom("ct", tmp_path / "ct", 1, size=48)
    line = f"{tmp_path / 'ct'}: is 3-D; {tmp_path / 'real'} is 2-D, and all must be equal; compare slices with slices"
    assert refused(*cohorts) == line


@pytest.mark.parametrize(
    ("ours", "theirs", "cure"),
    [
        ({}, {"nodule": 2}, 'add "nodule": 2 to the labels in dataset.json of the real cohort'),
        ({"cyst": 2}, {}, 'add "cyst": 2 to the labels in dataset.json of the synthetic cohort'),
        ({"cyst": 2}, {"nodule": 2}, "rename or renumber one of them"),
    ],
)
def test_the_cure_for_other_labels_says_where_one_is_missing(cohorts, ours, theirs, cure):
    plain = {"background": 0, "lesion": 1}
    real, synthetic = declared(cohorts[0], labels=plain | ours), declared(cohorts[1], labels=plain | theirs)
    line = f"{synthetic.root}: has the labels {plain | theirs}; {real.root} has {plain | ours}, and both must be equal"
    assert refused(real, synthetic, cohorts[2]) == f"{line}; {cure}"


@pytest.mark.parametrize("place", [1, 2])
def test_a_cohort_without_the_compared_channel_is_named(cohorts, place):
    cohorts[place] = declared(cohorts[place], channel_names={"0": "MR"})
    line = f"{cohorts[place].root}: has the channels MR; {cohorts[0].root} has ultrasound, and 'ultrasound' is compared"
    assert refused(*cohorts).startswith(line)
    assert re.search("has the channels ultrasound; .* 'T1' is compared", refused(*cohorts, channel="T1"))


def test_labels_that_one_cohort_has_alone_are_not_compared(cohorts):
    for folder in ("labelsTr", "provenance"):
        for path in (cohorts[1].root / folder).iterdir():
            path.unlink()
    check_alike(cohorts[0], declared(cohorts[1], labels={"background": 0, "mass": 1}), cohorts[2])
