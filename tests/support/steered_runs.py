"""Slices of a body with lungs, a shape space of them, lesions, and a run of mDDPM that was trained for two steps."""

import numpy as np

import micro
from medsmith.anatomy import ShapeSpace
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.geometry import Geometry
from medsmith.methods import method_class
from medsmith.synthesis.checks.result import Limits
from medsmith.training import Budget, train

EDGE = 64
NAMES = {"background": 0, "heart": 1, "aorta": 2}
LESIONS = {"background": 0, "nodule": 1}
UNTRAINED = Limits(region_dice=0, lesion_contrast=0)
"""The network has learned nothing: its images need not follow the anatomy."""


def disk(center, radius, offset=(0, 0)):
    x, y = np.meshgrid(np.arange(EDGE) + 0.5, np.arange(EDGE) + 0.5, indexing="ij")
    return np.hypot(x - center[0] - offset[0], y - center[1] - offset[1]) <= radius


def slice_of(index, names=NAMES):
    """A body with two lungs, a heart and an aorta; or one with a nodule."""
    rng = np.random.default_rng(index)
    image = np.full((EDGE, EDGE), 2.0)
    center = np.array([32, 32]) + rng.uniform(-2, 2, 2)
    body, heart, aorta = disk(center, 26), disk(center, rng.uniform(7, 9), (3, -6)), disk(center, 3.5, (5, 12))
    image[body] = 120
    for side in (-1, 1):
        image[disk(center, rng.uniform(7, 9), (side * 14, 2))] = 30
    image[heart], image[aorta] = 150, 170
    labels = np.zeros((EDGE, EDGE), np.uint8)
    if names == NAMES:
        labels[heart], labels[aorta] = 1, 2
    else:
        nodule = disk(center, 4, (-14, 2))
        image[nodule], labels[nodule] = 140, 1
    gray = np.rint(np.clip(image + rng.normal(0, 3, image.shape), 0, 255)).astype(np.float32)
    gray[0, 0], gray[-1, -1] = 0, 255
    grid = (EDGE, EDGE, 1)
    return Case(f"case_{index}", gray.reshape(1, *grid), labels.reshape(grid), Geometry.plain(grid), ("gray",), names,
                np.dtype(np.uint8))  # fmt: skip


def cohort_of(folder, count, names):
    cohort = Cohort.create(folder, channel_names=("gray",), label_names=names, file_ending=".png")
    for index in range(count):
        cohort.write(slice_of(index, names))
    cohort.finish()
    return Cohort.open(folder)


def small_settings():
    lines = micro.micro_settings("mddpm", method_class("mddpm"), 2)
    return [*(line for line in lines if not line.startswith("size")), f"size=[{EDGE},{EDGE}]"]


def steered_files(folder):
    """FOLDER with labeled/, lesions/, space.safetensors and run/, whose network has learned nothing yet."""
    labeled = cohort_of(folder / "labeled", 12, NAMES)
    ShapeSpace.fit(labeled).save(folder / "space.safetensors")
    cohort_of(folder / "lesions", 2, LESIONS)
    train("mddpm", labeled, folder / "run", settings=small_settings(), budget=Budget(steps=2))
    return folder
