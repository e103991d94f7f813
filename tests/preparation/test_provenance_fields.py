"""Of the provenance of a real case no free text reaches another cohort; that of a synthetic one is kept whole."""

import json

import numpy as np
import pytest

from cohort_cases import make_case, new_cohort
from medsmith.geometry import Geometry
from medsmith.preparation import merge, prepare, split
from medsmith.preparation.crop import CropOptions, crop
from medsmith.preparation.provenance_fields import PREDICTED_LABELS, known_provenance

SPACED = Geometry((12, 12, 1), np.eye(4))
PREDICTED = {
    "synthetic": False,
    "notice": PREDICTED_LABELS,
    "labels": "predicted",
    "labeler": "0a" * 32,
    "rules": {"parts": {"1": 2}, "holes": [1]},
    "confidence": {"lesion": 0.93},
}
PLANTED = {
    "patient": "Jane DOE",
    "DOE": 1,
    "notice": "seen by Dr DOE",
    "labels": "drawn by DOE",
    "labeler": "DOE",
    "rules": {"parts": {"1": "DOE"}, "holes": []},
    "confidence": {"DOE": 0.5},
    "crop_of": "DOE",
    "versions": {"doctor": "DOE"},
    "files": {"DOE.png": "0"},
}


def cohort(root, *records):
    """Cases a, b, ... with these records of provenance."""
    made = new_cohort(root)
    for index in range(len(records)):
        made.write(make_case("abcdef"[index], seed=index))
    made.finish()
    (root / "provenance").mkdir(exist_ok=True)
    for index, record in enumerate(records):
        (root / "provenance" / f"{'abcdef'[index]}.json").write_text(json.dumps(record))
    return root


def names_doe(*roots):
    return [path for root in roots for path in root.rglob("*") if path.is_file() and b"DOE" in path.read_bytes()]


def records_of(made):
    return {case.id: {key: each for key, each in case.provenance.items() if key != "files"} for case in made}


def test_a_planted_name_reaches_no_prepared_merged_or_split_cohort(tmp_path):
    one = cohort(tmp_path / "one", {**PREDICTED, **PLANTED}, PREDICTED, {"synthetic": False, **PLANTED})
    two = cohort(tmp_path / "two", {**PREDICTED, "reviewed": "DOE, 3 May"})
    assert len(names_doe(one, two)) == 3
    said = {name: list[str]() for name in ("prepare", "split", "merge")}
    prepared = prepare(one, tmp_path / "prepared", report=said["prepare"].append)
    sides = split(one, tmp_path / "a", tmp_path / "b", report=said["split"].append)
    merged = merge((one, two), tmp_path / "merged", report=said["merge"].append)
    assert not names_doe(prepared.root, sides[0].root, sides[1].root, merged.root)
    assert records_of(prepared) == {"a": {"synthetic": False}, "b": PREDICTED, "c": {"synthetic": False}}
    assert records_of(merged)["two-a"] == PREDICTED
    assert {**records_of(sides[0]), **records_of(sides[1])} == records_of(prepared)
    line = "9 entries of its provenance that medsmith does not know: left out (a, c)"
    assert f"note, 2 times: {line}" in said["prepare"]
    what = "real cases: entries of the provenance that medsmith does not know are left out"
    assert said["merge"] == ["one: 3 cases", f"2 {what} (a, c)", "two: 1 case", f"1 {what} (a)"]
    assert sum(int(line[0]) for line in said["split"] if what in line) == 2


def test_a_planted_name_reaches_no_crop(tmp_path):
    made = new_cohort(tmp_path / "in", ending=".nii.gz")
    case = make_case("a", geometry=SPACED)
    made.write(case)
    made.finish()
    (tmp_path / "in" / "provenance").mkdir(exist_ok=True)
    (tmp_path / "in" / "provenance" / "a.json").write_text(json.dumps({**PREDICTED, "patient": "DOE"}))
    said: list[str] = []
    done = crop(tmp_path / "in", tmp_path / "out", CropOptions((8.0, 8.0, 1.0)), report=said.append)
    assert not names_doe(done.root)
    assert records_of(done) == {"a": {**PREDICTED, "crop_of": "a"}}
    assert said[-1].endswith("does not know are left out (a)")
    again = prepare(done.root, tmp_path / "again")
    assert records_of(again) == records_of(done)


def test_the_record_of_a_synthetic_case_is_kept_whole(tmp_path):
    record = {"synthetic": True, "method": "other", "anything": {"text": "kept"}}
    one = cohort(tmp_path / "one", record)
    two = cohort(tmp_path / "two", {"method": "other", "text": "kept"})
    assert records_of(merge((one, two), tmp_path / "m")) == {
        "one-a": record,
        "two-a": {"method": "other", "text": "kept"},
    }


@pytest.mark.parametrize("key", sorted(PLANTED.keys() - {"files"}))
def test_each_planted_entry_alone_is_left_out_and_counted(key):
    case, dropped = known_provenance(make_case(provenance={**PREDICTED, key: PLANTED[key]}))
    assert dropped == 1
    assert case.provenance == {each: value for each, value in PREDICTED.items() if each != key}


def test_what_medsmith_writes_is_kept_and_nothing_counted():
    assert known_provenance(make_case(provenance=PREDICTED))[1] == 0
    case = make_case()
    assert known_provenance(case) == (case, 0)
