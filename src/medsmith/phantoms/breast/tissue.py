"""The breast around a mass: layers, ligaments, lobules, ribs, shadows. Echo levels are in dB below white.

Lateral and depth positions are in mm from the picture's upper left corner; every constant below is the range
of a uniform distribution or a parameter of the distribution that its comment names.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from medsmith.phantoms.fields import (
    DEPTH_MM,
    FIELD_MM,
    LATERAL_MM,
    Field,
    Line,
    ridges,
    smooth_field,
    smooth_line,
    step_below,
)

LEVEL_DB = {"skin": -13.0, "fat": -31.0, "gland": -22.5, "muscle": -31.0, "chest wall": -40.0}
"""Mean echo level of each layer, before a case's own deviation."""
LEVEL_SPREAD_DB = 2.0
"""Standard deviation of that deviation (normal)."""
SKIN_MM = (1.0, 2.2)
FAT_MM = (2.0, 11.0)
GLAND_MM = (9.0, 20.0)
MUSCLE_MM = (4.0, 9.0)
"""Thickness of each layer; the chest wall takes the rest."""
LOBULES_MEAN = 1.2
"""Fat lobules inside the gland: unlabeled ovals that look like masses (Poisson)."""
SHADOWS_MEAN = 0.7
"""Shadows not caused by a mass: ligaments, poor contact (Poisson)."""
RIB_SHARE = 0.3
"""Share of cases with a rib in view."""


@final
@dataclass(frozen=True, eq=False)
class Tissue:
    """The breast without a mass.

    Attributes:
        echo_db: echo level, native grid.
        gain_db: contribution of depth, time gain and shadows.
        boundaries_mm: depth of the lower face of skin, fat, gland and muscle for every column.
        found: the sampled values, JSON.
    """

    echo_db: Field
    gain_db: Field
    boundaries_mm: dict[str, Line]
    found: dict[str, Any]


def sample_tissue(rng: np.random.Generator) -> Tissue:
    """One breast without a mass."""
    boundaries = _sample_boundaries(rng)
    echo = _layered_levels(boundaries, rng)
    lobules = [_sample_lobule(boundaries, rng) for _ in range(int(rng.poisson(LOBULES_MEAN)))]
    inside = _lobule_texture(rng) if lobules else np.zeros_like(echo)
    for lobule in lobules:
        echo = _with_lobule(echo, lobule, inside, rng)
    rib = _sample_rib(boundaries, rng)
    gain = _sample_gain(rng)
    if rib:
        echo, gain = _with_rib(echo, gain, rib)
    shadows = [_sample_shadow(rng) for _ in range(int(rng.poisson(SHADOWS_MEAN)))]
    gain = gain + sum((_shadow_db(shadow) for shadow in shadows), np.zeros_like(gain))
    found = {
        "layers_mm": {name: round(float(line.mean()), 2) for name, line in boundaries.items()},
        "distractors": {"fat lobules": lobules, "shadows": shadows, "ribs": [rib] if rib else []},
    }
    return Tissue(echo, gain, boundaries, found)


def _sample_boundaries(rng: np.random.Generator) -> dict[str, Line]:
    """Lower faces of the layers: mean depth and a smooth undulation that grows with depth."""
    boundaries: dict[str, Line] = {}
    depth = np.zeros(LATERAL_MM.size)
    for name, limits, wave in (
        ("skin", SKIN_MM, 0.08),
        ("fat", FAT_MM, 1.1),
        ("gland", GLAND_MM, 1.3),
        ("muscle", MUSCLE_MM, 0.8),
    ):
        thickness = rng.uniform(*limits) + wave * smooth_line(rng, 9.0) + 0.3 * wave * smooth_line(rng, 3.0)
        depth = depth + np.maximum(thickness, 0.6)
        boundaries[name] = depth
    return boundaries


def _layered_levels(boundaries: dict[str, Line], rng: np.random.Generator) -> Field:
    """Stacked layers with their textures, and bright fasciae between them."""
    level = {name: value + LEVEL_SPREAD_DB * rng.standard_normal() for name, value in LEVEL_DB.items()}
    echo = _skin(level["skin"], boundaries["skin"], rng)
    for upper, name, texture in (
        ("skin", "fat", _fat),
        ("fat", "gland", _gland),
        ("gland", "muscle", _muscle),
        ("muscle", "chest wall", _chest_wall),
    ):
        below = step_below(boundaries[upper], 0.3 if upper == "skin" else 0.6)
        echo = echo * (1 - below) + texture(level[name], rng) * below
    for name, strength in (("fat", 5.0), ("gland", 8.0), ("muscle", 9.0)):
        echo = echo + strength * _fascia(boundaries[name], rng)
    return echo


