"""What a synthetic cohort says of where it comes from: real cases that its generator has seen, and copies by design."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest

import micro
from medsmith import Budget, phantom, train
from medsmith.cases.cohort import Cohort
from medsmith.data.copies import Searchable
from medsmith.errors import FileError
from medsmith.evaluation import evaluate, summary_lines
from medsmith.evaluation.fidelity.comparison import ComparisonPlan
from medsmith.evaluation.fidelity.radiomics import Radiomics
from medsmith.evaluation.origin import made_from_notes, origin_notes
from medsmith.evaluation.pages.page import Page
from medsmith.evaluation.privacy import measure_privacy
from medsmith.evaluation.privacy import summary_lines as privacy_lines
from medsmith.evaluation.privacy.threshold import CALIBRATED, IMAGES, Threshold, uncalibrated_notes
from medsmith.methods import method_class

SEEN = "in the training cohort of the generator"


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    root = tmp_path_factory.mktemp("origin")
    counts = {"train": (9, 0), "test": (9, 1), "synthetic": (6, 2)}
    return {name: phantom("breast", root / name, count, seed=seed, size=32) for name, (count, seed) in counts.items()}


def renamed(cohort, root, provenance):
    """The same cases under other ids, each with a provenance."""
    out = Cohort.create(
        root, channel_names=cohort.channel_names, label_names=cohort.label_names, file_ending=cohort.file_ending
    )
    for number, case in enumerate(cohort):
        out.write(replace(case, id=f"other_{number}", provenance=provenance(number)))
    out.finish()
    return out


def images_of(cohort):
    return cohort.ids_with_image, Searchable.of(case.require_image() for case in cohort).coarse


def test_cases_that_are_in_the_training_cohort_are_told_whatever_they_are_called(cohorts, tmp_path):
    mixed = renamed(cohorts["train"], tmp_path / "mixed", lambda _: None)
    known = images_of(cohorts["train"])[1]
    found = origin_notes("real", mixed, images_of(mixed), known, cohorts["synthetic"])
    assert len(found) == 1
    assert found[0].startswith(
        f"Caution: 9 of 9 real cases were {SEEN} (other_0, other_1, other_2 and 6 more): they are"
    )
    assert origin_notes("real", cohorts["test"], images_of(cohorts["test"]), known, cohorts["synthetic"]) == ()


def test_cases_that_the_run_behind_the_cohort_was_trained_on_are_told(cohorts, tmp_path, monkeypatch):
    learned, synthetic, test = (cohorts[name] for name in ("train", "synthetic", "test"))
    settings = micro.micro_settings("ddpm", method_class("ddpm"), 2)
    train("ddpm", learned, tmp_path / "run", settings=settings, budget=Budget(steps=1))
    record = synthetic.root / "synthesis.json"
    record.write_text(json.dumps({"run": os.path.relpath(tmp_path / "run", synthetic.root)}))
    monkeypatch.setattr("medsmith.evaluation.compare_cohorts.evaluation_page", lambda *_: Page("", [], [], {}))
    monkeypatch.setattr("medsmith.evaluation.privacy.measuring.privacy_page", lambda *_: Page("", [], [], {}))
    try:
        (whole,) = origin_notes("real", learned, images_of(learned), None, synthetic)
        assert f"9 of 9 real cases were {SEEN}" in whole
        part = renamed(learned.subset(learned.ids[:3]), tmp_path / "part", lambda _: None)
        (some,) = origin_notes("held-out", part, images_of(part), None, synthetic)
        assert f"3 of 3 held-out cases were {SEEN}" in some
        plan, out = ComparisonPlan(splits=2, halvings=2), tmp_path / "out"
        found = evaluate(learned, synthetic, out, plan=plan, extractors=[Radiomics()])
        assert summary_lines(found)[1] == json.loads((out / "evaluation.json").read_text())["notes"][0] == whole
        private = measure_privacy(synthetic, test, tmp_path / "privacy", held_out=learned, extractors=[])
        assert privacy_lines(private)[1] == whole.replace("real cases", "held-out cases", 1)
        record.write_text(json.dumps({"run": "nowhere"}))
        assert origin_notes("real", learned, images_of(learned), None, synthetic) == ()
    finally:
        record.unlink()


def test_cases_made_from_given_ones_are_copies_by_design_and_their_sources_no_test(cohorts, tmp_path):
    def provenance(number):
        pasted = {"pasted": [{"donor": "b"}]} if number < 4 else {}
        return {"method": "copypaste" if pasted else "lesiondiffusion", "template": cohorts["test"].ids[0], **pasted}

    made = renamed(cohorts["synthetic"], tmp_path / "made", provenance)
    pasted, inserted = made_from_notes(made)
    assert pasted.startswith("4 of 6 synthetic cases were made by copypaste from given images and structures of other")
    assert "by design" in pasted
    assert inserted.startswith("2 of 6 synthetic cases were made by lesiondiffusion in given images: outside of what")
    caution, *others = origin_notes("real", cohorts["test"], images_of(cohorts["test"]), None, made)
    assert others == [pasted, inserted]
    said = f"1 of 9 real cases have the ids of cases that synthetic ones were made from ({cohorts['test'].ids[0]})"
    assert said in caution
    assert made_from_notes(cohorts["synthetic"]) == ()


@pytest.mark.parametrize("pasted", ["abc", 5, None, [{}], [1]])
def test_damaged_structures_of_a_provenance_are_named(cohorts, tmp_path, pasted):
    made = renamed(cohorts["synthetic"], tmp_path / "made", lambda _: {"template": "a", "pasted": pasted})
    line = f"{made.root / 'provenance' / 'other_0.json'}: is damaged; it holds what medsmith does not write; "
    with pytest.raises(FileError, match=f"^{re.escape(line)}"):
        made_from_notes(made)


@pytest.mark.parametrize("count", [5, CALIBRATED - 1])
def test_too_few_cases_for_a_threshold_are_told_with_the_number_that_suffices(count):
    few, enough = (Threshold.of(np.linspace(0.1, 0.6, n), IMAGES, 0) for n in (count, CALIBRATED))
    assert (few.is_calibrated, enough.is_calibrated) == (False, True)
    assert few.as_json()["holds_5_percent_false_alarms"] is False
    (line,) = uncalibrated_notes({"whole images": few, "label maps": enough}, "held-out")
    assert f"(whole images {count}; near-duplicates do not count)" in line
    assert f"by chance, here {100 / (count + 1):.0f} %." in line
    assert "need at least 19 held-out cases" in line
    assert uncalibrated_notes({"label maps": enough}, "held-out") == ()
