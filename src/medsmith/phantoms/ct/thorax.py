"""Organs of the chest: lungs with vessels and airways, heart, great vessels, esophagus."""

from functools import partial

import numpy as np

from medsmith.phantoms.canvas import Layer
from medsmith.phantoms.ct.organs import Organ, branches, tree
from medsmith.phantoms.ct.trunk import Trunk
from medsmith.phantoms.solids import Solid, ellipsoid, resized, tube, union
from medsmith.phantoms.space import Field, Grid, Warp, stream
from medsmith.phantoms.tissue import Levels, Painter, Spot, layered, plain

SIDES = {"lung_left": -1, "lung_right": 1}


def lungs(trunk: Trunk, warp: Warp) -> dict[str, Organ]:
    """Both lungs: the cavity above the diaphragm, without the mediastinum."""
    organs = {}
    for name, side in SIDES.items():
        low = np.array([min(0, side * 140), -100, -50]) * np.array(warp.scale) - 9
        high = np.array([max(0, side * 140), 100, 236]) * np.array(warp.scale) + 9
        organs[name] = Organ(name, Solid(low, high, partial(_lung, trunk, name)))
    return organs


def _lung(trunk: Trunk, name: str, grid: Grid) -> Field:
    """Distance to one lung."""
    return grid.once(name, partial(_lung_of, trunk, SIDES[name]))


def _lung_of(trunk: Trunk, side: int, grid: Grid) -> Field:
    x, y, z = grid.anatomical
    hilum = np.exp(-(((z - 118) / 42) ** 2) - ((y + 8) / 40) ** 2)
    apart = 21 + 11 * np.clip(1 - (z - 20) / 130, 0, 1) - 9 * np.clip((np.abs(y) - 45) / 25, 0, 1) + 5 * hilum
    middle = apart.astype(np.float32) - side * x
    inner = np.maximum(trunk.cavity(grid) + np.float32(1.5), -trunk.diaphragm(grid) + np.float32(3))
    lung: Field = np.maximum(inner, middle)
    return lung


def lung_layers(trunk: Trunk, warp: Warp, levels: Levels, seed: int, values: dict[str, int]) -> list[Layer]:
    """Parenchyma, fissures, vessels, airways."""
    layers = []
    for name, organ in lungs(trunk, warp).items():
        side, rng = SIDES[name], stream(seed, f"tree {name}")
        box = ((side * 22 if side > 0 else -124, -78, -25), (124 if side > 0 else -22, 74, 212))
        hilum = (side * 24, -10, 112)
        arteries, veins = (tree(warp, rng, hilum, box, 420, 0.5) for _ in range(2))
        bronchi = tree(warp, rng, (side * 24, -18, 116), box, 60, 0.7)
        vessel = plain(levels["lung vessels"], 4.0)
        layers += [
            Layer(organ.solid, _parenchyma(levels), values[name]),
            Layer(branches(organ.solid, bronchi, 9.0, 0.8), plain(levels["airway wall"], 4.0)),
            Layer(branches(organ.solid, bronchi, 9.0), plain(-940.0, 4.0)),
            Layer(branches(organ.solid, arteries, 3.0), vessel),
            Layer(branches(organ.solid, veins, 3.0), vessel),
        ]
    return layers


def _parenchyma(levels: Levels) -> Painter:
    """Denser at the back, mottled, with a fissure."""
    base = plain(levels["lung"], 16.0)

    def paint(spot: Spot) -> Field:
        _x, y, z = spot.grid.anatomical
        fissure = z - np.float32(85) - np.float32(0.75) * y - np.float32(2) * spot.textures.coarse
        line = np.float32(170) * np.exp(-((fissure / np.float32(0.6 + 0.4 * spot.grid.spacing)) ** 2))
        depend = np.float32(-0.45) * (y - np.float32(10))
        painted: Field = base(spot) + depend + line
        return painted

    return paint


def heart(warp: Warp) -> Organ:
    """The heart with its sac."""
    return Organ("heart", ellipsoid(warp, (-20, 26, 78), (56, 43, 48), (-30, 18)))


