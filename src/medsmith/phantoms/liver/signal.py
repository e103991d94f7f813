"""Signal of tissues in the hepatobiliary phase of gadoxetate, the receive field, and Rician noise.

The sequence is a fat-suppressed, T1-weighted 3-D gradient echo 20 minutes after Gd-EOB-DTPA: hepatocytes have taken up
the contrast agent, vessels have lost most of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import numpy as np
from jaxtyping import Float32, Float64
from numpy.polynomial import legendre

from medsmith.phantoms.space import Field
from medsmith.phantoms.tissue import Levels

LIVER_SIGNAL = (520.0, 780.0)
"""Signal of the parenchyma without the receive field."""
VESSEL_SHARE = (0.40, 0.68)
"""Signal of blood over that of the liver: low after good, high after poor uptake by the liver."""
TISSUE_SHARE: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "skin": (0.30, 0.42),
        "fat": (0.12, 0.26),
        "muscle": (0.36, 0.50),
        "marrow": (0.30, 0.46),
        "disc": (0.20, 0.32),
        "cartilage": (0.30, 0.40),
        "csf": (0.12, 0.20),
        "pancreas": (0.46, 0.66),
        "kidney cortex": (0.66, 0.92),
        "kidney medulla": (0.72, 1.05),
        "renal pelvis": (0.15, 1.10),
        "wall": (0.42, 0.60),
        "content": (0.08, 0.46),
        "stool": (0.20, 0.62),
        "bile": (0.18, 0.32),
        "excreted bile": (1.0, 1.45),
        "myocardium": (0.44, 0.60),
        "lung": (0.04, 0.08),
    }
)
"""Tissue -> its signal over that of the liver, drawn uniformly."""
BLOOD_TISSUES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"spleen": (0.80, 1.10), "blood": (0.95, 1.05), "heart blood": (0.92, 1.05), "lung vessels": (0.5, 0.8)}
)
"""Tissue -> its signal over that of the hepatic vessels."""
NOISE_SHARE = (0.015, 0.055)
"""Standard deviation of the noise of each of the two channels over the signal of the liver; log-uniform."""
BIAS = (0.08, 0.30)
"""Largest deviation of the receive field from 1."""
BIAS_ORDER = 3
"""Highest order of its Legendre polynomials along each axis."""


def sample_levels(rng: np.random.Generator) -> Levels:
    """Signal of every tissue of one case, in MR units; "vessels" is that of the hepatic veins and the portal vein."""
    liver = float(rng.uniform(*LIVER_SIGNAL))
    vessels = liver * float(rng.uniform(*VESSEL_SHARE))
    levels = {"liver": liver, "vessels": vessels}
    levels |= {name: liver * float(rng.uniform(*share)) for name, share in TISSUE_SHARE.items()}
    return levels | {name: vessels * float(rng.uniform(*share)) for name, share in BLOOD_TISSUES.items()}


@final
@dataclass(frozen=True, eq=False)
class ReceiveField:
    """A polynomial receive field.

    Attributes:
        weights: of the products of Legendre polynomials along x, y, z.
        amplitude: largest deviation from 1 that it may have anywhere.
    """

    weights: Float64[np.ndarray, "i j k"]
    amplitude: float

    def on(self, shape: tuple[int, int, int]) -> Field:
        """The field at the voxel centers of a grid over the field of view."""
        field: Field = 1 + _polynomial(self.weights, [(np.arange(size) + 0.5) * (2 / size) - 1 for size in shape])
        return field


def _polynomial(weights: Float64[np.ndarray, "i j k"], places: Sequence[Float64[np.ndarray, " _"]]) -> Field:
    """The sum of weighted products of Legendre polynomials at places from -1 to 1 along each axis."""
    values = weights.astype(np.float32)
    for along in places:
        matrix = legendre.legvander(along, BIAS_ORDER).astype(np.float32)
        # einsum instead of BLAS, whose last bit may differ between machines.
        values = np.einsum("pi,ijk->jkp", matrix, values)
    return values


def sample_receive_field(rng: np.random.Generator) -> ReceiveField:
    """The receive field of one case: smooth, and never farther from 1 than its amplitude."""
    order = np.add.outer(np.add.outer(np.arange(BIAS_ORDER + 1), np.arange(BIAS_ORDER + 1)), np.arange(BIAS_ORDER + 1))
    weights = rng.standard_normal(order.shape) / (1.0 + order) ** 1.5
    weights[(order == 0) | (order > BIAS_ORDER)] = 0
    amplitude = float(rng.uniform(*BIAS))
    largest = float(np.abs(_polynomial(weights, [np.linspace(-1, 1, 33)] * 3)).max())
    return ReceiveField(weights * (amplitude / largest), amplitude)


def rician(signal: Field, sd: float, rng: np.random.Generator) -> Float32[np.ndarray, "x y z"]:
    """The magnitude of a signal with complex Gaussian noise (Gudbjartsson and Patz, Magn Reson Med 1995, eq. 1).

    Args:
        signal: noise-free magnitude.
        sd: standard deviation of the real and of the imaginary part.
        rng: generator.
    """
    real = rng.standard_normal(signal.shape, dtype=np.float32) * np.float32(sd) + signal
    imaginary = rng.standard_normal(signal.shape, dtype=np.float32) * np.float32(sd)
    magnitude: Float32[np.ndarray, "x y z"] = np.sqrt(real * real + imaginary * imaginary)
    return magnitude
