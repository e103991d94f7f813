"""Slices of a body with lungs, a shape space of them, lesions, and a run of mDDPM that was trained for two steps.

The same in Hounsfield units as oriented slices, with a method that was not trained.
"""

from dataclasses import replace

import numpy as np

import micro
from medsmith.anatomy import ShapeSpace
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.fingerprint import take_fingerprint
from medsmith.geometry import Geometry
from medsmith.methods import method_class
from medsmith.methods.config import apply_settings
from medsmith.synthesis.checks.result import Limits
from medsmith.training import Budget, train

EDGE = 64
NAMES = {"background": 0, "heart": 1, "aorta": 2}
LESIONS = {"background": 0, "nodule": 1}
UNTRAINED = Limits(region_dice=0, lesion_contrast=0, noise=1e6)
"""The network has learned nothing: its images are noise, and need not follow the anatomy."""


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


def in_hounsfield_units(case, spacing=5.0):
    """The same slice in RAS+: x to the patient's right and y to the front, where the picture has its left and top."""
    gray = np.interp(case.image, (0, 30, 120, 255), (-1000, -800, 40, 400)).round().astype(np.float32)
    geometry = Geometry(case.geometry.shape, np.diag([spacing, spacing, 1.0, 1.0]))
    labels = np.ascontiguousarray(case.labels[::-1, ::-1])
    gray = np.ascontiguousarray(gray[:, ::-1, ::-1])
    return replace(case, image=gray, labels=labels, geometry=geometry, channel_names=("CT",), stored=np.dtype(np.int16))


def write_cohort(folder, cases):
    first = cases[0]
    cohort = Cohort.create(
        folder,
        channel_names=first.channel_names,
        label_names=first.label_names,
        file_ending=".nii.gz" if first.geometry.spacing_known else ".png",
    )
    for case in cases:
        cohort.write(case)
    cohort.finish()
    return Cohort.open(folder)


def cohort_of(folder, count, names):
    return write_cohort(folder, [slice_of(index, names) for index in range(count)])


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


def hounsfield_files(folder):
    """FOLDER with labeled/, lesions/ and space.safetensors of oriented slices in Hounsfield units."""
    labeled = write_cohort(folder / "labeled", [in_hounsfield_units(slice_of(index)) for index in range(12)])
    ShapeSpace.fit(labeled).save(folder / "space.safetensors")
    write_cohort(folder / "lesions", [in_hounsfield_units(slice_of(index, LESIONS)) for index in range(2)])
    return folder


def untrained_method(labeled):
    """mDDPM for a cohort, which has seen its gray values alone."""
    kind, ending = method_class("mddpm"), ".nii.gz" if labeled[labeled.ids[0]].geometry.spacing_known else ".png"
    method = kind(apply_settings(kind.presets["tiny"], small_settings()), take_fingerprint(labeled, ending, "0" * 64))
    method.memory = method.begin("image", [method.prepare(case) for case in labeled])
    return method.eval()
