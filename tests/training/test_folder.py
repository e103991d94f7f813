"""What lies in a run folder."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import medsmith.methods
import medsmith.training.previews
import medsmith.training.stage_loop
import micro
from medsmith.cases.cohort import Cohort
from medsmith.runs.model_card import Learned, cases_line
from medsmith.training import Budget, train
from run_state import settings

SOURCES = Path(__file__).parents[2] / "src" / "medsmith"


def test_metrics_have_one_line_per_logged_step_whatever_was_torn(cohort, copied, monkeypatch):
    monkeypatch.setattr(medsmith.training.stage_loop, "LOG_EVERY", 2)
    with (copied / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "stack", "step": 9, "seconds": 1, "network": 1.0}\n5\n{"stage": 1}\n{"stage": "sta')
    train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=9))
    steps = [json.loads(line)["step"] for line in (copied / "metrics.jsonl").read_text().splitlines()]
    assert steps == [4, 6, 8, 9]


def test_the_run_folder_explains_itself(cohort, run):
    train("ddpm", cohort, run, settings=settings(), seed=6, budget=Budget(steps=4))
    assert {path.name for path in run.iterdir()} == {
        "README.md", "checkpoints", "examples", "log.txt", "manifest.json", "memory.safetensors", "metrics.jsonl",
        "run.json", "samples", "weights.safetensors",
    }  # fmt: skip
    assert len(list((run / "samples").iterdir())) == 4
    record = json.loads((run / "run.json").read_text())
    assert record["fingerprint"]["cohort_hash"] == cohort.content_hash()
    assert {"medsmith", "torch", "monai", "numpy", "python"} <= record["versions"].keys()
    card = (run / "README.md").read_text()
    for fact in (
        "# ddpm, preset tiny", "synthetic research data, not for diagnosis", "Trained on 5 cases", "ultrasound",
        "5 with image and labels. Labels, as shares of the 5 cases that have some: mass (100%).",
        cohort.content_hash()[:16], "Grid 8 x 8, seed 6", "float32", "- stack: 4 of 2000 steps",
        "medsmith synthesize",
    ):  # fmt: skip
        assert fact in card
    assert str(run.parent) not in card + (run / "run.json").read_text()


def card_of(name, cohort, run, *more):
    """The lines of a model card that say what was learned from."""
    train(name, cohort, run, settings=settings(name, *more), budget=Budget(steps=1))
    lines = (run / "README.md").read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("- Trained on"))
    return lines[start], [line.rpartition(", ")[2] for line in lines if "minutes" in line]


def test_the_card_counts_cases_that_have_labels(tmp_path):
    """Five cases: two whole, two images alone, one label map alone; the cyst is in one of the three label maps."""
    cases = [micro.micro_case(index, 2, 2) for index in range(5)]
    cases[0] = replace(cases[0], labels=(cases[0].labels == 1).astype(np.uint8))
    cases[1], cases[3] = replace(cases[1], labels=None), replace(cases[3], labels=None)
    cases[4] = replace(cases[4], image=None, labels=(cases[4].labels == 1).astype(np.uint8))
    names, channels = cases[0].label_names, cases[0].channel_names
    cohort = Cohort.create(tmp_path / "mixed", channel_names=channels, label_names=names, file_ending=".png")
    for case in cases:
        cohort.write(case)
    cohort.finish()
    mixed = Cohort.open(tmp_path / "mixed")
    has = "of 5 cases (ultrasound; 2-D): 2 with image and labels, 2 with only an image, 1 with only labels."
    labels = "Labels, as shares of the 3 cases that have some: mass (100%), cyst (33%)."
    assert card_of("pig", mixed, tmp_path / "pig") == (f"- Trained on 2 {has} {labels}", ["2 cases", "2 cases"])
    unused = f"- Trained on 4 {has} Labels are not used."
    assert card_of("mddpm", mixed, tmp_path / "mddpm") == (unused, ["4 cases"])


def test_the_card_of_older_fingerprints_and_of_images_alone():
    facts = micro.fingerprint()
    known = Learned({"image": 4}, 4, True)
    whole = (
        "Trained on 4 cases (ultrasound; 2-D): 4 with image and labels. "
        "Labels, as shares of the 4 cases that have some: mass (100%)."
    )
    older = facts.model_copy(update={"images": None, "labeled": None})
    assert cases_line(facts, known) == cases_line(older, known) == whole
    alone = facts.model_copy(update={"labeled": 0, "label_share": {}})
    assert cases_line(alone, Learned({"image": 4}, 4, False)) == (
        "Trained on 4 cases (ultrasound; 2-D): 4 with only an image."
    )


@pytest.mark.parametrize("order", [("zone", "aorta"), ("aorta", "zone")])
def test_the_card_names_labels_by_value_however_a_record_orders_them(order):
    facts = micro.fingerprint()
    names, share = {"background": 0, "zone": 1, "aorta": 2}, {"zone": 0.25, "aorta": 0.5}
    shuffled = facts.model_copy(
        update={
            "label_names": {name: names[name] for name in ("background", *order)},
            "label_share": {name: share[name] for name in order},
        }
    )
    assert "zone (25%), aorta (50%)." in cases_line(shuffled, Learned({"image": facts.count}, facts.count, True))


def test_nothing_that_reads_files_can_run_code():
    forbidden = re.compile(
        r"\b(pickle|cPickle|dill|joblib|marshal|shelve)\b|torch\.(load|save)\(|np\.load\(|yaml\.load\("
    )
    sources = list(SOURCES.rglob("*.py"))
    assert len(sources) > 50
    found = [f"{path.name}: {line}" for path in sources for line in path.read_text().splitlines()
             if forbidden.search(line)]  # fmt: skip
    assert found == []
