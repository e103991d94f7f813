"""Noise level of an image around a lesion, estimated from the image alone."""

import numpy as np
from jaxtyping import Bool, Float64
from scipy import stats

from medsmith.measurement.surface import Spacing

LAG_MM = 2.0
"""Distance beyond which reconstruction noise is uncorrelated but tissue is not."""
ENOUGH = 200
"""Fewest values for an estimate to enter the minimum; the minimum of imprecise estimates would be biased low."""
_FEWEST = 30

Estimate = tuple[float, int]
"""A standard deviation and the number of values behind it."""


def noise_of(
    image: Float64[np.ndarray, "x y z"],
    inside: Bool[np.ndarray, "x y z"],
    shell: Bool[np.ndarray, "x y z"],
    spacing: Spacing,
) -> float:
    """Standard deviation of the noise in the image's units.

    Three estimates: the deviation of the surroundings from a linear trend, and differences over 2 mm in the
    surroundings and inside the lesion. Structure only increases them, so the smallest of the precise ones is returned;
    0 if there are too few voxels. All use the median absolute deviation, which is robust against vessels.
    """
    differences = [_of_differences(image, region, spacing) for region in (shell, inside)]
    found = [estimate for estimate in (_around_trend(image, shell, spacing), *differences) if estimate is not None]
    exact = [value for value, count in found if count >= ENOUGH]
    return min(exact) if exact else max(found, key=lambda estimate: estimate[1], default=(0.0, 0))[0]


def _spread(values: Float64[np.ndarray, " n"]) -> float:
    return float(stats.median_abs_deviation(values, scale="normal"))


def _around_trend(
    image: Float64[np.ndarray, "x y z"], region: Bool[np.ndarray, "x y z"], spacing: Spacing
) -> Estimate | None:
    places = np.argwhere(region) * spacing
    if len(places) < _FEWEST:
        return None
    design = np.column_stack([np.ones(len(places)), places - places.mean(axis=0)])
    values = image[region]
    return _spread(values - design @ np.linalg.lstsq(design, values, rcond=None)[0]), len(values)


def _of_differences(
    image: Float64[np.ndarray, "x y z"], region: Bool[np.ndarray, "x y z"], spacing: Spacing
) -> Estimate | None:
    """From differences along the axes with sufficiently fine sampling."""
    found = []
    for axis, edge in enumerate(spacing):
        lag = int(np.ceil(LAG_MM / edge - 1e-6))
        if edge > 1.5 * LAG_MM or lag >= image.shape[axis]:
            continue
        first = tuple(slice(None, -lag) if other == axis else slice(None) for other in range(3))
        second = tuple(slice(lag, None) if other == axis else slice(None) for other in range(3))
        both = region[first] & region[second]
        found.append((image[first] - image[second])[both])
    values = np.concatenate(found) if found else np.empty(0)
    return (_spread(values) / float(np.sqrt(2)), len(values)) if len(values) >= _FEWEST else None
