"""Cohorts of noise with one bright box per case, as tests of segmentation networks need them."""

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.geometry import Geometry


def make_cohort(root, count, seed, *, shape=(24, 24, 1), synthetic=False, label="mass", copies=()):
    """Noise with one bright box per case; ``copies`` are written as further cases."""
    flat = shape[2] == 1
    cohort = Cohort.create(
        root,
        channel_names=("ultrasound",),
        label_names={"background": 0, label: 1},
        file_ending=".png" if flat else ".nii.gz",
    )
    rng = np.random.default_rng(seed)
    for number in range(count):
        labels = np.zeros(shape, np.uint8)
        x, y = rng.integers(2, shape[0] - 10, 2)
        labels[x : x + 8, y : y + 8, : None if flat else 6] = 1
        image = np.rint(np.clip(rng.normal(80, 25, shape) + 90 * labels, 0, 255)).astype(np.float32)
        cohort.write(a_case(f"case-{number:03d}", image, labels, cohort, synthetic))
    for number, case in enumerate(copies):
        cohort.write(a_case(f"copy-{number:03d}", case.image[0], case.labels, cohort, synthetic))
    cohort.finish()
    return cohort


def a_case(name, image, labels, cohort, synthetic):
    flat = labels.shape[2] == 1
    return Case(
        id=name,
        image=image[None],
        labels=labels,
        geometry=Geometry.plain(labels.shape) if flat else Geometry(labels.shape, np.eye(4)),
        channel_names=cohort.channel_names,
        label_names=cohort.label_names,
        stored=np.dtype(np.uint8 if flat else np.int16),
        provenance={"seed": 0} if synthetic else None,
    )
