"""Options that say which label maps images follow."""

import re

import pytest

from medsmith.cli.label_maps import LabelMapOptions
from medsmith.errors import RequestError


def test_options_become_entries_of_a_request(tmp_path):
    assert LabelMapOptions().entries({}) == {}
    assert LabelMapOptions(maps="deformed").entries({}) == {"maps": "deformed"}
    assert LabelMapOptions(labels=str(tmp_path)).entries({}) == {"labels": {"cohort": str(tmp_path)}}
    case = LabelMapOptions(labels=f"{tmp_path}/case_1").entries({})
    assert case == {"labels": {"cohort": str(tmp_path), "case": "case_1"}}


def test_given_and_drawn_maps_at_once_are_refused(tmp_path):
    with pytest.raises(RequestError, match=re.escape("--maps: 'deformed' beside --labels; the labels are given")):
        LabelMapOptions(labels=str(tmp_path), maps="deformed").entries({})


def test_labels_that_are_no_case_are_refused():
    with pytest.raises(RequestError, match="--labels: 'no/where' is neither a cohort nor a case of one"):
        LabelMapOptions(labels="no/where").entries({})
