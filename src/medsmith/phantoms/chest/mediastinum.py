"""Great vessels, airways and esophagus, and the region between the lungs that holds them."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from medsmith.phantoms.canvas import Layer
from medsmith.phantoms.chest import courses
from medsmith.phantoms.chest.courses import Course
from medsmith.phantoms.chest.heart import Heart
from medsmith.phantoms.chest.patient import Patient
from medsmith.phantoms.chest.skeleton import Skeleton
from medsmith.phantoms.chest.wall import Wall
from medsmith.phantoms.solids import NOTHING, REACH_MM, Solid, ellipsoid, resized, shared, smooth_minimum, tube, union
from medsmith.phantoms.space import Field, Grid, Placement, stream
from medsmith.phantoms.tissue import Levels, Painter, Spot, plain

OFF_MM = 24.0
"""Structures whose control points lie farther above or below the slice do not meet it."""
SEAM_MM = 4.5
"""Width over which the surfaces of neighbors merge where the lungs lie against them."""


@final
@dataclass(frozen=True, eq=False)
class Mediastinum:
    """What lies between the lungs of one patient.

    Attributes:
        heart: of the patient.
        skeleton: of the patient.
        seed: of the case.
    """

    heart: Heart
    skeleton: Skeleton
    seed: int

    @property
    def patient(self) -> Patient:
        """Whose mediastinum it is."""
        return self.heart.patient

    @property
    def placement(self) -> Placement:
        """Of the anatomy."""
        return self.heart.placement

    @property
    def wall(self) -> Wall:
        """That surrounds it."""
        return self.skeleton.wall

    def _tube(self, course: Course, wide: float = 1.0, sideways: float = 0.0) -> Solid:
        points, radii = course
        heights = [point[2] for point in points]
        if not min(heights) - OFF_MM < self.patient.level_mm < max(heights) + OFF_MM:
            return NOTHING
        near = [self._slid(point, sideways) for point in points]
        return tube(self.placement, near, [radius * wide for radius in radii])[0]

    def _slid(self, point: tuple[float, float, float], sideways: float) -> tuple[float, float, float]:
        """Follows the shift of the mediastinum, less so near the spine."""
        x, y, z = point
        return x + sideways + self.patient.shift_mm * float(np.clip((y + 60) / 50, 0, 1)), y, z

    @cached_property
    def aorta(self) -> Solid:
        """Ascending aorta, arch, descending aorta."""
        wide = 0.9 + 0.28 * self.patient.age
        parts = (courses.AORTA_UP, courses.AORTA_ARCH, courses.AORTA_DOWN)
        return shared(union(*(self._tube(course, wide) for course in parts)), "aorta")

    @cached_property
    def pulmonary(self) -> Solid:
        """Pulmonary trunk and its two arteries."""
        return shared(union(self._tube(courses.TRUNK), self._tube(courses.RIGHT_PULMONARY)), "pulmonary")

    @cached_property
    def cava(self) -> Solid:
        """Upper vena cava."""
        return shared(self._tube(courses.VENA_CAVA), "cava")

    @cached_property
    def airway(self) -> Solid:
        """Trachea and main bronchi."""
        wide = 1.06 if self.patient.sex == "male" else 0.92
        parts = (courses.TRACHEA, *courses.BRONCHI)
        return shared(union(*(self._tube(course, wide) for course in parts)), "airway")

    @cached_property
    def esophagus(self) -> Solid:
        """A flat tube."""
        first, second = (self._tube(courses.ESOPHAGUS, 1.0, away) for away in (-3.2, 3.2))
        both = union(first, second)
        return Solid(both.low, both.high, lambda grid: smooth_minimum(first.distance(grid), second.distance(grid), 5.0))

    @cached_property
    def hilar_vessels(self) -> Solid:
        """Veins and arteries on their way into the lungs."""
        return union(*(self._tube(course) for course in (*courses.VEINS, *courses.LOWER_ARTERIES)))

    @cached_property
    def lobar_bronchi(self) -> Solid:
        """Bronchi inside the lungs."""
        return shared(union(*(self._tube(course) for course in courses.SMALL_BRONCHI)), "lobar bronchi")

    @cached_property
    def _hilar_tissue(self) -> Solid:
        """Fat and nodes below the bifurcation of the trachea, between the hila."""
        return ellipsoid(self.placement, self._slid((-4, -30, 76), 0.0), (38, 17, 30))

    def region(self, grid: Grid) -> Field:
        """Distance to the surface that the lungs lie against, negative in the mediastinum."""
        return grid.once("mediastinum", self._region)

    def _region(self, grid: Grid) -> Field:
        fat = self.patient.fat_inside
        region = smooth_minimum(
            self._septum(grid), self.heart.solid.distance(grid) - np.float32(1.5 + 2.5 * fat), SEAM_MM
        )
        region = smooth_minimum(region, self.skeleton.vertebral_body(grid) - np.float32(2.5), SEAM_MM)
        region = smooth_minimum(region, self._hilar_tissue.distance(grid), SEAM_MM)
        for tubes, gap in ((self.aorta, 1.5), (self.pulmonary, 1.5), (self.cava, 1.0), (self.airway, 2.5)):
            distance = tubes.distance(grid)
            # Distances to tubes end at their reach; there is no seam beyond.
            away = np.where(distance > REACH_MM, np.float32(1e3), distance - np.float32(gap))
            region = smooth_minimum(region, away, SEAM_MM)
        return region

    def rightwards(self, grid: Grid) -> Field:
        """Distance from the middle of the septum to the right."""
        x, y, _z = grid.anatomical
        shift = np.float32(self.patient.shift_mm) * np.clip((y + 60) / 50, 0, 1)
        return np.asarray(x + np.float32(2) - shift, np.float32)

    def _septum(self, grid: Grid) -> Field:
        """Fat and thymus in front of the vessels, and the thin wall that always parts the lungs."""
        _x, y, z = grid.anatomical
        fat = np.float32(self.patient.fat_inside)
        upper = np.clip((z - 50) / 40, 0, 1)
        front = np.exp(-(((y - 66) / 22) ** 2)) * (3 + 9 * fat)
        middle = upper * np.exp(-(((y - 14) / 34) ** 2)) * np.float32(14)
        half = np.float32(7.5) + front.astype(np.float32) + middle.astype(np.float32)
        septum: Field = np.abs(self.rightwards(grid)) - half
        return np.asarray(septum * np.float32(0.93), np.float32)

    def layers(self, levels: Levels, values: dict[str, int]) -> list[Layer]:
        """Vessels, airways, esophagus, in painting order."""
        vein, right, left = (levels[name] for name in ("vein", "right blood", "left blood"))
        airway = plain(-990.0, 3.0)
        return [
            *self.heart.layers(levels, values["heart"]),
            Layer(self._tube(courses.LOWER_CAVA), plain(vein, 4.0)),
            Layer(self._tube(courses.AZYGOS), plain(vein, 4.0)),
            Layer(self.cava, plain(levels["cava"], 6.0)),
            Layer(self.pulmonary, plain(right, 4.0)),
            Layer(resized(self.aorta, 1.0), plain(levels["muscle"] - 4, 3.0)),
            Layer(self.aorta, self._aortic_painter(left), values["aorta"]),
            Layer(self.esophagus, self._esophageal_painter(levels), values["esophagus"]),
            Layer(resized(self.airway, 1.5), plain(30.0, 4.0)),
            Layer(self.airway, airway, values["trachea"]),
            *self._nodes(levels),
        ]

    def _aortic_painter(self, blood: float) -> Painter:
        """Blood, with calcium in the wall of the old."""
        base, age = plain(blood, 4.0), self.patient.age

        def paint(spot: Spot) -> Field:
            shell = np.exp(-(((spot.distance + np.float32(0.8)) / np.float32(1.0)) ** 2))
            spots = np.clip((spot.textures.coarse - np.float32(2.5 - 1.2 * age)) * 2, 0, 1)
            painted: Field = base(spot) + np.float32(700 * (age > 0.45)) * shell * spots
            return painted

        return paint

    def _esophageal_painter(self, levels: Levels) -> Painter:
        """Muscle, with gas in some."""
        wall = plain(levels["esophagus wall"], 5.0)
        if not self.patient.gas:
            return wall
        deep = float(stream(self.seed, "gas").uniform(2.2, 3.6))

        def paint(spot: Spot) -> Field:
            share = np.clip(-(spot.distance + np.float32(deep)) / np.float32(spot.grid.spacing + 0.8) + 0.5, 0, 1)
            outside = wall(spot)
            painted: Field = outside + (np.float32(-880) - outside) * share
            return painted

        return paint

    def _nodes(self, levels: Levels) -> list[Layer]:
        """Small lymph nodes and veins in the fat in front of the airways."""
        rng = stream(self.seed, "nodes")
        layers = []
        for _ in range(int(rng.poisson(3.5))):
            z = self.patient.level_mm
            center = (float(rng.uniform(-24, 24)), float(rng.uniform(30, 70)), z)
            radius = float(rng.uniform(1.0, 3.0))
            end = (center[0] + float(rng.normal(0, 3)), center[1] + float(rng.normal(0, 2)), z + 4)
            solid = tube(self.placement, [center, end], (radius, radius))[0]
            layers.append(Layer(_off(solid, self), plain(levels["muscle"] - 8, 4.0)))
        return layers


def _off(solid: Solid, mediastinum: Mediastinum) -> Solid:
    """The part of a solid in the fat, away from heart and vessels."""

    def distance(grid: Grid) -> Field:
        own = solid.distance(grid)
        for other in (mediastinum.heart.solid, mediastinum.aorta, mediastinum.pulmonary, mediastinum.cava):
            own = np.maximum(own, np.float32(1.2) - other.distance(grid))
        return np.asarray(np.maximum(own, mediastinum.region(grid) + np.float32(1)))

    return Solid(solid.low, solid.high, distance)
