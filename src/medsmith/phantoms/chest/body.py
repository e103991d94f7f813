"""Tissues of the chest wall and of the fat in the cavity, in painting order."""

import numpy as np

from medsmith.phantoms.canvas import Layer
from medsmith.phantoms.chest.lungs import Lungs
from medsmith.phantoms.chest.skeleton import Skeleton, box
from medsmith.phantoms.chest.wall import Wall
from medsmith.phantoms.solids import Solid
from medsmith.phantoms.space import Field
from medsmith.phantoms.tissue import Levels, Painter, Spot, plain, skin, striated


def body_layers(wall: Wall, skeleton: Skeleton, lungs: Lungs, levels: Levels) -> list[Layer]:
    """Skin, fat, breasts, muscles, and the fat that fills the cavity."""
    everywhere = box(skeleton.placement, (-230, -190), (230, 190))
    layers = [Layer(Solid(*everywhere, wall.skin), skin(levels))]
    if wall.patient.breast:
        layers.append(Layer(Solid(*everywhere, wall.gland), _glandular(levels, wall.patient.gland)))
    return [
        *layers,
        Layer(Solid(*everywhere, wall.muscle), striated(levels, 15 + 40 * wall.patient.age)),
        Layer(Solid(*everywhere, wall.fat_plane), plain(levels["fat"] + 14, 8.0)),
        Layer(Solid(*everywhere, wall.shoulder_plane), plain(levels["fat"] + 14, 8.0)),
        Layer(Solid(*everywhere, wall.outside), _filling(lungs, levels)),
    ]


def _glandular(levels: Levels, share: float) -> Painter:
    """Fibroglandular strands in fat."""

    def paint(spot: Spot) -> Field:
        edge = np.clip(-spot.distance / np.float32(7), 0, 1)
        strands = 0.8 * spot.textures.coarse + 0.6 * spot.textures.fine + np.float32(2.0 * share - 1.5)
        mixed = edge * np.clip(strands, 0, 1)
        painted: Field = np.float32(levels["fat"]) + np.float32(135) * mixed + 6 * spot.textures.fine
        return painted

    return paint


def _filling(lungs: Lungs, levels: Levels) -> Painter:
    """Mediastinal fat with the thin line of the pericardium."""
    base, heart = plain(levels["fat"] + 4, 9.0), lungs.mediastinum.heart.solid

    def paint(spot: Spot) -> Field:
        off = heart.distance(spot.grid) - np.float32(1.2 + 2.0 * lungs.patient.fat_inside)
        line = np.exp(-((off / np.float32(0.9)) ** 2))
        painted: Field = base(spot) + np.float32(70) * line
        return painted

    return paint
