"""Cohorts and configs so small that any method trains on them in a second."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.batches import batches_of
from medsmith.data.fingerprint import take_fingerprint
from medsmith.diffusion import Sampling
from medsmith.geometry import Geometry
from medsmith.methods import method_class
from medsmith.methods.config import DiffusionConfig, TrainingConfig, apply_settings
from medsmith.networks import NetworkConfig

LABELS = {"background": 0, "mass": 1, "cyst": 2}
EDGE = 8

# How every section of a method's tiny preset is made small, whatever its name and however many there are.
_SMALL: dict[type, tuple[str, ...]] = {
    NetworkConfig: ("channels=[8,8]", "attention=[false,true]", "groups=4", "head_channels=4", "residual_blocks=1"),
    DiffusionConfig: ("length=20",),
    Sampling: ("steps=3",),
    TrainingConfig: ("batch=2", "warm_up=1", "ema=0.5", "learning_rate=0.01", "precision=float32"),
}
# A method whose tiny preset needs more than that (a codebook, a frozen text encoder) is named here with its settings.
SETTINGS: dict[str, tuple[str, ...]] = {
    "lesiondiffusion": tuple(
        f"{part}.{line}"
        for part in ("mask", "paint")
        for line in (f"frame.size={EDGE}", "words.width=8", "words.pooled=8", "words.null=0.5")
    ),
    "lldm": (
        "label_autoencoder.channels=[4,4]", "image_autoencoder.channels=[4,4]", "discriminator.channels=4",
        "discriminator.layers=1", "image_loss.image.discriminator_from=2",
    ),
}  # fmt: skip

REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "copypaste": {"scale": [0.3, 0.6]},
    "lesiondiffusion": {"mask_source": "ellipsoid"},
}
"""What a method must be asked for on such small grids, where that is not an empty request; an untrained LMNet draws no
mask of the size asked for."""


def micro_settings(name, kind, dimensions):
    """``--set`` lines that turn the tiny preset of a method into one for a grid of 8 voxels along each axis."""
    tiny = kind.presets["tiny"]
    lines = [f"size={[EDGE] * dimensions}"] if "size" in type(tiny).model_fields else []
    return (*lines, *_small(tiny, ""), *SETTINGS.get(name, ()))


def _small(config, prefix):
    """Settings for every section of a config, however deep."""
    for field in type(config).model_fields:
        section = getattr(config, field)
        yield from (f"{prefix}{field}.{line}" for line in _SMALL.get(type(section), ()))
        if isinstance(section, BaseModel):
            yield from _small(section, f"{prefix}{field}.")


def micro_config(name, kind, dimensions):
    return apply_settings(kind.presets["tiny"], micro_settings(name, kind, dimensions))


def micro_case(index, dimensions, classes):
    """Noise with a bright ball per label class, on a grid that is not the network's."""
    rng = np.random.default_rng(index)
    shape = (12, 10, 1) if dimensions == 2 else (12, 10, 9)
    place = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    image, labels = rng.normal(60, 12, shape), np.zeros(shape, np.uint8)
    for value in range(1, classes + 1):
        center = rng.uniform([min(2, n - 1) for n in shape], [max(n - 3, 0) for n in shape]).round()
        inside = np.linalg.norm(place - center, axis=-1) < 2.6
        labels[inside] = value
        image[inside] += 50 * value
    stored = np.dtype(np.uint8) if dimensions == 2 else np.dtype(np.int16)
    spacing = np.diag([0.5, 0.5, 2.0, 1.0])
    geometry = Geometry.plain(shape) if dimensions == 2 else Geometry(shape, spacing)
    names = {name: value for name, value in LABELS.items() if value <= classes}
    values = image.clip(0, 255).round().astype(np.float32)[None]
    return Case(f"case_{index}", values, labels, geometry, ("MR" if dimensions == 3 else "ultrasound",), names, stored)


def micro_cohort(folder, dimensions=2, classes=1, count=4):
    """A written cohort of such cases."""
    cases = [micro_case(index, dimensions, classes) for index in range(count)]
    ending = ".png" if dimensions == 2 else ".nii.gz"
    channels, names = cases[0].channel_names, cases[0].label_names
    cohort = Cohort.create(folder, channel_names=channels, label_names=names, file_ending=ending)
    for case in cases:
        cohort.write(case)
    cohort.finish()
    return Cohort.open(folder)


def fingerprint(dimensions=2, classes=1):
    """Of such a cohort, which is not written."""
    cases = [micro_case(index, dimensions, classes) for index in range(4)]
    return take_fingerprint(cases, ".png" if dimensions == 2 else ".nii.gz", "0" * 64)


def build(name, dimensions=2, classes=1, preset="tiny", settings=()):
    """A method with a micro network of random weights: as built, its last layer is zero and answers nothing."""
    kind = method_class(name)
    small = [line for line in micro_settings(name, kind, dimensions) if line.startswith(("size", "network."))]
    method = kind(apply_settings(kind.presets[preset], [*small, *settings]), fingerprint(dimensions, classes))
    rng = torch.Generator().manual_seed(0)
    for weight in method.parameters():
        if not weight.any():
            weight.data.normal_(0, 0.1, generator=rng)
    return method.eval()


def micro_batch(method, count=4):
    """A batch of such cases, as training hands it over."""
    facts = method.fingerprint
    cases = [micro_case(index, facts.dimensions, len(facts.foreground_labels)) for index in range(count)]
    return batches_of([method.prepare(case) for case in cases], count, 0)(0)
