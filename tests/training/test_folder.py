"""What lies in a run folder."""

import json
import re
from pathlib import Path

import medsmith.methods
import medsmith.training.previews
import medsmith.training.stage_loop
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
        "README.md", "checkpoints", "examples", "manifest.json", "memory.safetensors", "metrics.jsonl", "run.json",
        "samples", "weights.safetensors",
    }  # fmt: skip
    assert len(list((run / "samples").iterdir())) == 4
    record = json.loads((run / "run.json").read_text())
    assert record["fingerprint"]["cohort_hash"] == cohort.content_hash()
    assert {"medsmith", "torch", "monai", "numpy", "python"} <= record["versions"].keys()
    card = (run / "README.md").read_text()
    for fact in (
        "# ddpm, preset tiny", "synthetic research data, not for diagnosis", "Trained on 5 cases", "ultrasound",
        "mass (100% of cases)", cohort.content_hash()[:16], "Grid 8 x 8, seed 6", "float32", "- stack: 4 of 2000 steps",
        "medsmith synthesize",
    ):  # fmt: skip
        assert fact in card
    assert str(run.parent) not in card + (run / "run.json").read_text()


def test_nothing_that_reads_files_can_run_code():
    forbidden = re.compile(
        r"\b(pickle|cPickle|dill|joblib|marshal|shelve)\b|torch\.(load|save)\(|np\.load\(|yaml\.load\("
    )
    sources = list(SOURCES.rglob("*.py"))
    assert len(sources) > 50
    found = [f"{path.name}: {line}" for path in sources for line in path.read_text().splitlines()
             if forbidden.search(line)]  # fmt: skip
    assert found == []
