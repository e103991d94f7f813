"""Layered rendering of structures: HU, labels, and voxels that a lesion may occupy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, UInt8

from medsmith.phantoms.solids import Solid
from medsmith.phantoms.space import Field, Grid, cover
from medsmith.phantoms.tissue import Painter, Spot, Textures

BLUR_MM = 1.1
"""Full width of an edge from the scanner's kernel, before the blur of the voxel is added."""


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """One structure of the anatomy.

    Attributes:
        solid: where it is.
        painter: its HU.
        label: its value; None keeps the label below it (vessels inside the liver).
        yields: whether a lesion of another organ may grow over it (fat does, bone does not).
        gap_mm: thickness of a layer of fat around it.
    """

    solid: Solid
    painter: Painter
    label: int | None = None
    yields: bool = False
    gap_mm: float = 0.0


@final
@dataclass(frozen=True, eq=False)
class Canvas:
    """The image rendered so far.

    Attributes:
        image: HU without noise.
        labels: one value per voxel.
        yields: whether a lesion may grow over a voxel.
    """

    image: Field
    labels: UInt8[np.ndarray, "x y z"]
    yields: Bool[np.ndarray, "x y z"]


def paint(grid: Grid, layers: Sequence[Layer], textures: Textures, fat: Painter, air: float = -1000) -> Canvas:
    """Renders all layers in order over air."""
    canvas = Canvas(
        np.full(grid.shape, air, np.float32), np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.bool_)
    )
    for layer in layers:
        _paint_layer(canvas, grid, layer, textures, fat)
    return canvas


def _paint_layer(canvas: Canvas, grid: Grid, layer: Layer, textures: Textures, fat: Painter) -> None:
    part = layer.solid.part(grid)
    if part is None:
        return
    own = grid.crop(part)
    distance = layer.solid.distance(own)
    if distance.min() > layer.gap_mm + grid.spacing:
        return
    spot = Spot(own, distance, Textures(textures.fine[part], textures.coarse[part]))
    width = ramp_mm(grid.spacing)
    if layer.gap_mm:
        blend(canvas.image[part], fat(spot), cover(distance - np.float32(layer.gap_mm), width))
        canvas.yields[part] |= distance < layer.gap_mm
        np.copyto(canvas.labels[part], 0, where=distance < layer.gap_mm)
    blend(canvas.image[part], layer.painter(spot), cover(distance, width))
    inside = distance <= 0
    if layer.label is not None:
        np.copyto(canvas.labels[part], layer.label, where=inside)
    np.copyto(canvas.yields[part], layer.yields, where=inside)


def ramp_mm(spacing: float) -> float:
    """Full width of an edge at this voxel size."""
    return float(np.hypot(1.4 * spacing, BLUR_MM))


def blend(image: Field, painted: Field, share: Field) -> None:
    """Blends painted values into the image, in place."""
    image += share * (painted - image)
