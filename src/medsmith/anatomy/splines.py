"""Closed uniform cubic B-splines: control points by least squares, and points on the curve.

The curve is c(u) = sum over i of B(N u - i) p_i for u in [0, 1), with the cubic B-spline B, N control points p_i and
indices modulo N. Both directions are linear, so they are one matrix each.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float64
from scipy.interpolate import BSpline

Points = Float64[np.ndarray, "points 2"]
Curve = Float64[np.ndarray, "_ 2"]
LEAST_POINTS, MOST_POINTS = 8, 512
OVERSAMPLING = 8
"""Points on a contour per control point, to which the curve is fitted."""
_DEGREE = 3


@lru_cache(maxsize=32)
def basis(points: int, along: int) -> Float64[np.ndarray, "along points"]:
    """The B-splines at ``along`` evenly spaced parameters from 0: curve = basis @ control points."""
    knots = np.arange(-_DEGREE, points + _DEGREE + 1, dtype=np.float64)
    at = np.arange(along) * (points / along)
    unwrapped = BSpline.design_matrix(at, knots, _DEGREE).toarray()
    wrapped: Float64[np.ndarray, "along points"] = unwrapped[:, :points].copy()
    wrapped[:, :_DEGREE] += unwrapped[:, points:]
    wrapped.setflags(write=False)
    return wrapped


@lru_cache(maxsize=32)
def _least_squares(points: int, along: int) -> Float64[np.ndarray, "points along"]:
    return np.linalg.pinv(basis(points, along))


def control_points(curve: Curve, points: int) -> Points:
    """Control points of the closed cubic B-spline nearest to points of a curve in the sense of least squares.

    Args:
        curve: at evenly spaced parameters, the first point not repeated; at least as many points as control points.
        points: number of control points.
    """
    return np.asarray(_least_squares(points, len(curve)) @ curve)


def curve_points(control: Float64[np.ndarray, "*many points 2"], along: int) -> Float64[np.ndarray, "*many along 2"]:
    """Points on closed cubic B-splines at evenly spaced parameters from 0, the first not repeated.

    The sum does not go through BLAS, so that its bytes do not depend on the number of threads.
    """
    return np.asarray(np.einsum("ap,...pd->...ad", basis(control.shape[-2], along), control))
