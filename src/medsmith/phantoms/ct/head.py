"""The head: scalp, skull, brain with cortex, ventricles and cerebellum, eyes, sinuses.

Anatomical space: the origin lies between the ventricles, +x the patient's right, +y the front, +z the top.
"""

from functools import partial

import numpy as np

from medsmith.phantoms.canvas import Layer
from medsmith.phantoms.ct.organs import Organ
from medsmith.phantoms.solids import Solid, ellipsoid, ellipsoid_distance, tube, union, within, without
from medsmith.phantoms.space import Field, Grid, Warp, stream
from medsmith.phantoms.tissue import Levels, Painter, Spot, bone, plain, striated

CRANIUM_MM = (70.0, 86.0, 68.0)
"""Half axes of the inner surface of the skull."""
BASE_MM = -42.0
"""Height of the middle of the skull's base."""
SKULL_MM = 6.5
SCALP_MM = 5.5


def head_organs(warp: Warp, seed: int) -> dict[str, Organ]:
    """The brain, including its ventricles."""
    atrophy = float(stream(seed, "brain").uniform(1.0, 3.2))
    return {"brain": Organ("brain", _block(warp, partial(_brain, atrophy)))}


def _block(warp: Warp, distance: "partial[Field]") -> Solid:
    """A solid with the bounds of the head."""
    scale = np.array(warp.scale)
    return Solid(np.array([-95, -112, -150]) * scale - 8, np.array([95, 120, 90]) * scale + 8, distance)


def _cranium(grid: Grid) -> Field:
    """Distance to the inner surface of the skull: an ellipsoid, narrower in front, on a sloping base."""
    return grid.once("cranium", _cranium_of)


def _cranium_of(grid: Grid) -> Field:
    _x, y, z = grid.anatomical
    vault = ellipsoid_distance(grid.anatomical, np.zeros(3), np.array(CRANIUM_MM), np.eye(3))
    narrow = vault + np.float32(6) * np.clip(y / 80, 0, 1) ** 2
    step = np.float32(18) / (1 + np.exp(-(y - 14) / 7)) - np.float32(16) / (1 + np.exp((y + 28) / 7))
    floor = (np.float32(BASE_MM) + step - z) * np.float32(0.9)
    return np.asarray(np.maximum(narrow, floor), np.float32)


def _brain(gap: float, grid: Grid) -> Field:
    """Distance to the surface of the brain, a gap below the skull; open between the hemispheres."""
    x, y, z = grid.anatomical
    joined = np.clip((30 - z) / 3, 0, 1) * np.clip((52 - np.abs(y)) / 4, 0, 1)
    cleft = np.float32(1.2) - np.abs(x) - np.float32(8) * joined
    return np.asarray(np.maximum(_cranium(grid) + np.float32(gap), cleft), np.float32)


def _outer(extra: float, grid: Grid) -> Field:
    """Distance to the cranium grown by some mm, with the face and neck below it."""
    x, y, z = grid.anatomical
    vault = ellipsoid_distance(grid.anatomical, np.zeros(3), np.array(CRANIUM_MM), np.eye(3))
    below = np.sqrt((x / 62) ** 2 + ((y - 12) / 80) ** 2) * 62 - 62
    face = np.maximum(below.astype(np.float32), z + np.float32(5))
    return np.asarray(np.minimum(vault, face) - np.float32(extra), np.float32)


