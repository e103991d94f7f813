"""Random fields on the native grid on which every 2-D phantom is rendered before it is resized.

Arrays are indexed [depth, lateral]. Sums have a fixed order and avoid BLAS, so that bytes do not depend on
threads.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32

NATIVE = 256
FIELD_MM = 38.4
NATIVE_MM = FIELD_MM / NATIVE

Field = Float[np.ndarray, "n n"]
Line = Float[np.ndarray, " n"]

CENTERS_MM = (np.arange(NATIVE) + 0.5) * NATIVE_MM
DEPTH_MM = CENTERS_MM[:, None]
LATERAL_MM = CENTERS_MM[None, :]


@lru_cache(maxsize=64)
def _spline_basis(knot_mm: float) -> Float32[np.ndarray, "k n"]:
    """Uniform cubic B-splines at the pixel centers, scaled to unit length per pixel."""
    knots = int(np.ceil(FIELD_MM / knot_mm)) + 3
    distance = np.abs(CENTERS_MM[None, :] / knot_mm - (np.arange(knots)[:, None] - 1))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - np.minimum(distance, 2)) ** 3 / 6
    basis = np.where(distance < 1, near, far)
    unit: Float32[np.ndarray, "k n"] = (basis / np.linalg.norm(basis, axis=0)).astype(np.float32)
    return unit


def smooth_field(rng: np.random.Generator, depth_mm: float, lateral_mm: float) -> Field:
    """Smooth Gaussian noise of zero mean and unit variance at every pixel.

    Args:
        rng: the case's generator.
        depth_mm: knot distance of the cubic B-splines along depth, in mm; about the grain size.
        lateral_mm: the same across.
    """
    rows, columns = _spline_basis(depth_mm), _spline_basis(lateral_mm)
    knots = rng.standard_normal((rows.shape[0], columns.shape[0]), dtype=np.float32)
    field: Field = np.einsum("il,lj->ij", np.einsum("ki,kl->il", rows, knots), columns)
    return field


def smooth_line(rng: np.random.Generator, knot_mm: float) -> Line:
    """Smooth Gaussian noise of zero mean and unit variance along one axis; knot distance in mm."""
    basis = _spline_basis(knot_mm)
    line: Line = np.einsum("ki,k->i", basis, rng.standard_normal(basis.shape[0], dtype=np.float32))
    return line


def ridges(field: Field, width_mm: float) -> Field:
    """Thin bright curves along the zero crossings of a smooth field, 0..1.

    Reflection is specular: the echo is proportional to the squared cosine of the angle between the vertical beam
    and the curve's normal.

    Args:
        field: a smooth field.
        width_mm: standard deviation of the curve's profile.
    """
    down, across = np.gradient(field, NATIVE_MM)
    steepness = down**2 + across**2 + 1e-6
    curves: Field = np.exp(-0.5 * field**2 / (steepness * width_mm**2)) * (down**2 / steepness)
    return curves


def step_below(boundary_mm: Line, width_mm: float) -> Field:
    """0 above and 1 below a boundary (depth in mm for every column), over a width in mm."""
    steps: Field = 1 / (1 + np.exp(-np.clip((DEPTH_MM - boundary_mm) / (width_mm / 4), -40, 40)))
    return steps


def area_average(field: Float[np.ndarray, "n n"], size: int) -> Float[np.ndarray, "m m"]:
    """The mean over each of size x size equal squares of the field of view."""
    return np.ascontiguousarray(_average_columns(_average_columns(field, size).T, size).T)


def _average_columns(field: Float[np.ndarray, "a b"], size: int) -> Float[np.ndarray, "a m"]:
    """Mean over equal bands of columns, the shared columns split by area (from the running sum)."""
    total = np.zeros((field.shape[0], field.shape[1] + 1))
    np.cumsum(np.ascontiguousarray(field), axis=1, out=total[:, 1:])
    edges = np.linspace(0, field.shape[1], size + 1)
    before = np.minimum(edges.astype(np.int64), field.shape[1] - 1)
    at_edges = total[:, before] + (edges - before) * field[:, before]
    means: Float[np.ndarray, "a m"] = np.diff(at_edges, axis=1) * (size / field.shape[1])
    return means