def _skin(level: float, lower: Line, rng: np.random.Generator) -> Field:
    """A bright band between two brighter lines."""
    lines = np.exp(-0.5 * (DEPTH_MM / 0.2) ** 2) + np.exp(-0.5 * ((DEPTH_MM - lower) / 0.15) ** 2)
    skin: Field = level + 5 * lines + 0.8 * smooth_field(rng, 0.5, 3.0) - 3.0
    return skin


def _fat(level: float, rng: np.random.Generator) -> Field:
    """Dark lobules between thin bright ligaments."""
    septa = ridges(smooth_field(rng, rng.uniform(1.4, 2.8), rng.uniform(4, 10)), 0.17)
    fine = ridges(smooth_field(rng, 0.6, rng.uniform(2, 5)), 0.12)
    fat: Field = (
        level + 12 * septa * _reflectivity(rng) + 5 * fine * _reflectivity(rng) + 1.2 * smooth_field(rng, 1.5, 3.0)
    )
    return fat


def _gland(level: float, rng: np.random.Generator) -> Field:
    """Bright, mottled, with strands; coarseness and fat content vary between cases."""
    mottle = smooth_field(rng, rng.uniform(0.5, 1.0), rng.uniform(1.0, 2.5))
    patches = smooth_field(rng, rng.uniform(2.0, 4.5), rng.uniform(3.0, 9.0))
    dark = np.minimum(smooth_field(rng, rng.uniform(0.8, 1.6), rng.uniform(2.0, 5.0)) + 0.8, 0)
    strands = ridges(smooth_field(rng, rng.uniform(0.8, 1.6), rng.uniform(3, 8)), 0.16)
    fine = ridges(smooth_field(rng, 0.5, rng.uniform(1.5, 4)), 0.12)
    bright = rng.uniform(5, 10) * strands * _reflectivity(rng) + rng.uniform(3, 7) * fine * _reflectivity(rng)
    mixed = rng.uniform(1.0, 2.4) * mottle + rng.uniform(1.0, 3.5) * patches + rng.uniform(1, 6) * dark
    gland: Field = level + mixed + bright
    return gland


def _muscle(level: float, rng: np.random.Generator) -> Field:
    """Dark, with long bright fibers."""
    fibers = ridges(smooth_field(rng, 0.7, 9.0), 0.13)
    muscle: Field = level + 9 * fibers * _reflectivity(rng) + 1.5 * smooth_field(rng, 0.8, 6.0)
    return muscle


def _chest_wall(level: float, rng: np.random.Generator) -> Field:
    """Nearly anechoic with streaks."""
    streaks = ridges(smooth_field(rng, 1.3, 10.0), 0.2)
    wall: Field = level + 8 * streaks * _reflectivity(rng) + 2.5 * smooth_field(rng, 1.2, 6.0)
    return wall


def _reflectivity(rng: np.random.Generator) -> Field:
    """Spatially varying reflectivity of ligaments, 0..2."""
    reflectivity: Field = np.clip(smooth_field(rng, 2.5, 4.0) + 0.7, 0, 2)
    return reflectivity


def _fascia(boundary: Line, rng: np.random.Generator) -> Field:
    """A bright line along a boundary that fades in and out."""
    reflectivity = np.clip(smooth_line(rng, 4.0) + 0.7, 0, 2)
    fascia: Field = reflectivity * np.exp(-0.5 * ((DEPTH_MM - boundary) / 0.22) ** 2)
    return fascia


def _sample_lobule(boundaries: dict[str, Line], rng: np.random.Generator) -> dict[str, float]:
    """An oval of fat inside the gland; lengths in mm, the tilt in degrees."""
    column = int(rng.integers(LATERAL_MM.size))
    top, bottom = boundaries["fat"][column], boundaries["gland"][column]
    across = rng.uniform(1.5, 4.5)
    lobule = {
        "lateral_mm": LATERAL_MM[0, column],
        "depth_mm": top + (bottom - top) * rng.uniform(0.05, 0.9),
        "half_width_mm": across,
        "half_height_mm": across * rng.uniform(0.4, 0.7),
        "tilt_degrees": 10 * rng.standard_normal(),
        "contrast_db": rng.uniform(-7, -3),
    }
    return {name: round(float(value), 2) for name, value in lobule.items()}


