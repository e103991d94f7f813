"""Gray values around a structure: what they are, and how a structure is brought to those of another place.

Axes: c channels, n voxels, x y z.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

GAP, WIDTH = 1, 5
"""The ring begins and ends at as many shortest edges of a voxel outside the structure."""
FEWEST = 12
"""Voxels of a ring that tells something."""
_GAIN = 1.5
"""Largest factor on gray values, or one over it."""
_SMALLEST = 1e-6


@final
@dataclass(frozen=True)
class Gray:
    """Gray values of a ring.

    Attributes:
        middle: median.
        deviation: standard deviation of the values between the 5th and 95th percentile.
    """

    middle: float
    deviation: float

    @classmethod
    def of(cls, values: Float32[np.ndarray, "n"]) -> "Gray":
        """Of some values, at least one."""
        low, middle, high = np.percentile(values, (5, 50, 95))
        kept = values[(values >= low) & (values <= high)]
        return cls(float(middle), float(kept.std(dtype=np.float64)))

    def unlike(self, other: "Gray") -> float:
        """Distance of two rings: of the medians in deviations, and of the logarithms of the deviations."""
        own, their = max(self.deviation, _SMALLEST), max(other.deviation, _SMALLEST)
        return abs(self.middle - other.middle) / own + abs(float(np.log(their / own)))


@final
@dataclass(frozen=True)
class Match:
    """A linear change of gray values.

    Attributes:
        gain: factor on the distance from ``middle``.
        middle: gray value that becomes ``target``.
        target: see there.
    """

    gain: float = 1.0
    middle: float = 0.0
    target: float = 0.0

    @classmethod
    def between(cls, own: Gray, there: Gray, *, fixed_scale: bool) -> "Match":
        """Of a structure's surroundings to those at its new place.

        Args:
            own: around the structure.
            there: around its new place.
            fixed_scale: whether gray values have a scale that only an offset may be added to: Hounsfield units.
        """
        ratio = max(there.deviation, _SMALLEST) / max(own.deviation, _SMALLEST)
        gain = 1.0 if fixed_scale else float(np.clip(ratio, 1 / _GAIN, _GAIN))
        return cls(gain, own.middle, there.middle)

    def __call__(self, values: Float32[np.ndarray, "*space"]) -> Float32[np.ndarray, "*space"]:
        """Changed gray values."""
        return ((values - np.float32(self.middle)) * np.float32(self.gain) + np.float32(self.target)).astype(np.float32)

    @property
    def record(self) -> dict[str, float]:
        """For the provenance: factor, and what is added at the surroundings' gray value."""
        return {"gain": round(self.gain, 4), "offset": round(self.target - self.middle, 4)}


def ring_around(inside: Bool[np.ndarray, "x y z"], spacing: tuple[float, float, float]) -> Bool[np.ndarray, "x y z"]:
    """Voxels between ``GAP`` and ``WIDTH`` shortest edges outside a structure, whose own edge is blurred.

    Args:
        inside: the structure, not empty.
        spacing: edges of a voxel, mm.
    """
    distance = ndimage.distance_transform_edt(~inside, sampling=spacing)
    shortest = min(spacing)
    return np.asarray((distance > GAP * shortest) & (distance <= WIDTH * shortest))


def gray_of(image: Float32[np.ndarray, "c x y z"], where: Bool[np.ndarray, "x y z"]) -> list[Gray]:
    """Gray values of each channel; none where there are too few voxels to tell."""
    return [Gray.of(channel[where]) for channel in image] if int(where.sum()) >= FEWEST else []
