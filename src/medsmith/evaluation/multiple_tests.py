"""Correction of p values for their number."""

import numpy as np
from jaxtyping import Float, Float64


def holm(p_values: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """P values corrected for their number by Holm's step-down procedure (1979)."""
    order = np.argsort(p_values)
    scaled = p_values[order] * (len(p_values) - np.arange(len(p_values)))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected
