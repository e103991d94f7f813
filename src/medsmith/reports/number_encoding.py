"""Sinusoidal encodings of the numbers in a report: close numbers have close vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2, tau
from typing import final

import numpy as np
from jaxtyping import Float64


@final
@dataclass(frozen=True)
class PeriodScale:
    """The period range and scaling for the numbers of one attribute.

    Attributes:
        logarithmic: encode the binary logarithm.
        longest: longest period, in units (or octaves); over twice the range, so that encodings are unique.
        shortest: shortest period, which limits the resolution.
    """

    logarithmic: bool
    longest: float
    shortest: float

    def periods(self, count: int) -> Float64[np.ndarray, "count"]:
        """Geometrically spaced periods from the longest to the shortest."""
        return np.geomspace(self.longest, self.shortest, count)

    def coordinate(self, number: float) -> float:
        """The number, or its binary logarithm."""
        return log2(number) if self.logarithmic else number


SCALES = {"size_mm": PeriodScale(True, 20.0, 0.5), "ct_value_hu": PeriodScale(False, 8192.0, 32.0)}
"""Attribute -> scale: edges from 1 to 400 mm span 8.6 octaves; CT values span 4095 HU."""


def sinusoidal_encoding(
    numbers: Sequence[float], scale: PeriodScale, dimension: int
) -> Float64[np.ndarray, "dimension"]:
    """The sines and cosines of each number, zero-padded, normalized to unit length.

    Args:
        numbers: values to encode; each gives one block.
        scale: shared by all numbers.
        dimension: output length d, at least two per number.
    """
    periods = scale.periods(dimension // (2 * len(numbers)))
    angles = np.array([tau * scale.coordinate(number) / periods for number in numbers])
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).ravel()
    filled = np.pad(waves, (0, dimension - waves.size))
    return np.asarray(filled / np.linalg.norm(filled))
