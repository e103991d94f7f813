"""What a run refuses before it starts."""

from pathlib import Path

import numpy as np
import pytest

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, ContentError
from medsmith.geometry import Geometry
from medsmith.training import train


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
