"""HU inside a lesion: mean, texture, rim, ground glass, fluid and calcification as its report states them."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32

from medsmith.phantoms.ct.lesion_bodies import LesionBody
from medsmith.phantoms.space import Field, Grid, Point
from medsmith.phantoms.tissue import smooth_noise
from medsmith.reports.schema import LesionReport

Depths = Float32[np.ndarray, " _"]

SHARP_MM = (0.3, 1.0)
BLURRED_MM = (4.0, 8.0)
BLURRED_SHARE = 0.8
"""Width of a margin from 10 % to 90 %; a blurred one is at most this share of the lesion's greatest depth wide."""
BLURRED_WORDS = (
    "ill-defined margin",
    "unclear boundary with the renal parenchyma",
    "poorly defined boundary with normal esophageal tissue",
)
"""All other surfaces are sharp; an irregular serosa is uneven, not blurred."""
HOMOGENEOUS_HU = (0.0, 3.0)
HETEROGENEOUS_HU = (20.0, 34.0)
"""Standard deviation of the texture inside."""
GRAIN_MM = (3.0, 8.0)
"""Size of the texture's blobs: about a sixth of the lesion."""
APART_HU = 20.0
"""Hypodense and hyperdense lesions differ from their organ by at least this much; isodense by at most 8 HU."""
ISODENSE_HU = 8.0


@final
@dataclass(frozen=True, eq=False)
class Density:
    """HU model of one lesion.

    Attributes:
        report: the words that it follows.
        body: its body.
        mean_hu: mean inside.
        margin_mm: width of its margin.
        texture_hu: standard deviation of its texture.
        grain_mm: size of the texture's blobs.
        depth_mm: greatest depth below its surface.
        numbers: further sampled values, by name.
        seed: of its texture.
    """

    report: LesionReport
    body: LesionBody
    mean_hu: float
    margin_mm: float
    texture_hu: float
    grain_mm: float
    depth_mm: float
    numbers: dict[str, float]
    seed: np.random.SeedSequence

    def painted(self, grid: Grid, distance: Field) -> Field:
        """HU on a grid whose points have this distance to the surface, before the mean is corrected."""
        rng = np.random.Generator(np.random.PCG64(self.seed))
        low, edge = self.body.center - self.body.reach - 12, float(2 * self.body.reach.max() + 24)
        main = smooth_noise(rng, grid, low, (self.grain_mm,) * 3, edge)
        areas = smooth_noise(rng, grid, low, (1.5 * self.grain_mm,) * 3, edge)
        spots = smooth_noise(rng, grid, low, (0.8 * self.grain_mm,) * 3, edge)
        hu = np.float32(self.texture_hu) * (np.tanh(2.5 * main) if self._mixed else main)
        hu = hu + self._layers(distance)
        if "presence of decreased density areas" in self.report.features:
            hu -= np.float32(self.numbers["decrease_hu"]) * np.clip(3 * (areas - 0.55), 0, 1)
        if "presence of increased density areas" in self.report.features:
            hu += np.float32(self.numbers["increase_hu"]) * np.clip(3 * (spots - 1.7), 0, 1)
        return self._pockets(grid, hu.astype(np.float32))

    @property
    def _mixed(self) -> bool:
        return self.report.density == "mixed-density"

    def _layers(self, distance: Field) -> Field:
        """Depth-dependent part: a bright rim, or ground glass around a solid core."""
        depth = -distance
        if "rim_mm" in self.numbers:
            share = np.clip((np.float32(self.numbers["rim_mm"]) - depth) / np.float32(0.8) + 0.5, 0, 1)
            return np.asarray(np.float32(self.numbers["rim_hu"]) * share)
        if "core_depth_mm" in self.numbers:
            share = np.clip((depth - np.float32(self.numbers["core_depth_mm"])) / np.float32(1.5) + 0.5, 0, 1)
            return np.asarray(np.float32(self.numbers["core_hu"] - self.numbers["glass_hu"]) * share)
        return np.zeros_like(depth)

    def _pockets(self, grid: Grid, hu: Field) -> Field:
        """Fluid retained in a blocked duct, or a stone enclosed by a tumor."""
        for name, word in (("fluid", "retention of pancreatic fluid"), ("stone", "stone")):
            if word in self.report.features and f"{name}_radius_mm" in self.numbers:
                away = self.body.center + np.array([self.numbers[f"{name}_{axis}_mm"] for axis in "xyz"])
                squares = [(axis - c) ** 2 for axis, c in zip(grid.axes, away, strict=True)]
                far = np.sqrt(squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :])
                share = np.clip(self.numbers[f"{name}_radius_mm"] - far + 0.5, 0, 1).astype(np.float32)
                hu = hu + share * (np.float32(self.numbers[f"{name}_hu"]) - hu)
        return hu


