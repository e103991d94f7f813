"""Scans of one organ with a lesion each, of known gray values, for methods that move lesions."""

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.fingerprint import take_fingerprint
from medsmith.geometry import Geometry
from medsmith.methods.copypaste import CopyPaste
from medsmith.methods.copypaste.config import CopyPasteConfig
from medsmith.methods.copypaste.request import CopyPasteRequest

NAMES = {"background": 0, "liver": 1, "lesion": 2}
AIR, FAT, LIVER, LESION = -1000.0, -100.0, 60.0, 20.0


def scan(id, *, dimensions=3, spacing=(1.5, 1.5, 3.0), channels=("CT",), noise=0.0, lesion_mm=8.0, shift=(0, 0, 0)):
    """A body of fat in air with a round liver, and a round lesion in it; further channels are twice the first."""
    spacing = np.array(spacing)
    extent = np.array([90.0, 84.0, 60.0])
    shape = np.maximum((extent / spacing).round().astype(int), 1)
    shape[2] = 1 if dimensions == 2 else shape[2]
    middle = (shape - 1) / 2 * spacing
    mm = np.indices(shape) * spacing[:, None, None, None] - middle[:, None, None, None]
    mm[2] = 0 if dimensions == 2 else mm[2]

    def ball(center, radius):
        return np.linalg.norm(mm - np.reshape(center, (3, 1, 1, 1)), axis=0) <= radius

    image = np.where(np.abs(mm[:2]).max(0) < 39, FAT, AIR)
    labels = np.zeros(shape, np.uint8)
    liver, lesion = ball((0, 0, 0), 26), ball((14 + shift[0], shift[1], shift[2]), lesion_mm / 2)
    image[liver], labels[liver] = LIVER, 1
    image[lesion], labels[lesion] = LESION, 2
    rng = np.random.default_rng(sum(map(ord, id)))
    image = np.stack([(image + noise * rng.standard_normal(image.shape)) * (k + 1) for k in range(len(channels))])
    affine = np.diag([*spacing, 1.0])
    grid = Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    return Case(id, image.round().astype(np.float32), labels, grid, channels, NAMES, np.dtype(np.int16))


def begun(cases, **config):
    """A method that has kept what it keeps of some cases."""
    facts = take_fingerprint(cases, ".nii.gz", "0" * 64)
    method = CopyPaste(CopyPasteConfig(**config), facts)
    method.name = "copypaste"
    method.memory = dict(method.begin("structures", [method.prepare(case) for case in cases]))
    return method


def pasted(method, seed=0, **request):
    return method.synthesize(CopyPasteRequest(**request), seed, method.config.sampling)


def written(cases, folder, names=NAMES):
    """A cohort of some cases."""
    cohort = Cohort.create(folder, channel_names=cases[0].channel_names, label_names=names, file_ending=".nii.gz")
    for case in cases:
        cohort.write(case)
    cohort.finish()
    return Cohort.open(folder)
