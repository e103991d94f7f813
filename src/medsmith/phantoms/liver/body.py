"""The body around the liver, without labels: the anatomy of the CT phantoms with the signal of MR."""

from dataclasses import replace

import numpy as np

from medsmith.phantoms.canvas import Layer
from medsmith.phantoms.ct.abdomen import KIDNEYS, abdominal_organs
from medsmith.phantoms.ct.organs import branches, tree
from medsmith.phantoms.ct.thorax import heart, lungs
from medsmith.phantoms.ct.trunk import VERTEBRA_MM, Trunk, bone_solids, folded, long_muscles
from medsmith.phantoms.liver.organ import cava, gallbladder
from medsmith.phantoms.solids import Solid, ellipsoid, resized, tube, without
from medsmith.phantoms.space import REGION_MM, Field, Warp, cover, stream
from medsmith.phantoms.tissue import Levels, Painter, Spot, gas_above, layered, plain

LIVER_GAP_MM = 1.5
"""Fat between the liver and other organs."""
GAS = 6.0
"""Signal of gas."""


def body_layers(warp: Warp, trunk: Trunk, levels: Levels, seed: int, liver: Solid) -> list[Layer]:
    """All structures in painting order, to be painted over air of signal 0.

    Args:
        warp: to patient space.
        trunk: proportions of the body.
        levels: signal of the tissues.
        seed: of the case.
        liver: its surface, which other organs of the abdomen make way for.
    """
    abdomen = [*_bowel(warp, trunk, levels, seed), *_upper_organs(warp, trunk, levels, seed)]
    beside = [replace(layer, solid=without(layer.solid, resized(liver, LIVER_GAP_MM).distance)) for layer in abdomen]
    everywhere = (np.array(REGION_MM[0]), np.array(REGION_MM[1]))
    muscle = _even(levels["muscle"], 0.10)
    return [
        Layer(Solid(*everywhere, trunk.skin), _under_skin(levels)),
        Layer(Solid(*everywhere, trunk.muscle), muscle),
        Layer(Solid(*everywhere, trunk.cavity), _mesentery(levels)),
        *(Layer(solid, muscle) for solid in long_muscles(trunk, warp)),
        *_chest(warp, trunk, levels, seed),
        *beside,
        *_bones(warp, trunk, levels),
    ]


def _even(level: float, share: float = 0.05) -> Painter:
    """A mean and a texture whose standard deviation is this share of it."""
    return plain(level, share * level)


def _under_skin(levels: Levels) -> Painter:
    """Suppressed fat below a thin skin; suppression fails in places."""
    inner = _even(levels["fat"], 0.15)

    def paint(spot: Spot) -> Field:
        rim = cover(-(spot.distance + np.float32(2.5)), spot.grid.spacing + 1)
        below = inner(spot)
        painted: Field = below + (np.float32(levels["skin"]) - below) * rim
        return painted

    return paint


def _mesentery(levels: Levels) -> Painter:
    """Fat with vessels and lymph nodes."""
    fat = _even(levels["fat"], 0.18)

    def paint(spot: Spot) -> Field:
        vessels = np.exp(-((spot.textures.fine / np.float32(0.25)) ** 2)) * (spot.textures.coarse > 0)
        painted: Field = fat(spot) + np.float32(0.35 * levels["blood"]) * vessels.astype(np.float32)
        return painted

    return paint


def _bowel(warp: Warp, trunk: Trunk, levels: Levels, seed: int) -> list[Layer]:
    """Colon, loops of small bowel, pancreas and duodenum."""
    rng = stream(seed, "bowel")
    organs = abdominal_organs(trunk, warp, seed)
    wall = _even(levels["wall"])
    loops = []
    for height in (-66, -88, -110):
        xs = np.linspace(-76, 62, 6) * (1 if height % 44 else -1)
        points = [(x, 14 + 26 * rng.uniform(-1, 1), height + 10 * rng.uniform(-1, 1)) for x in xs]
        loops.append(tube(warp, points, rng.uniform(9, 13, 6).tolist(), 7.0, (0.06, 11.0))[0])
    duodenum = tube(warp, [(20, 42, -62), (38, 26, -66), (52, 4, -88), (44, -8, -116), (8, -12, -122)], [12] * 5)[0]
    splenic = tube(warp, [(-66, -18, -22), (-20, 0, -48), (10, 4, -57)], (4, 5, 6.5))[0]
    mesenteric = tube(warp, [(10, 4, -57), (8, 6, -90), (6, 14, -140)], (6.5, 5.5, 4.5))[0]
    stool = layered(2.8, wall, _even(levels["stool"], 0.25))
    return [
        *(Layer(loop, layered(2.2, wall, _even(levels["content"], 0.2)), gap_mm=0.8) for loop in loops),
        Layer(organs["colon"].solid, stool, gap_mm=1.5),
        Layer(duodenum, layered(2.4, wall, _even(levels["content"], 0.2)), gap_mm=1.0),
        Layer(organs["pancreas"].solid, _even(levels["pancreas"], 0.10), gap_mm=1.0),
        *(Layer(vein, _even(levels["vessels"])) for vein in (splenic, mesenteric)),
    ]