def sample_density(
    report: LesionReport,
    body: LesionBody,
    depths: Depths,
    diameter_mm: float,
    organ_hu: float,
    rng: np.random.Generator,
    seed: np.random.SeedSequence,
) -> Density:
    """Values sampled from the ranges that the words of a report stand for.

    Args:
        report: the words.
        body: the body.
        depths: depth in mm of points spread evenly inside it.
        diameter_mm: of the ball of its volume.
        organ_hu: mean of the organ.
        rng: source of the numbers.
        seed: of the texture.
    """
    mean = _mean_hu(report, organ_hu)
    sharp = report.surface not in BLURRED_WORDS
    margin = float(rng.uniform(*(SHARP_MM if sharp else BLURRED_MM)))
    varied = report.density_variation == "heterogeneous" or report.density == "mixed-density"
    deepest = float(depths.max())
    return Density(
        report=report,
        body=body,
        mean_hu=mean,
        margin_mm=margin if sharp else min(margin, BLURRED_SHARE * deepest),
        texture_hu=float(rng.uniform(*(HETEROGENEOUS_HU if varied else HOMOGENEOUS_HU))),
        grain_mm=float(np.clip(diameter_mm / 6, *GRAIN_MM)),
        depth_mm=deepest,
        numbers=_numbers(report, mean, depths, deepest, rng),
        seed=seed,
    )


def _mean_hu(report: LesionReport, organ_hu: float) -> float:
    """The reported mean, shifted to satisfy the density word for this organ."""
    mean = report.ct_value_hu if report.ct_value_hu is not None else organ_hu
    if report.density in ("hypodense", "hypodense fluid-like"):
        return min(mean, organ_hu - APART_HU)
    if report.density == "hyperdense":
        return max(mean, organ_hu + APART_HU)
    if report.density in ("isodense", "mixed-density"):
        return float(np.clip(mean, organ_hu - ISODENSE_HU, organ_hu + ISODENSE_HU))
    return mean


def _numbers(
    report: LesionReport, mean: float, depths: Depths, deepest: float, rng: np.random.Generator
) -> dict[str, float]:
    """Values of the features and layered densities."""
    numbers: dict[str, float] = {}
    lung = mean < -150
    if report.density == "ring enhancement":
        numbers |= {"rim_mm": min(float(rng.uniform(2, 4)), 0.4 * deepest), "rim_hu": float(rng.uniform(45, 90))}
    if report.density == "isodense soft tissue mass with peripheral low-density ground-glass opacity":
        core, glass = float(rng.uniform(15, 50)), float(rng.uniform(-680, -500))
        share = float(np.clip((mean - glass) / (core - glass), 0.06, 0.92))
        numbers |= {"core_hu": core, "glass_hu": glass, "core_depth_mm": float(np.quantile(depths, 1 - share))}
    if "presence of decreased density areas" in report.features:
        numbers["decrease_hu"] = float(rng.uniform(150, 300) if lung else rng.uniform(28, 55))
    if "presence of increased density areas" in report.features:
        numbers["increase_hu"] = float(rng.uniform(120, 350))
    if "retention of pancreatic fluid" in report.features:
        numbers |= _pocket("fluid", 8.0, 0.42 * deepest, deepest, rng)
    if "stone" in report.features and report.density != "hyperdense":
        numbers |= _pocket("stone", float(rng.uniform(250, 700)), 0.35 * deepest, deepest, rng)
    return numbers


def _pocket(name: str, hu: float, radius: float, deepest: float, rng: np.random.Generator) -> dict[str, float]:
    """A small ball off the center."""
    away = rng.normal(size=3)
    away *= 0.45 * deepest / np.sqrt(np.sum(away**2))
    places: Point = away
    return {
        f"{name}_hu": hu,
        f"{name}_radius_mm": radius,
        **{f"{name}_{axis}_mm": float(v) for axis, v in zip("xyz", places, strict=True)},
    }
