"""Slices of known shapes, and cohorts of them."""

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.geometry import Geometry

NAMES = {"background": 0, "organ": 1, "vessel": 2}
AIR, FAT, LUNG, SOFT, BONE = -1000.0, -100.0, -800.0, 40.0, 700.0


def ellipse(size, center, radii, angle=0.0):
    """Pixels whose centers lie inside an ellipse; lengths in fractions of the field of view."""
    x, y = ((np.arange(n) + 0.5) / n for n in size)
    across, along = np.meshgrid(x - center[0], y - center[1], indexing="ij")
    turned = across * np.cos(angle) + along * np.sin(angle), along * np.cos(angle) - across * np.sin(angle)
    return (turned[0] / radii[0]) ** 2 + (turned[1] / radii[1]) ** 2 < 1


def circle(radius=0.3, center=(0.5, 0.5), along=384, radii=None):
    """Points evenly spaced in angle on a circle or ellipse, from its foremost point."""
    angle = np.pi / 2 + np.arange(along) * 2 * np.pi / along
    a, b = radii or (radius, radius)
    return np.stack([center[0] + a * np.cos(angle), center[1] + b * np.sin(angle)], axis=1)


def organ_labels(rng, size=(64, 64), vessel=True):
    """An ellipse, and a disk that moves with its right edge."""
    labels = np.zeros(size, np.uint8)
    radii = 0.2 + 0.05 * rng.random(), 0.15 + 0.05 * rng.random()
    center = 0.45 + 0.04 * rng.random(), 0.5 + 0.04 * rng.random()
    labels[ellipse(size, center, radii)] = 1
    if vessel:
        labels[ellipse(size, (center[0] + radii[0] + 0.12, center[1]), (0.06, 0.06))] = 2
    return labels


def organ_cohort(root, count=14, size=(64, 64), mm=None, images=True, seed=0):
    """Slices with an organ, and a vessel in three of four; gray values 60 and 120 on 100, and some noise."""
    rng = np.random.default_rng(seed)
    ending = ".png" if mm is None else ".nii.gz"
    cohort = Cohort.create(root, channel_names=("MR",) if images else (), label_names=NAMES, file_ending=ending)
    for index in range(count):
        labels = organ_labels(rng, size, vessel=index % 4 != 3)
        image = np.array([100.0, 60.0, 120.0])[labels] + rng.integers(-3, 4, size)
        cohort.write(as_case(f"case-{index:02d}", image if images else None, labels, mm, cohort))
    cohort.finish()
    return Cohort.open(root)


def as_case(case_id, image, labels, mm, cohort):
    shape = (*labels.shape, 1)
    grid = Geometry.plain(shape) if mm is None else Geometry(shape, np.diag([mm, mm, 1.0, 1.0]))
    pixels = None if image is None else image[None, :, :, None].astype(np.float32)
    stored = np.dtype(np.uint8 if mm is None else np.float32)
    return Case(case_id, pixels, labels[..., None], grid, cohort.channel_names, cohort.label_names, stored)


def chest(size=(128, 128), seed=0):
    """A chest in HU on a table: the image, and the masks of body, lungs and vertebra."""
    rng = np.random.default_rng(seed)
    body = ellipse(size, (0.5, 0.55), (0.38, 0.25))
    lungs = ellipse(size, (0.32, 0.57), (0.12, 0.16)) | ellipse(size, (0.68, 0.57), (0.12, 0.16))
    vertebra = ellipse(size, (0.5, 0.38), (0.05, 0.05))
    hu = np.full(size, AIR)
    x, y = ((np.arange(n) + 0.5) / n for n in size)
    hu[np.ix_((x > 0.05) & (x < 0.95), (y > 0.28) & (y < 0.298))] = 100.0  # the table
    hu[body], hu[lungs], hu[vertebra] = SOFT, LUNG, BONE
    return (hu + rng.normal(0, 10, size)).astype(np.float32), body, lungs, vertebra


def dice(one, other):
    return 2 * (one & other).sum() / max(one.sum() + other.sum(), 1)