def _chest(warp: Warp, trunk: Trunk, levels: Levels, seed: int) -> list[Layer]:
    """Lungs with their larger vessels, and the heart."""
    rng = stream(seed, "lung vessels")
    layers = []
    for name, organ in lungs(trunk, warp).items():
        side = 1 if name == "lung_right" else -1
        box = ((side * 22 if side > 0 else -124, -78, -20), (124 if side > 0 else -22, 74, 100))
        vessels = tree(warp, rng, (side * 24, -10, 112), box, 70, 0.7)
        layers += [
            Layer(organ.solid, _even(levels["lung"], 0.3)),
            Layer(branches(organ.solid, vessels, 3.0), _even(levels["lung vessels"])),
        ]
    chambers = (ellipsoid(warp, (-34, 26, 70), (30, 19, 24), (-30, 18)), ellipsoid(warp, (2, 44, 68), (36, 13, 25)))
    return [
        *layers,
        Layer(heart(warp).solid, _even(levels["myocardium"], 0.08), gap_mm=2.5),
        *(Layer(chamber, _even(levels["heart blood"], 0.08)) for chamber in chambers),
    ]


def _upper_organs(warp: Warp, trunk: Trunk, levels: Levels, seed: int) -> list[Layer]:
    """Stomach, spleen, kidneys, gallbladder, aorta and vena cava."""
    rng = stream(seed, "contents")
    organs = abdominal_organs(trunk, warp, seed)
    drink, level = _even(levels["content"], 0.15), float(rng.uniform(30, 66))
    full = layered(4.2, _even(levels["wall"]), gas_above(level, drink, GAS))
    excreted, depth = levels["excreted bile"], float(rng.uniform(20, 70))
    bile = layered(1.6, _even(levels["wall"]), _layered_bile(levels["bile"], excreted, depth))
    aorta = tube(warp, [(-21, -44, 120), (-16, -42, 30), (-8, -38, -40), (-5, -36, -148)], (12, 11, 9.5, 8.5))[0]
    blood = _even(levels["blood"], 0.06)
    return [
        Layer(organs["stomach"].solid, full, gap_mm=1.5),
        Layer(organs["spleen"].solid, _even(levels["spleen"]), gap_mm=1.5),
        *(Layer(organs[name].solid, _kidney(levels), gap_mm=2.0) for name in KIDNEYS),
        Layer(gallbladder(warp, seed), bile, gap_mm=1.0),
        Layer(aorta, blood, gap_mm=2.0),
        Layer(cava(warp), _even(levels["vessels"]), gap_mm=0.5),
    ]


def _kidney(levels: Levels) -> Painter:
    """Cortex, medulla, and the pelvis in the middle."""
    cortex, medulla = _even(levels["kidney cortex"]), _even(levels["kidney medulla"])
    pelvis = _even(levels["renal pelvis"])

    def paint(spot: Spot) -> Field:
        painted = cortex(spot)
        for inner, depth in ((medulla, 6.0), (pelvis, 17.0)):
            share = cover(spot.distance + np.float32(depth) - 1.5 * spot.textures.coarse, 3.0)
            painted = painted + (inner(spot) - painted) * share
        return np.asarray(painted, np.float32)

    return paint


def _layered_bile(bile: float, excreted: float, level: float) -> Painter:
    """Bile over bile with contrast agent, which is heavier: the patient lies on the back; level is a y in mm."""

    def paint(spot: Spot) -> Field:
        share = cover(spot.grid.anatomical[1] - np.float32(level), 8.0)
        painted: Field = np.float32(bile) + np.float32(excreted - bile) * share
        return painted

    return paint


def _bones(warp: Warp, trunk: Trunk, levels: Levels) -> list[Layer]:
    """Ribs, sternum, spine and its canal; cortical bone has no signal."""
    solids = bone_solids(trunk, warp)
    marrow = _bone(levels["marrow"])
    spine = _with_discs(marrow, trunk, levels["disc"])
    return [
        Layer(solids["ribs"], marrow),
        Layer(solids["sternum"], marrow),
        Layer(solids["spine"], spine),
        Layer(solids["canal"], _cord(levels)),
    ]


def _bone(level: float) -> Painter:
    """Marrow below a dark cortex."""
    inner = _even(level, 0.12)

    def paint(spot: Spot) -> Field:
        shell = np.exp(-((np.minimum(spot.distance, 0) / np.float32(1.4)) ** 2))
        painted: Field = inner(spot) * (1 - np.float32(0.8) * shell)
        return painted

    return paint


def _with_discs(marrow: Painter, trunk: Trunk, disc: float) -> Painter:
    """Vertebral bodies with discs between them."""

    def paint(spot: Spot) -> Field:
        _x, y, z = spot.grid.anatomical
        gap = np.abs(folded(z, VERTEBRA_MM, trunk.phase)) - np.float32(VERTEBRA_MM / 2 - 4)
        share = cover(-gap, spot.grid.spacing + 1) * (y > -78)
        painted = marrow(spot)
        mixed: Field = (painted + (np.float32(disc) - painted) * share).astype(np.float32)
        return mixed

    return paint


def _cord(levels: Levels) -> Painter:
    """The spinal cord in its fluid."""

    def paint(spot: Spot) -> Field:
        cord = cover(spot.distance + np.float32(3.5), spot.grid.spacing + 0.5)
        painted: Field = np.float32(levels["csf"]) + np.float32(levels["muscle"] - levels["csf"]) * cord
        return painted

    return paint
