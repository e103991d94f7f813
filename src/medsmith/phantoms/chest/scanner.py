"""What the scanner adds: the table below the patient, noise, and the mean over each pixel."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.phantoms.canvas import Layer
from medsmith.phantoms.solids import Solid
from medsmith.phantoms.space import Field, Grid, Point, stream
from medsmith.phantoms.tissue import plain, smooth_noise

NOISE_HU = (9.0, 32.0)
"""Standard deviation of the noise in the middle of the body, before the mean over a pixel; log-uniform."""
GRAIN_MM = (0.95, 1.5)
"""Knot distance of the noise: from a sharp to a soft kernel."""
COARSE_SHARE = 0.12
"""Part of the noise's variance on three times that scale."""
FIELD_MM = 400.0
"""Largest field of view."""


@final
@dataclass(frozen=True)
class Scanner:
    """Sampled values of one scan.

    Attributes:
        noise_hu: standard deviation of the noise in the middle of the body.
        grain_mm: knot distance of the noise.
        table: "curved" or "flat".
        gap_mm: from the patient's back to the shell of the table.
        seed: of the case.
    """

    noise_hu: float
    grain_mm: float
    table: str
    gap_mm: float
    seed: int

    def noise(self, grid: Grid, low: Point) -> Field:
        """Noise in HU, strongest in the middle of the body."""
        rng = stream(self.seed, "noise")
        grain = self.grain_mm
        fine = smooth_noise(rng, grid, low, (grain, grain), FIELD_MM)
        coarse = smooth_noise(rng, grid, low, (3 * grain, 3 * grain), FIELD_MM)
        mixed = np.float32(np.sqrt(1 - COARSE_SHARE)) * fine + np.float32(np.sqrt(COARSE_SHARE)) * coarse
        x, y, _z = grid.anatomical
        weight = np.float32(0.38) + np.float32(0.67) * np.exp(-(x * x + (y + 20) ** 2) / np.float32(110.0**2))
        noise: Field = np.float32(self.noise_hu) * weight * mixed
        return noise

    def table_layers(self, back_mm: float) -> list[Layer]:
        """Mattress and shells of the table; the back's position is a patient y."""
        everywhere = np.full(3, -1e3), np.full(3, 1e3)
        mattress = Solid(*everywhere, lambda grid: _slab(grid, back_mm - 3.5, 0.0, 3.5))
        curve = 0.00055 if self.table == "curved" else 0.0
        top = back_mm - 7 - self.gap_mm
        upper = Solid(*everywhere, lambda grid: _slab(grid, top, curve, 1.1))
        lower = Solid(*everywhere, lambda grid: _slab(grid, top - 26, curve * 1.3, 1.4))
        core = Solid(*everywhere, lambda grid: _slab(grid, top - 13, curve * 1.15, 12.0))
        return [
            Layer(mattress, plain(-960.0, 5.0)),
            Layer(core, plain(-930.0, 5.0)),
            Layer(upper, plain(-260.0, 8.0)),
            Layer(lower, plain(-60.0, 8.0)),
        ]


def sample_scanner(seed: int) -> Scanner:
    """The scanner of one case."""
    rng = stream(seed, "scanner")
    low, high = np.log(NOISE_HU)
    return Scanner(
        noise_hu=float(np.exp(rng.uniform(low, high))),
        grain_mm=float(rng.uniform(*GRAIN_MM)),
        table="curved" if rng.uniform() < 0.75 else "flat",
        gap_mm=float(rng.uniform(2, 22)),
        seed=seed,
    )


def _slab(grid: Grid, y_mm: float, curve: float, half_mm: float) -> Field:
    """Distance to a horizontal plate that may be bent upwards at its sides, in patient space."""
    x, y = grid.axes[0][:, None, None], grid.axes[1][None, :, None]
    middle = np.maximum(np.abs(x) - 20, 0) ** 2 * curve + y_mm
    steep = np.sqrt(1 + (2 * curve * x) ** 2)
    slab: Field = (np.abs(y - middle) / steep - half_mm).astype(np.float32)
    return slab


def pixel_means(image: Field, factor: int) -> Float32[np.ndarray, "m n 1"]:
    """The mean over blocks of factor x factor samples."""
    x, y, _ = image.shape
    blocks = image.reshape(x // factor, factor, y // factor, factor)
    means: Float32[np.ndarray, "m n 1"] = blocks.mean(axis=(1, 3), dtype=np.float32)[:, :, None]
    return means


def pixel_centers(labels: UInt8[np.ndarray, "x y 1"], factor: int) -> UInt8[np.ndarray, "m n 1"]:
    """The labels at the middle sample of every block; the factor is odd."""
    return np.ascontiguousarray(labels[factor // 2 :: factor, factor // 2 :: factor])
