"""What a training would take, before it: costs of a trial, steps that are left, and nothing written."""

import pytest

import medsmith.training.stage_costs
from medsmith.errors import FileError, RequestError, RunError
from medsmith.runs.folder import StageCheckpoints
from medsmith.training import Budget, train
from medsmith.training.dry_run import forecast
from medsmith.training.trial import Measured
from run_state import settings

GIB, EXAMPLE, WEIGHTS = 2**30, 1000, 70


@pytest.fixture
def tried(monkeypatch):
    """Trials that are not run, but leave files of known sizes; the trials that were asked for."""
    asked = []

    def measured(trial, seconds):
        assert seconds == 240
        asked.append(trial)
        (trial.folder / "examples" / "prepared-x").mkdir(parents=True, exist_ok=True)
        (trial.folder / "examples" / "prepared-x" / "image.bin").write_bytes(b"x" * EXAMPLE * len(trial.ids))
        (trial.folder / "weights.safetensors").write_bytes(b"x" * WEIGHTS)
        yield Measured(seconds_per_step=1.5, peak_bytes=2 * GIB)

    monkeypatch.setattr(medsmith.training.stage_costs, "measured", measured)
    return asked


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_costs_are_those_of_the_trial_for_all_steps_and_cases(cohort, tmp_path, tried):
    found = forecast("ddpm", cohort, tmp_path / "run", "tiny", settings(), 0, Budget(steps=80))
    assert [(stage.steps, stage.minutes, stage.memory_gib) for stage in found.stages] == [(80, 2.0, 2.0)]
    assert (found.cases, found.minutes) == (len(cohort), 2.0)
    assert (found.examples_bytes, found.run_bytes) == (EXAMPLE * len(cohort), WEIGHTS)
    shape = cohort.geometry(cohort.ids[0]).shape
    assert found.decoded_bytes == shape[0] * shape[1] * 2 * len(cohort)  # a byte of gray and one of label
    assert "80 steps to make, 0 are made; 1.5 s a step: 2.0 min, 2.0 GiB" in found.lines[1]
    assert not (tmp_path / "run").exists()
    assert not tried[0].folder.exists()


@pytest.mark.usefixtures("tried")
def test_a_method_without_networks_is_not_given_a_time_of_zero(cohort, tmp_path):
    found = forecast("copypaste", cohort, tmp_path / "run", "tiny", (), 0, Budget())
    assert (found.stages, found.cases) == ((), len(cohort))
    assert found.lines[1] == "nothing to train: the cohort is read once"
    assert not [line for line in found.lines if "min" in line or "memory" in line]
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_continued_needs_the_steps_that_are_left(cohort, tmp_path, tried):
    run = train("ddpm", cohort, tmp_path / "run", settings=settings(), budget=Budget(steps=2))
    before = files(run)
    found = forecast("ddpm", cohort, run, "tiny", settings(), 0, Budget(steps=42))
    assert (found.stages[0].steps, found.done) == (40, {"stack": 2})
    assert found.minutes == 1.0
    earlier = StageCheckpoints(run, "stack").entries()[0].seconds / 60
    limited = forecast("ddpm", cohort, run, "tiny", settings(), 0, Budget(steps=42, elapsed_minutes=0.25 + earlier))
    assert limited.minutes == pytest.approx(0.25)
    assert "about 0.2 min, all that the limit of time leaves, in one process" in limited.lines[2]
    assert "time: about 1.0 min in one process" in found.lines[2]
    spent = forecast("ddpm", cohort, run, "tiny", settings(), 0, Budget(steps=42, elapsed_minutes=earlier / 2))
    assert spent.minutes == 0
    assert files(run) == before
    with pytest.raises(RunError, match="was started with seed 0; 1 is requested"):
        forecast("ddpm", cohort, run, "tiny", settings(), 1, Budget(steps=42))
    assert len(tried) == 3


def test_what_the_call_would_refuse_is_refused(cohort, tmp_path, monkeypatch):
    with pytest.raises(RequestError, match="no preset 'large'"):
        forecast("ddpm", cohort, tmp_path / "run", "large", (), 0, Budget())
    monkeypatch.setattr(medsmith.training.stage_costs, "measured", lambda *_: iter(["was killed"]))
    with pytest.raises(RequestError, match="ddpm: stage 'stack' was killed; choose smaller settings: medsmith plan"):
        forecast("ddpm", cohort, tmp_path / "run", "tiny", settings(), 0, Budget())
    with pytest.raises(RequestError, match="no stage 'third'; there are stack"):
        forecast("ddpm", cohort, tmp_path / "run", "tiny", settings(), 0, Budget(stage="third"))


def test_a_file_in_the_place_of_the_run_is_refused_as_by_the_call(cohort, tmp_path, tried):
    (tmp_path / "file").write_text("mine")
    for call in (lambda run: forecast("ddpm", cohort, run, "tiny", settings(), 0, Budget()),
                 lambda run: train("ddpm", cohort, run, settings=settings())):  # fmt: skip
        with pytest.raises(FileError, match=r"file: cannot be made or written to \(File exists\); choose another"):
            call(tmp_path / "file")
    assert not tried
