"""Values of the tissues of a limb, and the scanner: T1-weighted spin echo without fat suppression, and CT."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import numpy as np

from medsmith.phantoms.limb.tumor import Tumor
from medsmith.phantoms.liver.signal import rician, sample_receive_field
from medsmith.phantoms.space import Field
from medsmith.phantoms.tissue import Levels

FAT_SIGNAL = 1000.0
T1_SHARE: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "air": (0.0, 0.0),
        "skin": (0.3, 0.6),
        "fat": (0.9, 1.05),
        "muscle": (0.24, 0.38),
        "vessel": (0.03, 0.45),
        "cortex": (0.02, 0.08),
        "marrow": (0.7, 1.05),
    }
)
"""Tissue -> its signal over that of fat, drawn uniformly."""
T1_TUMOR, T1_TEXTURE = (0.85, 1.3), (0.02, 0.12)
"""Signal of a tumor, and the standard deviation of its texture, over that of muscle."""
T1_PATCH: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"like muscle": (0.3, 0.4), "with fat": (0.6, 1.0), "with blood": (0.45, 0.8)}
)
T1_NOISE = (0.008, 0.04)
"""Standard deviation of both channels over the signal of fat; log-uniform."""
CT_HU: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "air": (-1000.0, -1000.0),
        "skin": (0.0, 40.0),
        "fat": (-115.0, -90.0),
        "muscle": (45.0, 65.0),
        "vessel": (35.0, 120.0),
        "cortex": (900.0, 1400.0),
        "marrow": (-60.0, 120.0),
    }
)
CT_TUMOR_BELOW, CT_TEXTURE = (-5.0, 35.0), (2.0, 12.0)
"""HU of a tumor below muscle, and the standard deviation of its texture."""
CT_PATCH: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"like muscle": (20.0, 40.0), "with fat": (-90.0, -30.0), "with blood": (50.0, 75.0)}
)
CT_NOISE = (6.0, 35.0)


@final
@dataclass(frozen=True)
class Modality:
    """How limbs are imaged.

    Attributes:
        levels: (tumor, generator) -> values of tissues, "tumor", "texture" and "patch" among them.
        scanned: (image without noise, generator) -> as stored, whole numbers.
        margin_mm: least and most between the tumor and a face of the field of view.
    """

    levels: Callable[[Tumor, np.random.Generator], Levels]
    scanned: Callable[[Field, np.random.Generator], Field]
    margin_mm: tuple[float, float]


def _drawn(ranges: Mapping[str, tuple[float, float]], rng: np.random.Generator) -> dict[str, float]:
    return {name: float(rng.uniform(low, high)) for name, (low, high) in ranges.items()}


def _t1_levels(tumor: Tumor, rng: np.random.Generator) -> Levels:
    levels = {name: share * FAT_SIGNAL for name, share in _drawn(T1_SHARE, rng).items()}
    own = {"tumor": float(rng.uniform(*T1_TUMOR)), "texture": float(rng.uniform(*T1_TEXTURE))}
    patch = FAT_SIGNAL * float(rng.uniform(*T1_PATCH[tumor.kind]))
    return levels | {name: share * levels["muscle"] for name, share in own.items()} | {"patch": patch}


def _t1_scanned(image: Field, rng: np.random.Generator) -> Field:
    low, high = np.log(T1_NOISE)
    sd = FAT_SIGNAL * float(np.exp(rng.uniform(low, high)))
    signal = np.maximum(image, 0) * sample_receive_field(rng).on(image.shape)
    return np.asarray(np.rint(rician(np.asarray(signal, np.float32), sd, rng)))


def _ct_levels(tumor: Tumor, rng: np.random.Generator) -> Levels:
    levels = _drawn(CT_HU, rng)
    own = levels["muscle"] - float(rng.uniform(*CT_TUMOR_BELOW))
    return levels | {
        "tumor": own,
        "texture": float(rng.uniform(*CT_TEXTURE)),
        "patch": float(rng.uniform(*CT_PATCH[tumor.kind])),
    }


def _ct_scanned(image: Field, rng: np.random.Generator) -> Field:
    sd = np.float32(rng.uniform(*CT_NOISE))
    # Voxels are wider than the grain of a scanner's kernel (`tissue.scanner_noise`), so that their noise is white.
    noise = rng.standard_normal(image.shape, dtype=np.float32) * sd
    return np.asarray(np.rint(np.clip(image + noise, -1024, 3071)))


T1 = Modality(_t1_levels, _t1_scanned, (10.0, 50.0))
CT = Modality(_ct_levels, _ct_scanned, (40.0, 55.0))
