"""A file in the place of a report that holds what no report does is refused in one line."""

import json

import pytest

from medsmith.errors import CohortError
from medsmith.evaluation.pages.earlier_report import check_same_report


@pytest.mark.parametrize(
    ("stored", "part"),
    [({"evaluation": [1]}, "evaluation"), ({"evaluation": "a"}, "evaluation"), ({}, "evaluation"), ({"facts": []}, "")],
)
def test_a_report_without_facts_is_one_of_another_kind(tmp_path, stored, part):
    record = tmp_path / "evaluation.json"
    record.write_text(json.dumps(stored))
    with pytest.raises(CohortError) as caught:
        check_same_report(record, lambda: {"options": ""}, part)
    found = "holds a report of another kind (evaluation.json)"
    assert caught.value.line == f"{tmp_path}: {found}; one folder, one report; choose a new folder"
    record.write_text(json.dumps({part: {"facts": {"options": ""}}} if part else {"facts": {"options": ""}}))
    check_same_report(record, lambda: {"options": ""}, part)
