"""One patient of the chest phantoms: habitus, level of the slice, contrast phase.

Anatomical space: z = 0 at the lower part of the ventricles, 125 mm at the aortic arch; +x the patient's right, +y the
front; the origin lies in the middle of the heart's level.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from medsmith.phantoms.shares import choose
from medsmith.phantoms.space import stream

LEVEL_MM = (2.0, 120.0)
"""Lowest and highest slice."""
PHASE_SHARES = {"plain": 0.45, "portal venous": 0.3, "arterial": 0.25}
"""Share of cases without contrast agent and with it, late or early."""


@final
@dataclass(frozen=True)
class Patient:
    """Sampled values of one case.

    Attributes:
        sex: "female" or "male".
        level_mm: height of the slice.
        phase: a key of `PHASE_SHARES`.
        size: of the skeleton, relative to the average man.
        depth: front to back, relative to the width.
        fat_mm: thickness of the subcutaneous fat.
        muscle: thickness of the muscles, relative to the average man.
        heart: linear size of the heart, relative to the skeleton.
        heart_degrees: turn of the heart's axis about z.
        shift_mm: of the mediastinum towards the right.
        fat_inside: amount of mediastinal fat, relative to the average.
        breast: linear size of the breasts, 0 for none.
        gland: share of fibroglandular tissue in them.
        lung_hu: mean density of the parenchyma.
        age: 0 young to 1 old: calcification, wide aorta, fat between muscles.
        gas: whether the esophagus holds gas.
        turn_degrees: rotation of the patient on the table.
        rib_phase: position of the ribs along z, 0..1.
        arch_phase: position of the vertebral arch along z, 0..1.
    """

    sex: str
    level_mm: float
    phase: str
    size: float
    depth: float
    fat_mm: float
    muscle: float
    heart: float
    heart_degrees: float
    shift_mm: float
    fat_inside: float
    breast: float
    gland: float
    lung_hu: float
    age: float
    gas: bool
    turn_degrees: float
    rib_phase: float
    arch_phase: float


def sample_patient(seed: int) -> Patient:
    """The patient of one case."""
    rng = stream(seed, "patient")
    female = bool(rng.uniform() < 0.5)
    obesity = float(rng.beta(1.6, 3.2))
    return Patient(
        sex="female" if female else "male",
        level_mm=float(rng.uniform(*LEVEL_MM)),
        phase=choose(PHASE_SHARES, rng),
        size=_normal(rng, 0.93 if female else 1.0, 0.045, 2.2),
        depth=_normal(rng, 0.95, 0.055, 2.2),
        fat_mm=(5.0 if female else 3.5) + (40.0 if female else 32.0) * obesity,
        muscle=_normal(rng, 0.72 if female else 1.0, 0.16, 2),
        heart=_normal(rng, 0.98, 0.07, 2) + 0.1 * float(rng.uniform() < 0.1),
        heart_degrees=_normal(rng, 0.0, 8.0, 2),
        shift_mm=_normal(rng, 0.0, 4.0, 2),
        fat_inside=float(np.clip(0.5 + 1.6 * obesity + 0.25 * rng.standard_normal(), 0.35, 2.0)),
        breast=float(0.55 + 0.75 * obesity + 0.25 * rng.uniform()) if female else 0.0,
        gland=float(rng.uniform(0, 1)),
        lung_hu=_normal(rng, -862.0, 22.0, 2),
        age=float(rng.uniform()),
        gas=bool(rng.uniform() < 0.4),
        turn_degrees=_normal(rng, 0.0, 2.2, 2.5),
        rib_phase=float(rng.uniform()),
        arch_phase=float(rng.uniform()),
    )


def _normal(rng: np.random.Generator, mean: float, sd: float, cut: float) -> float:
    """Normal, clipped at so many standard deviations."""
    return mean + sd * float(np.clip(rng.standard_normal(), -cut, cut))
