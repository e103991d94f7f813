"""How a patient lies in the plane of the slice: scale, rotation, and a smooth bend of the anatomy."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64
from scipy.ndimage import map_coordinates

from medsmith.phantoms.chest.patient import Patient
from medsmith.phantoms.space import Points, spline_matrix, spread_knots, stream

BEND_MM = (46.0, 2.4)
"""Knot distance and standard deviation of the bend."""
REGION_MM = 240.0
"""Half edge of the square in which the bend varies."""


@final
@dataclass(frozen=True, eq=False)
class Pose:
    """Patient to anatomical positions; the bend does not depend on z.

    Attributes:
        scale: patient over anatomical size along x, y, z.
        turn_degrees: rotation about z, from anatomical to patient axes.
        origin: patient position of the anatomical origin, in the plane.
        knots: B-spline coefficients of the bend, anatomical mm.
    """

    scale: tuple[float, float, float]
    turn_degrees: float
    origin: tuple[float, float]
    knots: Float32[np.ndarray, "2 k k"]

    def on(self, axes: tuple[Float64[np.ndarray, " _"], ...]) -> Float32[np.ndarray, "3 x y z"]:
        """Anatomical positions of the points of a patient grid of one slice."""
        cos, sin = self._turn
        x, y = (axes[0] - self.origin[0])[:, None], (axes[1] - self.origin[1])[None, :]
        matrices = [spline_matrix(axis, -REGION_MM - BEND_MM[0], BEND_MM[0], self.knots.shape[1]) for axis in axes[:2]]
        bend = [spread_knots(knots, matrices) for knots in self.knots]
        moved = np.empty((3, axes[0].size, axes[1].size, axes[2].size), np.float32)
        moved[0] = ((cos * x + sin * y) / self.scale[0] + bend[0])[:, :, None]
        moved[1] = ((cos * y - sin * x) / self.scale[1] + bend[1])[:, :, None]
        moved[2] = axes[2] / self.scale[2]
        return moved

    def back(self, points: Points) -> Points:
        """Patient positions of anatomical ones, by one step of fixed-point iteration (to some 0.3 mm)."""
        cos, sin = self._turn
        bend = np.zeros((2, len(points)))
        for step in range(2):
            x, y = (points[:, 0] - bend[0]) * self.scale[0], (points[:, 1] - bend[1]) * self.scale[1]
            patient = np.stack(
                [cos * x - sin * y + self.origin[0], sin * x + cos * y + self.origin[1], points[:, 2] * self.scale[2]],
                axis=1,
            )
            if step == 0:
                bend = self._bend_at(patient)
        return np.asarray(patient)

    @property
    def _turn(self) -> tuple[float, float]:
        angle = np.deg2rad(self.turn_degrees)
        return float(np.cos(angle)), float(np.sin(angle))

    def _bend_at(self, patient: Points) -> Float64[np.ndarray, "2 _"]:
        places = np.clip((patient[:, :2].T + REGION_MM) / BEND_MM[0] + 1, 1, None)
        found = [map_coordinates(part, places, order=3, prefilter=False, mode="nearest") for part in self.knots]
        return np.stack(found).astype(np.float64)


def sample_pose(patient: Patient, seed: int) -> Pose:
    """The pose of one case."""
    rng = stream(seed, "pose")
    count = int(np.ceil(2 * REGION_MM / BEND_MM[0])) + 3
    # The spline's own variance is about 0.23 of its coefficients' (0.479 per axis).
    knots = np.clip(rng.standard_normal((2, count, count), dtype=np.float32), -2, 2) * np.float32(BEND_MM[1] / 0.479)
    width = float(patient.size)
    origin = float(rng.uniform(-8, 8)), float(14 + rng.uniform(-6, 6))
    return Pose((width, width * patient.depth, 1.0), patient.turn_degrees, origin, knots)