def head_layers(organs: dict[str, Organ], warp: Warp, levels: Levels, seed: int, values: dict[str, int]) -> list[Layer]:
    """The layers of the head in painting order."""
    rng = stream(seed, "head")
    hard = bone(levels, 1.4)
    skull = _block(warp, partial(_skull))
    fluid = plain(levels["csf"], 1.5)
    brain = organs["brain"].solid
    wide = float(rng.uniform(0.8, 1.5))
    ventricles = within(_ventricles(warp, wide), brain.distance)
    return [
        Layer(_block(warp, partial(_outer, SKULL_MM + SCALP_MM)), plain(levels["skin"] + 20, 8.0)),
        Layer(_block(warp, partial(_outer, SKULL_MM + SCALP_MM - 2)), plain(levels["fat"] + 10, 10.0)),
        Layer(_block(warp, partial(_outer, SKULL_MM + 1.5)), striated(levels)),
        Layer(skull, hard, values["skull"]),
        *_face(warp, levels, hard, values),
        Layer(_block(warp, partial(_cranium)), fluid),
        Layer(brain, _brain_painter(levels), values["brain"]),
        Layer(_falx(warp), plain(58.0, 3.0)),
        *_deep_gray(warp, levels),
        Layer(ventricles, fluid),
        *_hind_brain(warp, levels, values),
    ]


def _skull(grid: Grid) -> Field:
    """The vault and its base, around the cranium."""
    _x, _y, z = grid.anatomical
    cranium = _cranium(grid)
    shell = np.maximum(cranium - np.float32(SKULL_MM), -cranium)
    return np.asarray(np.maximum(shell, np.float32(BASE_MM - 26) - z), np.float32)


def _face(warp: Warp, levels: Levels, hard: Painter, values: dict[str, int]) -> list[Layer]:
    """Eyes in their fat, sinuses, petrous bones with air cells, the first vertebra."""
    orbits = union(*(ellipsoid(warp, (s * 32, 72, -40), (19, 24, 17)) for s in (-1, 1)))
    eyes = union(*(ellipsoid(warp, (s * 32, 80, -40), (12, 12.5, 12)) for s in (-1, 1)))
    walls = union(*(ellipsoid(warp, (s * 32, 72, -40), (21, 25, 19)) for s in (-1, 1)))
    petrous = union(*(tube(warp, [(s * 62, -26, -46), (s * 16, 2, -44)], (11, 6))[0] for s in (-1, 1)))
    air = union(
        ellipsoid(warp, (0, 30, -52), (13, 12, 10)),
        ellipsoid(warp, (0, 60, -46), (10, 22, 15)),
        ellipsoid(warp, (0, 84, -10), (17, 4, 9)),
        *(ellipsoid(warp, (s * 28, 58, -72), (14, 17, 15)) for s in (-1, 1)),
    )
    shell = union(
        ellipsoid(warp, (0, 30, -52), (15, 14, 12)),
        ellipsoid(warp, (0, 60, -46), (12, 24, 17)),
        ellipsoid(warp, (0, 83, -10), (20, 7, 12)),
        *(ellipsoid(warp, (s * 28, 58, -72), (16, 19, 17)) for s in (-1, 1)),
    )
    ring = without(ellipsoid(warp, (0, -26, -84), (42, 20, 9)), ellipsoid(warp, (0, -26, -84), (15, 14, 20)).distance)
    return [
        Layer(walls, hard, values["skull"]),
        Layer(orbits, plain(levels["fat"], 8.0), 0),
        Layer(eyes, plain(9.0, 3.0), 0),
        Layer(petrous, _cells(hard), values["skull"]),
        Layer(shell, hard, values["skull"]),
        Layer(air, plain(-985.0, 8.0), 0),
        Layer(ring, hard, values["bone"]),
    ]


def _cells(hard: Painter) -> Painter:
    """Bone with air cells."""

    def paint(spot: Spot) -> Field:
        share = np.clip((spot.textures.fine - np.float32(0.7)) * 4, 0, 1) * (spot.distance < -2.5)
        painted = hard(spot) + np.float32(350)
        mixed: Field = (painted + (np.float32(-850) - painted) * share).astype(np.float32)
        return mixed

    return paint