def _ellipse(place: dict[str, float]) -> Field:
    """Distance from an ellipse's center in units of its half axes."""
    tilt = np.deg2rad(place["tilt_degrees"])
    across, down = LATERAL_MM - place["lateral_mm"], DEPTH_MM - place["depth_mm"]
    along = (across * np.cos(tilt) + down * np.sin(tilt)) / place["half_width_mm"]
    upright = (down * np.cos(tilt) - across * np.sin(tilt)) / place["half_height_mm"]
    radius: Field = np.hypot(along, upright)
    return radius


def _lobule_texture(rng: np.random.Generator) -> Field:
    """Streaky texture of fat, shared by all lobules."""
    texture: Field = 4 * ridges(smooth_field(rng, 1.2, 5.0), 0.1) + 0.8 * smooth_field(rng, 0.8, 1.5)
    return texture


def _with_lobule(echo: Field, lobule: dict[str, float], texture: Field, rng: np.random.Generator) -> Field:
    """The lobule rendered over the gland: fat inside, a thin bright capsule, without posterior effect."""
    radius = _ellipse(lobule)
    edge_mm = (radius - 1) * lobule["half_height_mm"]
    inside = 1 / (1 + np.exp(np.clip(edge_mm / rng.uniform(0.08, 0.3), -40, 40)))
    around = echo[(radius > 1.1) & (radius < 1.7)].mean()
    capsule = rng.uniform(0, 4) * np.exp(-0.5 * ((edge_mm - 0.15) / 0.2) ** 2)
    with_lobule: Field = echo * (1 - inside) + (around + lobule["contrast_db"] + texture) * inside + capsule
    return with_lobule


def _sample_rib(boundaries: dict[str, Line], rng: np.random.Generator) -> dict[str, float]:
    """A rib's front below the muscle, or nothing."""
    if rng.uniform() >= RIB_SHARE:
        return {}
    column = int(rng.integers(LATERAL_MM.size))
    half_height = rng.uniform(2.5, 4.0)
    rib = {
        "lateral_mm": LATERAL_MM[0, column],
        "depth_mm": boundaries["muscle"][column] + half_height + rng.uniform(-2.0, 1.0),
        "half_width_mm": rng.uniform(4.0, 8.0),
        "half_height_mm": half_height,
        "tilt_degrees": 0.0,
    }
    return {name: round(float(value), 2) for name, value in rib.items()}


def _with_rib(echo: Field, gain: Field, rib: dict[str, float]) -> tuple[Field, Field]:
    """A bright front, a dark body, and a shadow below."""
    radius = _ellipse(rib)
    front = np.exp(-0.5 * ((radius - 1) * rib["half_height_mm"] / 0.35) ** 2) * (rib["depth_mm"] > DEPTH_MM)
    body = 1 / (1 + np.exp(np.clip((radius - 1) * 12, -40, 40)))
    across = np.abs(LATERAL_MM - rib["lateral_mm"]) - rib["half_width_mm"]
    shaded = 1 / (1 + np.exp(np.clip(across / 0.4, -40, 40))) / (1 + np.exp(rib["depth_mm"] - DEPTH_MM))
    return echo + 14 * front - 9 * body, gain - 14 * shaded


def _sample_gain(rng: np.random.Generator) -> Field:
    """Residual attenuation after time gain, uneven contact, and overall gain."""
    loss = -rng.uniform(0, 16) * (DEPTH_MM / FIELD_MM) ** rng.uniform(1.2, 2.5)
    uneven = 1.5 * smooth_line(rng, 6.0)[:, None] + 1.2 * smooth_line(rng, 8.0)[None, :]
    gain: Field = loss + uneven + 2.0 * rng.standard_normal()
    return gain


def _sample_shadow(rng: np.random.Generator) -> dict[str, float]:
    """A dark band from some depth downwards; the slope is lateral mm per mm of depth."""
    shadow = {
        "lateral_mm": rng.uniform(0, FIELD_MM),
        "from_depth_mm": rng.uniform(1, 16),
        "half_width_mm": rng.uniform(0.6, 2.5),
        "slope": 0.06 * rng.standard_normal(),
        "level_db": rng.uniform(-9, -3),
    }
    return {name: round(float(value), 2) for name, value in shadow.items()}


def _shadow_db(shadow: dict[str, float]) -> Field:
    """Contribution of the shadow to the echo levels."""
    below = DEPTH_MM - shadow["from_depth_mm"]
    across = (LATERAL_MM - shadow["lateral_mm"] - shadow["slope"] * below) / shadow["half_width_mm"]
    profile: Field = np.exp(-0.5 * across**2) / (1 + np.exp(np.clip(-below / 0.8, -40, 40)))
    return shadow["level_db"] * profile
