"""Slices with one organ in a body, small and quick to learn, and a generator of a few steps."""

from dataclasses import replace

import numpy as np

from medsmith.annotation import AnnotationOptions
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.geometry import Geometry

LABELS = {"background": 0, "organ": 1, "vessel": 2}
EDGE = 24
GENERATOR = (
    "size=[16,16]",
    "network.channels=[8,16]",
    "network.attention=[false,false]",
    "network.groups=4",
    "network.head_channels=8",
    "training.steps=2",
    "training.batch=2",
    "diffusion.length=20",
    "sampling.steps=2",
)
QUICK = AnnotationOptions(
    turns=2,
    pairs=3,
    settings=GENERATOR,
    labeller=SegmenterConfig(steps=3, batch=2, channels=4),
    points=8,
    context="none",
    group=r"^(P\d+)_",
)


def slice_of(case_id, seed, *, labels=LABELS, labelled=True, depth=1):
    """An ellipse with a disc beside it, each somewhat elsewhere in every slice."""
    rng = np.random.default_rng(seed)
    x, y = np.mgrid[:EDGE, :EDGE] + 0.5
    cx, cy = 9 + rng.uniform(-1, 1, 2)
    organ = ((x - cx) / rng.uniform(4, 5)) ** 2 + ((y - cy) / rng.uniform(5, 6)) ** 2 < 1
    vessel = (x - cx - 9) ** 2 + (y - cy - 3) ** 2 < rng.uniform(2.2, 2.8) ** 2
    found = (organ + 2 * vessel).astype(np.uint8)
    image = np.clip(60 + 90 * organ + 150 * vessel + rng.normal(0, 8, organ.shape), 0, 255).round()
    shape = (EDGE, EDGE, depth)
    return Case(
        id=case_id,
        image=np.repeat(image.astype(np.float32)[None, :, :, None], depth, axis=3),
        labels=np.repeat(found[:, :, None], depth, axis=2) if labelled else None,
        geometry=Geometry.plain(shape) if depth == 1 else Geometry(shape, np.eye(4)),
        channel_names=("gray",),
        label_names=labels,
        stored=np.dtype(np.uint8),
    )


def write_slices(root, patients, slices=2, *, copies=(), channels=("gray",), **named):
    """Patient numbers, each with some slices; ``copies`` are written besides."""
    images_alone = named.get("labelled") is False
    names = named.setdefault("labels", {"background": 0} if images_alone else LABELS)
    ending = ".png" if named.get("depth", 1) == 1 else ".nii.gz"
    cohort = Cohort.create(root, channel_names=channels, label_names=names, file_ending=ending)
    for patient in patients:
        for number in range(slices):
            case = slice_of(f"P{patient:02d}_{number}", 100 * patient + number, **named)
            cohort.write(_named(case, channels))
    for case in copies:
        cohort.write(case)
    cohort.finish()
    return root


def _named(case, channels):
    return replace(case, channel_names=channels)
