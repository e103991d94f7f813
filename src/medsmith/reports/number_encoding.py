"""Numbers of a report as vectors: sines and cosines of fixed periods, so that close numbers have close vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2, tau
from typing import final

import numpy as np
from jaxtyping import Float64


@final
@dataclass(frozen=True)
class PeriodScale:
    """How the numbers of one attribute become angles.

    Attributes:
        logarithmic: whether doublings count, not differences.
        longest: longest period, in units or doublings; beyond twice the range, so that no two numbers look alike.
        shortest: shortest period; differences far below it cannot be told.
    """

    logarithmic: bool
    longest: float
    shortest: float

    def periods(self, count: int) -> Float64[np.ndarray, "count"]:
        """Periods in equal ratios from the longest to the shortest."""
        return np.geomspace(self.longest, self.shortest, count)

    def coordinate(self, number: float) -> float:
        """The number, or its binary logarithm."""
        return log2(number) if self.logarithmic else number


SCALES = {"size_mm": PeriodScale(True, 20.0, 0.5), "ct_value_hu": PeriodScale(False, 8192.0, 32.0)}
"""Attribute -> scale: edges from 1 to 400 mm are 8.6 doublings; CT values have 4095 HU."""


def sinusoidal_encoding(
    numbers: Sequence[float], scale: PeriodScale, dimension: int
) -> Float64[np.ndarray, "dimension"]:
    """Sines, then cosines, of each number in turn; the rest is 0; of length 1.

    Args:
        numbers: one block each, in their order.
        scale: of all of them.
        dimension: numbers that come out, at least two per number that goes in.
    """
    periods = scale.periods(dimension // (2 * len(numbers)))
    angles = np.array([tau * scale.coordinate(number) / periods for number in numbers])
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).ravel()
    filled = np.pad(waves, (0, dimension - waves.size))
    return np.asarray(filled / np.linalg.norm(filled))
