"""Gray values as 16-bit pixels of DICOM with a rescale slope and intercept (PS3.3, C.7.6.3 and C.11.1)."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float32, Shaped

_DIGITS = 9
"""Significant digits of a slope: a decimal string has 16 characters at most."""


@final
@dataclass(frozen=True, eq=False)
class Pixels:
    """Stored pixels; gray value = slope x pixel + intercept.

    Attributes:
        values: int16 or uint16.
        slope: rescale slope.
        intercept: rescale intercept.
        error: the largest difference to the gray values; 0 where they are whole numbers of 16 bits.
    """

    values: Shaped[np.ndarray, "*space"]
    slope: float = 1.0
    intercept: float = 0.0
    error: float = 0.0

    @property
    def signed(self) -> bool:
        """Whether pixels are two's complement."""
        return bool(np.issubdtype(self.values.dtype, np.signedinteger))


def as_pixels(gray: Float32[np.ndarray, "*space"]) -> Pixels:
    """Pixels that keep whole numbers of 16 bits exactly, and spread other values over 16 bits.

    Args:
        gray: finite values.
    """
    low, high = float(gray.min()), float(gray.max())
    if np.array_equal(gray, np.rint(gray)):
        for kind in (np.int16, np.uint16):
            limits: Any = np.iinfo(kind)
            if limits.min <= low and high <= limits.max:
                return Pixels(gray.astype(kind))
    intercept = float(f"{low:.{_DIGITS - 1}e}")
    top = float(np.iinfo(np.uint16).max)
    step = max(high - intercept, low - intercept, 0.0) / (top - 1)  # one less: the slope may be rounded down
    slope = float(f"{step or 1.0:.{_DIGITS - 1}e}")
    stored = np.clip(np.rint((gray.astype(np.float64) - intercept) / slope), 0, top)
    error = float(np.abs(stored * slope + intercept - gray).max())
    return Pixels(stored.astype(np.uint16), slope, intercept, error)
