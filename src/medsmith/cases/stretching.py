"""Brings images whose gray values have no common scale to one: two percentiles of each become 0 and 255."""

from dataclasses import replace

import numpy as np

from medsmith.cases.case import Case
from medsmith.errors import RequestError

WHITE = 255.0


def check_percentiles(percentiles: tuple[float, float]) -> None:
    """Checks that two percentiles are in order.

    Raises:
        RequestError: they are not, or lie outside 0 to 100.
    """
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise RequestError("--percentiles", f"{low:g},{high:g}", "0 <= LOW < HIGH <= 100", "write 0.5,99.5")


def stretch(case: Case, percentiles: tuple[float, float]) -> Case:
    """The case with its image in 8 bit: each channel stretched, values beyond the percentiles clipped.

    Args:
        case: with an image, or labels alone, which stay as they are.
        percentiles: that become 0 and 255.
    """
    if case.image is None:
        return case
    limits = np.percentile(case.image, percentiles, axis=(1, 2, 3), keepdims=True)
    span = np.maximum(limits[1] - limits[0], 1e-6)
    image = np.rint(np.clip((case.image - limits[0]) / span, 0, 1) * WHITE).astype(np.float32)
    return replace(case, image=image, stored=np.dtype(np.uint8))
