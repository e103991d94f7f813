"""Bodies given in mm and sampled on any grid, and CT of them with a known margin, texture and noise."""

import numpy as np
from scipy.special import expit


def positions(half_mm, spacing, shift=(0.0, 0.0, 0.0)):
    """Voxel centers in mm about the origin, 3 x y z; shift moves the origin off a voxel's center."""
    axes = [
        (np.arange(-np.ceil(half_mm / edge) - 2, np.ceil(half_mm / edge) + 3) + move) * edge
        for edge, move in zip(spacing, shift, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def ellipsoid(radii_mm, spacing, shift=(0.0, 0.0, 0.0)):
    places = positions(max(radii_mm), spacing, shift)
    return sum((p / r) ** 2 for p, r in zip(places, radii_mm, strict=True)) <= 1


def ball(radius_mm, spacing, shift=(0.0, 0.0, 0.0)):
    return ellipsoid((radius_mm,) * 3, spacing, shift)


def cube(edge, spacing_mm=1.0):
    half = edge // 2
    return np.pad(np.ones((2 * half,) * 3, dtype=bool), 4), (spacing_mm,) * 3


def lobed(radius_mm, spacing, depth, lobes=3):
    """A ball whose radius swings with the direction: a smooth body that is no ball."""
    x, y, z = positions(radius_mm * (1 + abs(depth)), spacing)
    level = np.sqrt(x**2 + y**2 + z**2)
    swing = np.cos(lobes * np.arctan2(y, x)) * (1 - (z / np.maximum(level, 1e-9)) ** 2)
    return level <= radius_mm * (1 + depth * swing)


def waves(rng, places, grain_mm, count=24):
    """A random texture that is a function of the position in mm, whatever the grid."""
    total = np.zeros(places.shape[1:], np.float32)
    for vector, phase in zip(rng.standard_normal((count, 3)) / grain_mm, rng.uniform(0, 2 * np.pi, count), strict=True):
        total += np.cos(np.einsum("i,ixyz->xyz", vector, places) + phase).astype(np.float32)
    return total


def scan_of_ball(rng, radius_mm, spacing, *, width_mm=0.8, contrast=60.0, noise=10.0, texture=0.0, grain_mm=1.5):
    """CT of a ball (HU, and its mask): a logistic margin of this 10-90 % width, a texture inside, white noise."""
    places = positions(radius_mm + 10, spacing)
    depth = radius_mm - np.sqrt((places**2).sum(axis=0))
    pattern = 0
    if texture:
        pattern = waves(rng, places, grain_mm)
        pattern = texture * (pattern - pattern[depth > 0].mean()) / pattern[depth > 0].std()
    edge = expit(depth * 2 * np.log(9) / width_mm)
    image = 50 + edge * (contrast + pattern) + noise * rng.standard_normal(depth.shape)
    return image.astype(np.float32), depth >= 0
