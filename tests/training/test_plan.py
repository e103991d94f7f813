"""Plans: the first proposal that fits memory and time, costs measured by real steps, files that may be edited."""

import json
import re
import subprocess
import sys

import pytest

import medsmith.training.planning
import medsmith.training.stage_costs
import micro
from medsmith.errors import RequestError, error_from_json, error_to_json
from medsmith.formats.atomic import write_json
from medsmith.methods.lldm import Lldm
from medsmith.training.plan import read_plan
from medsmith.training.planning import make_plan
from medsmith.training.trial import Measured, Trial, measure
from medsmith.training.trial_process import measured
from run_state import settings

GIB = 2**30


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return micro.micro_cohort(tmp_path_factory.mktemp("volumes") / "c", dimensions=3, classes=2)


@pytest.fixture
def tried(monkeypatch):
    """Trials that are not run: seconds and bytes by the size that is tried; the trials that were asked for."""
    asked: list[Trial] = []

    def measured(trial, seconds):
        assert 0 < seconds <= 240
        asked.append(trial)
        edge = size_of(trial.settings)[0]
        for _ in trial.stages:
            yield Measured(seconds_per_step=edge / 100, peak_bytes=edge * GIB)

    monkeypatch.setattr(medsmith.training.stage_costs, "measured", measured)
    return asked


def trial_of(cohort, folder, *lines):
    """A trial of the only stage of ddpm on three cases."""
    return Trial(
        method="ddpm",
        preset="tiny",
        settings=lines,
        cohort=cohort.root,
        ids=cohort.ids[:3],
        stages=("stack",),
        folder=folder / "run",
    )


def size_of(lines):
    return json.loads(next(each for each in lines if each.startswith("size=")).removeprefix("size="))


def test_the_largest_proposal_that_fits_is_found_from_the_smallest(volumes, tried):
    lines: list[str] = []
    plan = make_plan("lldm", volumes, max_minutes=1e9, max_gib=14, report=lines.append)
    assert size_of(tried[0].settings) == [8, 8, 8]
    assert plan.settings[0] == "size=[12, 8, 8]"
    assert [stage.name for stage in plan.stages] == [
        "label_autoencoder", "label_diffusion", "image_autoencoder", "image_diffusion", "control_labels",
    ]  # fmt: skip
    assert plan.memory_gib == 12
    assert plan.minutes == pytest.approx(sum(stage.steps * 0.12 / 60 for stage in plan.stages), abs=0.3)
    assert lines[0] == "planning: a few steps of each stage, 240 seconds at most"
    assert all(trial.settings[-1] == Lldm.trial_settings[0] for trial in tried)


def test_what_should_fit_and_does_not_is_said_and_the_next_is_tried(volumes, tried):
    lines: list[str] = []
    plan = make_plan("lldm", volumes, max_minutes=1e9, max_gib=15.9, report=lines.append)
    sizes = [size_of(trial.settings) for trial in tried]
    assert sizes[:2] == [[8, 8, 8], [16, 8, 8]]
    assert re.match(r"too much, trying less: size=\[16, 8, 8\] .*: stage 'label_autoencoder' takes 16.0 GiB", lines[1])
    assert plan.settings[0] == "size=[12, 8, 8]"


def test_what_fits_nowhere_is_refused_after_one_trial_with_the_limits(volumes, tried):
    with pytest.raises(RequestError, match=re.escape("; 1.0 GiB and 5 minutes; give --max-minutes, --max-gib or")):
        make_plan("lldm", volumes, max_minutes=5, max_gib=1)
    assert len(tried) == 1


@pytest.mark.usefixtures("tried")
def test_time_counts_over_all_stages(volumes):
    with pytest.raises(RequestError, match=r"minutes up to stage '\w+'"):
        make_plan("lldm", volumes, max_minutes=0.5, max_gib=100)


def test_planning_ends_in_time_with_the_best_so_far(volumes, tried, monkeypatch):
    clock = iter([0.0, 1.0, 9.0, 10.0, *[200.0] * 99])
    monkeypatch.setattr(medsmith.training.planning, "monotonic", lambda: next(clock))
    plan = make_plan("lldm", volumes, max_minutes=1e9, max_gib=100, planning_seconds=30)
    assert len(tried) == 2
    assert plan.settings[0] == "size=[16, 8, 8]"


def test_a_trial_without_an_answer_in_time_is_ended(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "sleeper"))
    (tmp_path / "sleeper").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "sleeper").chmod(0o755)
    trial = trial_of(cohort, tmp_path)
    (found,) = measured(trial, 0.2)
    assert found == "does not finish its first steps in what is left of the time for planning (0 s)"


