"""From echogenicity to a B-mode picture: scatterers, point spread, envelope, log compression.

A pixel's echo is the sum of many scatterers with random phase (fully developed speckle): a complex Gaussian
field whose amplitude is the tissue's echogenicity, blurred by the point spread function. Its envelope is
Rayleigh distributed (Burckhardt 1978; Wagner et al. 1983). Averaging independent looks is spatial compounding.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import gaussian_filter1d

from medsmith.phantoms.fields import DEPTH_MM, NATIVE, NATIVE_MM, Field


@final
@dataclass(frozen=True)
class Probe:
    """Imaging parameters; widths are standard deviations of the amplitude point spread in mm.

    Attributes:
        axial_mm: along depth, the same everywhere: the length of the pulse.
        focal_mm: across, at the focus: the width of the beam.
        far_mm: across, one focal range away from the focus.
        focus_mm: depth of the focus.
        looks: independent looks that are averaged.
        range_db: echo levels from black to white.
        floor_db: electronic noise, in dB below white.
    """

    axial_mm: float = 0.11
    focal_mm: float = 0.18
    far_mm: float = 0.45
    focus_mm: float = 15.0
    looks: int = 3
    range_db: float = 50.0
    floor_db: float = -52.0


def b_mode(echo_db: Field, gain_db: Field, probe: Probe, rng: np.random.Generator) -> Field:
    """A gray picture in 0..255 of an echogenicity in dB below white.

    Args:
        echo_db: mean echo level of the tissue, in dB below white.
        gain_db: contribution of depth, time gain and shadows, in dB.
        probe: point spread, looks and dynamic range.
        rng: the case's generator.
    """
    amplitude = 10 ** (echo_db / 20)
    intensity = np.mean([_look(amplitude, probe, rng) for _ in range(probe.looks)], axis=0)
    received = intensity * 10 ** (gain_db / 10) + 10 ** (probe.floor_db / 10)
    level_db = 10 * np.log10(received)
    gray: Field = np.clip(255 * (1 + level_db / probe.range_db), 0, 255)
    return gray


def _look(amplitude: Field, probe: Probe, rng: np.random.Generator) -> Field:
    """The squared envelope of one look; its mean is the squared amplitude where that is uniform."""
    parts = rng.standard_normal((2, NATIVE, NATIVE), dtype=np.float32) * (amplitude / np.sqrt(2)).astype(np.float32)
    blurred = _point_spread(parts, probe)
    intensity: Field = blurred[0] ** 2 + blurred[1] ** 2
    return intensity


def _point_spread(parts: Float32[np.ndarray, "2 n n"], probe: Probe) -> Float32[np.ndarray, "2 n n"]:
    """Blurs along depth with one width and across with a width that grows from the focus; keeps power."""
    axial, near, far = (mm / NATIVE_MM for mm in (probe.axial_mm, probe.focal_mm, probe.far_mm))
    pulse = gaussian_filter1d(parts, axial, axis=1, mode="nearest", truncate=3)
    sharp, wide = (gaussian_filter1d(pulse, width, axis=2, mode="nearest", truncate=3) for width in (near, far))
    blend = np.float32(np.clip(np.abs(DEPTH_MM - probe.focus_mm) / probe.focus_mm, 0, 1))
    power = (
        (1 - blend) ** 2 * _overlap(near, near)
        + blend**2 * _overlap(far, far)
        + 2 * blend * (1 - blend) * _overlap(near, far)
    ) * _overlap(axial, axial)
    spread: Float32[np.ndarray, "2 n n"] = ((1 - blend) * sharp + blend * wide) / np.sqrt(power)
    return spread


def _overlap(first: float, second: float) -> float:
    """Sum of the product of two unit Gaussians of these widths in pixels."""
    return float(1 / np.sqrt(2 * np.pi * (first**2 + second**2)))
