"""What a run refuses before it starts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, ContentError, RequestError, TrainingError
from medsmith.geometry import Geometry
from medsmith.training import Budget, train
from medsmith.training.dry_run import forecast
from run_state import settings


def cohort_of(folder: Path, image: np.ndarray, labels: np.ndarray) -> Cohort:
    names = {"background": 0, "lesion": 1}
    cohort = Cohort.create(folder, channel_names=("ultrasound",), label_names=names, file_ending=".png")
    for index in range(2):
        cohort.write(
            Case(
                id=f"case_{index}",
                image=image.astype(np.float32)[None],
                labels=labels.astype(np.uint8),
                geometry=Geometry.plain((16, 16, 1)),
                channel_names=("ultrasound",),
                label_names=names,
                stored=np.dtype(np.uint8),
            )
        )
    cohort.finish()
    return Cohort.open(folder)


SPECKLE = np.random.default_rng(0).integers(0, 255, (16, 16, 1))
SQUARE = np.pad(np.ones((4, 4, 1)), ((6, 6), (6, 6), (0, 0)))


def test_a_constant_image_is_refused(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path / "cohort", np.full((16, 16, 1), 7), SQUARE)
    with pytest.raises(ContentError, match="case_0: no body found: every voxel of channel ultrasound is 7"):
        train("ddpm", cohort, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_cohort_without_labels_is_refused(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path / "cohort", SPECKLE, np.zeros((16, 16, 1)))
    with pytest.raises(CohortError, match="no case has a labeled voxel; give a cohort with labels"):
        train("ddpm", cohort, tmp_path / "run")


def test_a_run_inside_the_cohort_it_learns_from_is_refused(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path / "cohort", SPECKLE, SQUARE)
    with pytest.raises(CohortError, match="nothing is written into what is read; choose a place outside"):
        train("ddpm", cohort, cohort.root / "run")
    assert not (cohort.root / "run").exists()


def test_a_call_that_is_refused_leaves_nothing_and_does_not_block_a_corrected_one(tmp_path: Path) -> None:
    cohort, run = cohort_of(tmp_path / "cohort", SPECKLE, SQUARE), tmp_path / "run"
    with pytest.raises(RequestError, match=r"training.batch = 4 is no multiple of 3 devices; choose another number"):
        train("ddpm", cohort, run, settings=settings("ddpm", "training.batch=4"), devices=3)
    assert not run.exists()
    run.mkdir()
    in_parts = settings("ddpm", "training.batch=4", "training.accumulate=4")
    with pytest.raises(RequestError, match=r"training.batch = 4 is no multiple of 2 devices with 4 parts each"):
        train("ddpm", cohort, run, settings=in_parts, devices=2)
    assert not list(run.iterdir())
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=1))
    assert (run / "weights.safetensors").exists()


def test_what_a_stage_refuses_when_it_begins_leaves_nothing(tmp_path: Path) -> None:
    whole = cohort_of(tmp_path / "whole", SPECKLE, SQUARE)
    cohort = Cohort.create(
        tmp_path / "apart", channel_names=whole.channel_names, label_names=whole.label_names, file_ending=".png"
    )
    cohort.write(replace(whole["case_0"], labels=None))
    cohort.write(replace(whole["case_1"], image=None))
    cohort.finish()
    with pytest.raises(TrainingError, match=r"stage 'image': no case has an image and labels"):
        train("segguided", Cohort.open(cohort.root), tmp_path / "run", settings=settings("segguided"))
    assert not (tmp_path / "run").exists()


def test_a_refused_call_changes_nothing_of_a_trained_run(cohort: Cohort, copied: Path) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in copied.rglob("*") if path.is_file() and path.name != "log.txt"}

    before = files()
    with pytest.raises(RequestError, match=r"training.batch = 2 is no multiple of 3 devices"):
        train("ddpm", cohort, copied, settings=settings(), devices=3)
    assert files() == before


@pytest.mark.parametrize(
    ("devices", "line"),
    [
        (0, r"devices: 0; at least 1 process and at most 1024 processes"),
        (1025, r"devices: 1025; at least 1 process and at most 1024 processes"),
        (3, r"devices: 3; this machine has 2 for one process each; choose fewer"),
    ],
)
def test_a_number_of_devices_that_cannot_be_is_refused_before_a_case_is_read(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, devices: int, line: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(Cohort, "content_hash", None)
    with pytest.raises(RequestError, match=line):
        train("ddpm", cohort, tmp_path / "run", settings=settings(), devices=devices)
    with pytest.raises(RequestError, match=line):
        forecast("ddpm", cohort, tmp_path / "run", "tiny", settings(), 0, Budget(), devices)
    assert not (tmp_path / "run").exists()
