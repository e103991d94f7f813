"""Plans of a method that trains nothing say so, and what a case costs."""

import json
import re
from dataclasses import replace

import pytest

import medsmith.training.trial_process
from medsmith.cli import main
from medsmith.synthesis import forecast, options
from medsmith.training.planning import make_plan
from organ_scans import scan, written
from synthesis_fakes import InProcessExecutor

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    monkeypatch.setattr(medsmith.training.trial_process, "measured", None)  # nothing is to be tried
    real = options.SynthesisOptions

    def in_process(**given):
        return real(executor=InProcessExecutor, **given)

    monkeypatch.setattr(forecast, "SynthesisOptions", in_process)
    return written([replace(scan(f"p{number}", noise=5), id=f"p{number}") for number in range(3)], tmp_path / "c")


def test_a_plan_without_training_says_so_and_what_a_case_costs(cohort, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["plan", "copypaste", str(cohort.root), str(tmp_path / "plan.json"), "--set", "kept_templates=2"])
    assert ended.value.code == 0
    first, cost, following = capsys.readouterr().out.splitlines()
    said = "copypaste has nothing to train: medsmith train reads the cohort once; settings: kept_templates=2"
    assert first == said
    number, size = r"[0-9.e-]+", r"[0-9.]+ [KMG]iB"
    shown = rf"synthesis: {number} s a case in one worker, {size} of memory, {size} of disk \(one was made\)"
    assert re.fullmatch(shown, cost)
    assert following.endswith(f"--run RUN --plan {tmp_path / 'plan.json'}")
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert (plan["method"], plan["stages"], plan["settings"]) == ("copypaste", [], ["kept_templates=2"])


def test_its_costs_are_values_for_programs(cohort, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["plan", "copypaste", str(cohort.root), str(tmp_path / "plan.json"), "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert (facts["minutes"], facts["stages"]) == (0, [])
    assert set(facts["synthesis"]) == {"seconds_per_case", "memory_per_worker_bytes", "bytes_per_case"}
    assert all(value > 0 for value in facts["synthesis"].values())


def test_no_plan_is_left_where_no_case_can_be_made(cohort, tmp_path, capsys):
    words = ["plan", "copypaste", str(cohort.root), str(tmp_path / "plan.json"), "--set", "structures=[nowhere]"]
    assert main(words) == 2
    assert "nowhere" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "plan.json").exists()


def test_nothing_is_announced_where_nothing_is_tried(cohort):
    lines: list[str] = []
    plan = make_plan("copypaste", cohort, report=lines.append)
    assert (plan.stages, lines) == ((), [])