def mediastinum_layers(warp: Warp, levels: Levels, values: dict[str, int]) -> list[Layer]:
    """Heart with four chambers, aorta, cavae, pulmonary arteries, trachea."""
    whole = heart(warp).solid
    chambers = [
        ellipsoid(warp, (-34, 26, 70), (30, 19, 24), (-30, 18)),
        ellipsoid(warp, (2, 44, 68), (36, 13, 25), (-25, 12)),
        ellipsoid(warp, (24, 20, 86), (20, 20, 26)),
        ellipsoid(warp, (-6, -4, 100), (30, 15, 20), (-10, 0)),
    ]
    pulmonary = [
        tube(warp, [(-12, 36, 100), (-10, 22, 122), (-24, -4, 124), (-44, -14, 118)], (12, 13, 10, 8))[0],
        tube(warp, [(-10, 22, 122), (8, 2, 124), (26, -8, 118), (46, -14, 112)], (12, 11, 9, 7))[0],
        tube(warp, [(18, 12, 200), (20, 16, 150), (24, 14, 105)], (7, 8.5, 9.5))[0],
    ]
    airway = _trachea(warp)
    blood, vein = plain(levels["heart blood"], 6.0), plain(levels["blood"] * 0.5 + levels["vein"] * 0.5, 6.0)
    return [
        Layer(whole, plain(levels["myocardium"], 6.0), values["heart"], gap_mm=2.5),
        *(Layer(chamber, blood) for chamber in chambers),
        *(Layer(vessel, vein) for vessel in pulmonary),
        Layer(_aorta(warp), plain(levels["blood"], 5.0), values["aorta"]),
        Layer(_cava(warp), plain(levels["vein"], 6.0), values["inferior_vena_cava"]),
        Layer(resized(airway, 1.4), plain(40.0, 5.0), values["trachea"]),
        Layer(airway, plain(-985.0, 4.0), values["trachea"]),
    ]


def _trachea(warp: Warp) -> Solid:
    """Trachea and main bronchi."""
    return union(
        tube(warp, [(2, 0, 240), (0, -8, 190), (0, -16, 142)], (8.5, 8.5, 8.5))[0],
        tube(warp, [(0, -16, 142), (16, -18, 126), (32, -20, 112)], (8, 7, 5.5))[0],
        tube(warp, [(0, -16, 142), (-18, -20, 124), (-36, -22, 112)], (8, 6.5, 5.5))[0],
    )


def _aorta(warp: Warp) -> Solid:
    """Ascending aorta, arch, descending and abdominal aorta, iliac arteries."""
    points = [(0, 26, 92), (12, 28, 120), (10, 16, 152), (-8, -14, 164), (-20, -42, 144), (-21, -44, 90)]
    points += [(-16, -42, 30), (-8, -38, -40), (-5, -36, -110), (-4, -36, -148)]
    radii = (14, 15, 14.5, 13, 12.5, 12, 11, 9.5, 9, 8.5)
    iliac = [
        tube(warp, [(-4, -36, -146), (s * 24, -38, -190), (s * 44, -20, -235), (s * 58, 24, -275)], (7, 6, 5.5, 5))[0]
        for s in (-1, 1)
    ]
    return union(tube(warp, points, radii)[0], *iliac)


def _cava(warp: Warp) -> Solid:
    """Inferior vena cava."""
    points = [(24, -34, -150), (24, -34, -80), (26, -30, -10), (26, -12, 40), (24, 8, 70)]
    return tube(warp, points, (10, 11, 12, 12, 12))[0]


def esophagus(warp: Warp) -> Organ:
    """From the neck to the stomach."""
    points = [(0, -34, 240), (-3, -36, 170), (-2, -38, 120), (-6, -36, 70), (-12, -26, 36), (-34, -6, 24)]
    solid, course = tube(warp, points, (8.5, 8.5, 8.8, 9.2, 9.5, 10.5))
    return Organ("esophagus", solid, 3.6, course)


def esophagus_layers(organ: Organ, levels: Levels, seed: int, values: dict[str, int]) -> list[Layer]:
    """The wall, and gas and fluid inside it."""
    rng = stream(seed, "esophagus")
    content = plain(20.0, 6.0)
    if rng.uniform() < 0.7:
        content = _bubbles(content, float(rng.uniform(-0.6, 0.8)))
    painter = layered(organ.wall_mm, plain(levels["esophagus wall"], 6.0), content)
    return [Layer(organ.solid, painter, values["esophagus"], gap_mm=1.2)]


def _bubbles(content: Painter, level: float) -> Painter:
    """Gas wherever the coarse texture is high."""

    def paint(spot: Spot) -> Field:
        share = np.clip((spot.textures.coarse - np.float32(level)) * 3 + 0.5, 0, 1)
        below = content(spot)
        painted: Field = below + (np.float32(-940) - below) * share
        return painted

    return paint
