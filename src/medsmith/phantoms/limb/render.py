"""Rendering of a limb with its tumor from the values of its tissues: signal of MR or Hounsfield units.

Partial volumes: a boundary is as wide as a voxel is across the limb; along the limb voxels are longer, where little
changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import UInt8

from medsmith.phantoms.canvas import blend, ramp_mm
from medsmith.phantoms.limb.anatomy import Limb
from medsmith.phantoms.limb.tumor import Tumor, bulging
from medsmith.phantoms.space import Field, Grid, Point, cover, stream
from medsmith.phantoms.tissue import Levels, smooth_noise

LABELS: Mapping[str, int] = {"background": 0, "fat": 1, "muscle": 2, "bone": 3, "lesion": 4}
SKIN_MM = 2.0
MUSCLE_TEXTURE, FAT_TEXTURE = 0.06, 0.05
"""Standard deviation of the textures of muscle and fat over the difference of their levels."""
GRAIN_MM = (5.0, 5.0, 25.0)
"""Fibers run along the limb."""
PATCHES_FROM = 0.3
"""Level of the smooth noise above which a tumor with fat or blood has a patch of it."""


@final
@dataclass(frozen=True, eq=False)
class Rendered:
    """A limb on the voxels of an image.

    Attributes:
        image: without noise.
        labels: truth.
    """

    image: Field
    labels: UInt8[np.ndarray, "x y z"]


def render(limb: Limb, tumor: Tumor, levels: Levels, grid: Grid, low: Point, seed: int) -> Rendered:
    """Paints air, skin, fat, muscles, vessels, bones and the tumor, one over the other.

    Args:
        limb: geometry.
        tumor: in it.
        levels: tissue -> its value: air, skin, fat, muscle, vessel, cortex, marrow, tumor, patch; and
            "texture", the standard deviation inside the tumor.
        grid: voxels.
        low: lower corner of the grid, patient mm.
        seed: of the textures.
    """
    edge_mm = float(max(axis.size * step for axis, step in zip(grid.axes, grid.steps, strict=True)))
    rng, width = stream(seed, "textures"), ramp_mm(grid.spacing)
    fibers = smooth_noise(rng, grid, low, GRAIN_MM, edge_mm)
    contrast = np.float32(abs(levels["fat"] - levels["muscle"]))
    body = tumor.distance(grid, limb)
    skin = bulging(limb.skin(grid), body, tumor.shell + SKIN_MM)
    fascia = limb.fascia(grid)
    if tumor.depth == "deep":
        fascia = bulging(fascia, body, tumor.shell)
    image = np.full(grid.shape, levels["air"], np.float32)
    labels = np.zeros(grid.shape, np.uint8)
    _over(image, np.full_like(image, levels["skin"]), skin, width)
    _over(image, levels["fat"] + contrast * np.float32(FAT_TEXTURE) * fibers, skin + np.float32(SKIN_MM), width)
    labels[skin <= 0] = LABELS["fat"]
    muscle = levels["muscle"] + contrast * np.float32(MUSCLE_TEXTURE) * fibers
    blend(muscle, np.full_like(muscle, levels["fat"]), _septa(limb, grid))
    _over(image, muscle, fascia, width)
    labels[(fascia <= 0) & (skin <= 0)] = LABELS["muscle"]
    for vessel in limb.vessels:
        _over(image, np.full_like(image, levels["vessel"]), limb.rod(grid, vessel), width)
    _paint_bones(image, labels, limb, levels, grid, width)
    if tumor.capsule:
        _over(image, np.full_like(image, levels["fat"]), body - np.float32(tumor.capsule), width)
    _over(image, _tissue(tumor, levels, grid, low, edge_mm, rng), body, width)
    labels[body <= 0] = LABELS["lesion"]
    return Rendered(image, labels)


def _over(image: Field, painted: Field, distance: Field, width: float) -> None:
    blend(image, np.asarray(painted, np.float32), cover(distance, width))


def _septa(limb: Limb, grid: Grid) -> Field:
    """Share of fat between the muscles: a thin sheet is blurred to the width of a voxel, not lost."""
    wide = float(np.hypot(limb.septum, grid.spacing))
    profile = np.exp(-((limb.septa(grid) / np.float32(wide / 2)) ** 2))
    return np.asarray(np.float32(min(1.0, limb.septum / wide)) * profile, np.float32)


def _paint_bones(
    image: Field, labels: UInt8[np.ndarray, "x y z"], limb: Limb, levels: Levels, grid: Grid, width: float
) -> None:
    for bone in limb.bones:
        distance = limb.rod(grid, bone)
        _over(image, np.full_like(image, levels["cortex"]), distance, width)
        _over(image, np.full_like(image, levels["marrow"]), distance + np.float32(bone.cortex), width)
        labels[distance <= 0] = LABELS["bone"]


def _tissue(tumor: Tumor, levels: Levels, grid: Grid, low: Point, edge_mm: float, rng: np.random.Generator) -> Field:
    """The tumor's own values: a texture in blobs, and patches of fat or blood where it has them."""
    blobs = smooth_noise(rng, grid, low, (tumor.grain,) * 3, edge_mm)
    painted = np.asarray(np.float32(levels["tumor"]) + np.float32(levels["texture"]) * blobs, np.float32)
    if tumor.kind != "like muscle":
        patches = smooth_noise(rng, grid, low, (1.5 * tumor.grain,) * 3, edge_mm)
        share = np.clip(3 * (patches - np.float32(PATCHES_FROM)), 0, 1)
        blend(painted, np.full_like(painted, levels["patch"]), np.asarray(share, np.float32))
    return painted
