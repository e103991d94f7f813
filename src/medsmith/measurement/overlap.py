"""Overlap of two masks."""

import numpy as np
from jaxtyping import Bool


def dice(one: Bool[np.ndarray, "*space"], other: Bool[np.ndarray, "*space"]) -> float:
    """Dice coefficient of two masks (L. R. Dice 1945); 1 where both are empty.

    Args:
        one: a mask.
        other: another, on the same grid.
    """
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0
