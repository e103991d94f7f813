"""Small cohorts that are exported, and DICOM series full of names that must not be found again."""

from pathlib import Path

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.geometry import Geometry

NAMES = {"background": 0, "liver": 1, "liver_tumor": 2}
OBLIQUE = np.array([[-1.2, 0.4, 0.0, 30.0], [-0.3, -1.6, 0.0, 12.5], [0.0, 0.0, 2.5, -40.0], [0, 0, 0, 1.0]])
"""Perpendicular columns; turned about the axis to the head."""
SAGITTAL = np.array([[0.0, 0.0, 3.0, -20.0], [-1.0, 0.0, 0.0, 44.0], [0.0, -1.5, 0.0, 60.0], [0, 0, 0, 1.0]])
SHAPE = (12, 10, 8)


def labels_of(shape=SHAPE):
    """A liver with a hole, and a tumor in it."""
    labels = np.zeros(shape, np.uint8)
    labels[2:9, 2:8, 1:5] = 1
    labels[4, 4, 2] = 0
    labels[5:7, 5:7, 2:4] = 2
    return labels


def exported_case(id="one", affine=OBLIQUE, *, stored=np.int16, synthetic=False, seed=0, channels=("CT",)):
    """A case with an image of whole numbers, or of any numbers where it is stored as floats."""
    rng = np.random.default_rng(seed)
    image = rng.normal(40, 300, (len(channels), *SHAPE)).astype(np.float32)
    if np.issubdtype(stored, np.integer):
        image = np.rint(image)
    made = {"synthetic": True, "method": "pig", "case_seed": "77", "weights_hash": "ab" * 32}
    return Case(
        id=id,
        image=image,
        labels=labels_of(),
        geometry=Geometry(SHAPE, np.asarray(affine, np.float64)),
        channel_names=channels,
        label_names=NAMES,
        stored=np.dtype(stored),
        provenance=made if synthetic else None,
    )


def cohort_of(root: Path, *cases: Case) -> Cohort:
    """A cohort of such cases."""
    out = Cohort.create(root, channel_names=cases[0].channel_names, label_names=NAMES, file_ending=".nii.gz")
    for case in cases:
        out.write(case)
    out.finish()
    return Cohort.open(root)
