"""Plans: the first proposal that fits memory and time, costs measured by real steps, files that may be edited."""

import json
import re
import subprocess
import sys

import pytest

import medsmith.training.plan
import micro
from medsmith.errors import RequestError
from medsmith.formats.atomic import write_json
from medsmith.methods.lldm import Lldm
from medsmith.training.plan import make_plan, read_plan
from medsmith.training.trial import Measured, Trial, measure
from run_state import settings

GIB = 2**30


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return micro.micro_cohort(tmp_path_factory.mktemp("volumes") / "c", dimensions=3, classes=2)


@pytest.fixture
def tried(monkeypatch):
    """Trials that are not run: seconds and bytes by the size that is tried; the trials that were asked for."""
    asked: list[Trial] = []

    def run(trial, seconds):
        assert 0 < seconds <= 240
        asked.append(trial)
        size = json.loads(next(each for each in trial.settings if each.startswith("size=")).removeprefix("size="))
        return Measured(seconds_per_step=size[0] / 100, peak_bytes=size[0] * GIB)

    monkeypatch.setattr(medsmith.training.plan, "_run", run)
    return asked


def test_the_first_proposal_that_fits_is_taken(volumes, tried):
    lines: list[str] = []
    plan = make_plan("lldm", volumes, max_minutes=1e9, max_gib=9, report=lines.append)
    assert plan.settings[0] == "size=[8, 8, 8]"
    assert [stage.name for stage in plan.stages] == [
        "label_autoencoder", "label_diffusion", "image_autoencoder", "image_diffusion", "control_labels",
    ]  # fmt: skip
    assert plan.memory_gib == 8
    assert plan.minutes == pytest.approx(sum(stage.steps * 0.08 / 60 for stage in plan.stages), abs=0.3)
    assert [line.split(" label")[0] for line in lines] == [
        "too much (1), trying less: size=[16, 8, 8]",
        "too much (2), trying less: size=[12, 8, 8]",
        "too much (3), trying less: size=[12, 8, 8]",
    ]
    assert lines[0].endswith(": stage 'label_autoencoder' takes 16.0 GiB")
    assert all(trial.settings[-1] == Lldm.trial_settings[0] for trial in tried)


def test_what_fits_nowhere_is_refused_with_the_limits(volumes, tried):
    with pytest.raises(RequestError, match=re.escape("; 1.0 GiB and 5 minutes; give --max-minutes or --max-gib more")):
        make_plan("lldm", volumes, max_minutes=5, max_gib=1)
    assert tried


@pytest.mark.usefixtures("tried")
def test_time_counts_over_all_stages(volumes):
    with pytest.raises(RequestError, match=r"minutes up to stage '\w+'"):
        make_plan("lldm", volumes, max_minutes=0.5, max_gib=100)


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
    trial = Trial(
        method="ddpm", preset="tiny", settings=tuple(settings()), cohort=cohort.root, ids=cohort.ids[:3], stage="stack",
        folder=tmp_path / "run",
    )  # fmt: skip
    found = measure(trial)
    assert 0 < found.seconds_per_step < 60
    assert found.peak_bytes > 50 * 2**20
    assert (tmp_path / "run" / "checkpoints" / "stack").is_dir()


def test_a_trial_in_a_process_answers_in_json_or_says_what_does_not_fit(cohort, tmp_path):
    trial = Trial(
        method="ddpm", preset="tiny", settings=("size=[8,8,8]",), cohort=cohort.root, ids=cohort.ids[:2], stage="stack",
        folder=tmp_path / "run",
    )  # fmt: skip
    command = [sys.executable, "-m", "medsmith.training.trial"]
    ended = subprocess.run(command, input=trial.model_dump_json(), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert json.loads(ended.stdout)["error"].startswith("size: [8, 8, 8]; the cohort is 2-D; set size=[8,8]")


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