@pytest.mark.parametrize(
    ("script", "said"),
    [("kill -KILL $$", "was killed, as processes are that take too much memory"), ("echo no; echo oh >&2", "oh")],
)
def test_a_trial_that_ends_early_says_why(script, said, cohort, tmp_path, monkeypatch):
    (tmp_path / "program").write_text(f"#!/bin/sh\nread -r line\n{script}\n")
    (tmp_path / "program").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "program"))
    trial = trial_of(cohort, tmp_path)
    if "KILL" in script:
        assert list(measured(trial, 30)) == [said]
    else:
        with pytest.raises(RuntimeError, match=f"the trial of stage 'stack' failed:\n{said}"):
            list(measured(trial, 30))


def test_an_error_of_a_trial_is_raised_where_the_plan_is_made(cohort, tmp_path, monkeypatch):
    answer = json.dumps({"error": error_to_json(RequestError("size", "[8, 8, 8]", "the cohort is 2-D"))})
    (tmp_path / "program").write_text(f"#!/bin/sh\nread -r line\necho a line of a library\necho '{answer}'\n")
    (tmp_path / "program").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "program"))
    with pytest.raises(RequestError, match=re.escape("size: [8, 8, 8]; the cohort is 2-D")):
        list(measured(trial_of(cohort, tmp_path), 30))


@pytest.mark.usefixtures("tried")
def test_a_method_without_proposals_keeps_its_preset_and_settings(volumes):
    plan = make_plan("ddpm", volumes, settings=["size=[8,8,8]"], max_minutes=1e9, max_gib=100)
    assert plan.settings == ("size=[8,8,8]",)


@pytest.mark.usefixtures("tried")
def test_proposals_that_do_not_go_with_the_settings_are_passed_over(volumes):
    plan = make_plan("lldm", volumes, settings=["size=[6,8,10]"], max_minutes=1e9, max_gib=100)
    assert plan.settings[-1] == "size=[6,8,10]"
    with pytest.raises(RequestError, match="every axis must be a multiple of 2"):
        make_plan("lldm", volumes, settings=["size=[5,8,10]"], max_minutes=1e9, max_gib=100)


def test_proposals_shrink_and_fit_the_networks():
    facts = micro.fingerprint(3, 2).model_copy(update={"shape": (160, 151, 61)})
    found = Lldm.proposals("tiny", facts)
    sizes = [json.loads(each[0].removeprefix("size=")) for each in found]
    assert sizes[0] == [160, 152, 64]
    assert sizes == sorted(sizes, key=lambda size: -size[0])
    assert all(edge % 8 == 0 for edge in sizes[0])
    assert Lldm.proposals("paper", facts)[0] == ("size=[160, 152, 64]",)


def test_a_trial_is_a_training_of_a_few_steps(cohort, tmp_path):
    trial = trial_of(cohort, tmp_path, *settings())
    (found,) = measure(trial)
    assert 0 < found.seconds_per_step < 60
    assert found.peak_bytes > 50 * 2**20
    assert (tmp_path / "run" / "checkpoints" / "stack").is_dir()


def test_a_trial_in_a_process_answers_in_json_or_says_what_does_not_fit(cohort, tmp_path):
    trial = trial_of(cohort, tmp_path, "size=[8,8,8]")
    command = [sys.executable, "-m", "medsmith.training.trial"]
    ended = subprocess.run(command, input=trial.model_dump_json(), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    error = error_from_json(json.loads(ended.stdout)["error"])
    assert error.line == "size: [8, 8, 8]; the cohort is 2-D; give --set size=[8,8]"


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"method": "pig", "preset": "tiny", "settings": []}, "is a plan for pig; lldm is asked for; name that method"),
        ({"method": "lldm", "preset": "tiny"}, "'settings' is missing"),
        ({"method": "lldm", "preset": "tiny", "settings": [], "speed": 1}, "unknown key 'speed'"),
        ({"method": "lldm", "preset": "huge", "settings": []}, "plan.json: no preset 'huge'; there are "),
        ({"method": "lldm", "preset": "tiny", "settings": ["speed=1"]}, "plan.json: its settings are refused: "),
    ],
)
def test_a_file_that_is_no_plan_for_the_method_is_refused(plan, said, tmp_path):
    write_json(tmp_path / "plan.json", plan)
    with pytest.raises(RequestError, match=re.escape(said)):
        read_plan(tmp_path / "plan.json", "lldm")


def test_an_edited_plan_is_read(tmp_path):
    write_json(tmp_path / "plan.json", {"method": "lldm", "preset": "tiny", "settings": ["training.batch=2"]})
    assert read_plan(tmp_path / "plan.json", "lldm").settings == ("training.batch=2",)
