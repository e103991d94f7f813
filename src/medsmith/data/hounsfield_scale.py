"""Scaling of Hounsfield units to model space: piecewise linear, with most of the range for soft tissue.

-1000, -200, 200 and 1000 HU become -1, -0.6, 0.6 and 1 (LesionDiffusion's released preprocessing, there on [0, 1]).
Values beyond the ends are clipped.
"""

from typing import TypeVar

import numpy as np
from jaxtyping import Float32
from torch import Tensor

KNOTS_HU = (-1000.0, -200.0, 200.0, 1000.0)
KNOTS = (-1.0, -0.6, 0.6, 1.0)
Values = TypeVar("Values", Float32[np.ndarray, "*space"], Float32[Tensor, "*space"])


def hu_to_model(hu: Values) -> Values:
    """Hounsfield units in model space [-1, 1]; clipped to -1000 and 1000 HU."""
    return _piecewise_linear(hu, KNOTS_HU, KNOTS)


def model_to_hu(model: Values) -> Values:
    """The inverse of ``hu_to_model`` for values in [-1, 1], to 0.001 HU; clipped to [-1, 1]."""
    return _piecewise_linear(model, KNOTS, KNOTS_HU)


def _piecewise_linear(values: Values, knots: tuple[float, ...], levels: tuple[float, ...]) -> Values:
    """Linear interpolation through (knot, level): the first level plus the contribution of each piece."""
    (start, *_), result = levels, 0 * values
    for low, high, below, above in zip(knots, knots[1:], levels, levels[1:], strict=False):
        result = result + (values.clip(low, high) - low) * ((above - below) / (high - low))
    return (result + start).clip(levels[0], levels[-1])