def _brain_painter(levels: Levels) -> Painter:
    """Cortex along the surface and along the sulci, white matter below, fluid in the sulci."""
    gray, white = plain(levels["gray matter"], 1.5), plain(levels["white matter"], 1.5)

    def paint(spot: Spot) -> Field:
        depth = -spot.distance
        fold = np.abs(spot.textures.coarse + np.float32(0.22) * spot.textures.fine)
        near = np.clip((24 - depth) / 8, 0, 1)
        ribbon = np.maximum(np.clip((4.2 - depth) / 1.6, 0, 1), np.clip((0.55 - fold) / 0.16, 0, 1) * near)
        open_ = np.float32(0.09) + np.float32(0.16) * np.clip((12 - depth) / 12, 0, 1)
        sulcus = np.clip((open_ - fold) / 0.07, 0, 1) * np.clip((20 - depth) / 7, 0, 1)
        below = white(spot)
        mixed = below + (gray(spot) - below) * ribbon
        painted: Field = (mixed + (np.float32(levels["csf"] + 4) - mixed) * sulcus).astype(np.float32)
        return painted

    return paint


def _falx(warp: Warp) -> Solid:
    """The fold of dura between the hemispheres."""

    def distance(grid: Grid) -> Field:
        x, y, z = grid.anatomical
        low = np.float32(26) - z - np.maximum(0, -y - 40) * np.float32(0.9)
        return np.asarray(np.maximum(np.maximum(np.abs(x) - np.float32(0.8), low), _cranium(grid)), np.float32)

    return _block(warp, partial(distance))


def _deep_gray(warp: Warp, levels: Levels) -> list[Layer]:
    """Thalami, lentiform and caudate nuclei."""
    gray = plain(levels["gray matter"] + 1, 1.5)
    bodies = []
    for side in (-1, 1):
        bodies += [
            ellipsoid(warp, (side * 13, -10, 6), (9.5, 14, 9)),
            ellipsoid(warp, (side * 26, 8, 4), (7, 17, 10), (side * 12.0, 0)),
            ellipsoid(warp, (side * 13, 24, 12), (5.5, 10, 9)),
        ]
    return [Layer(body, gray) for body in bodies]


def _ventricles(warp: Warp, wide: float) -> Solid:
    """Lateral ventricles with their horns, the third ventricle, the basal cisterns."""
    parts = [ellipsoid(warp, (0, 0, 4), (1.8 * wide, 12, 9)), ellipsoid(warp, (0, -46, -38), (7 * wide, 6, 7))]
    parts.append(ellipsoid(warp, (0, 8, -28), (16, 10, 6)))
    for side in (-1, 1):
        body = [(8, 32, 14), (11, 10, 24), (14, -18, 24), (24, -36, 12), (22, -58, 8)]
        horn = [(24, -34, 10), (34, -22, -12), (34, 2, -20)]
        for points, radii in ((body, (4.5, 4.5, 5, 5.5, 2.0)), (horn, (4, 2.4, 2.0))):
            placed = [(side * x, y, z) for x, y, z in points]
            parts.append(tube(warp, placed, [wide * radius for radius in radii], 5.0)[0])
    return union(*parts)


def _hind_brain(warp: Warp, levels: Levels, values: dict[str, int]) -> list[Layer]:
    """Cerebellum under its tent, brainstem."""
    cerebellum = within(ellipsoid(warp, (0, -46, -36), (52, 33, 24)), _cranium)
    tent = without(ellipsoid(warp, (0, -46, -34), (55, 36, 26)), cerebellum.distance)
    stem, _ = tube(warp, [(0, -14, -14), (0, -14, -36), (0, -22, -62), (0, -26, -110)], (15, 15, 10, 8))
    fourth = ellipsoid(warp, (0, -30, -38), (6, 4, 8))

    def folia(spot: Spot) -> Field:
        leaves = np.sin(spot.distance * np.float32(1.6) + 2 * spot.textures.coarse)
        painted: Field = np.float32(levels["gray matter"] - 3) + 3 * leaves + 1.5 * spot.textures.fine
        return painted

    return [
        Layer(within(tent, _cranium), plain(levels["csf"] + 14, 3.0)),
        Layer(cerebellum, folia, values["brain"]),
        Layer(stem, plain(levels["white matter"] + 2, 1.5), values["brain"]),
        Layer(fourth, plain(levels["csf"], 1.5)),
    ]
