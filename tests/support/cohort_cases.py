"""Small cases and cohorts for tests."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.geometry import Geometry

NAMES = {"background": 0, "lesion": 1}
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def make_case(case_id="c", seed=0, size=12, **changes):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (1, size, size, 1)).astype(np.float32)
    labels = np.zeros((size, size, 1), np.uint8)
    labels[2:5, 3:8] = 1
    geometry = Geometry.plain((size, size, 1))
    case = Case(case_id, image, labels, geometry, ("ultrasound",), NAMES, np.dtype(np.uint8))
    return replace(case, **changes)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def new_cohort(root, ending=".png", channels=("ultrasound",)):
    return Cohort.create(root, channel_names=channels, label_names=NAMES, file_ending=ending)
