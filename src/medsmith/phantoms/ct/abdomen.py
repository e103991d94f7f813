"""Organs of the abdomen and pelvis."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from medsmith.phantoms.canvas import Layer
from medsmith.phantoms.ct.organs import Organ, branches, tree
from medsmith.phantoms.ct.trunk import Trunk
from medsmith.phantoms.solids import Solid, chain, ellipsoid, resized, tube, union, within, within_smoothly, without
from medsmith.phantoms.space import Field, Grid, Warp, stream
from medsmith.phantoms.tissue import Levels, Painter, Spot, gas_above, layered, plain

Values = Mapping[str, int]
Triple = tuple[float, float, float]


def abdominal_organs(trunk: Trunk, warp: Warp, seed: int) -> dict[str, Organ]:
    """All organs that can have a lesion, and the spleen."""
    organs = (
        _liver(trunk, warp),
        _spleen(trunk, warp),
        _gallbladder(warp, seed),
        *_kidneys(warp, seed),
        _pancreas(warp, seed),
        _stomach(warp, seed),
        _colon(warp, seed),
        _bladder(warp, seed),
    )
    return {organ.name: organ for organ in organs}


def _near(rng: np.random.Generator, center: Triple, sd: float) -> Triple:
    """A normally distributed position, cut at two standard deviations along each axis."""
    x, y, z = (value + sd * float(np.clip(rng.standard_normal(), -2, 2)) for value in center)
    return x, y, z


def _below_dome(trunk: Trunk, gap: float) -> Solid:
    """The region inside the cavity and below the diaphragm."""
    low, high = np.full(3, -400.0), np.full(3, 400.0)
    return Solid(
        low, high, lambda grid: np.maximum(trunk.cavity(grid) + np.float32(3), trunk.diaphragm(grid) + np.float32(gap))
    )


def _liver(trunk: Trunk, warp: Warp) -> Organ:
    """Right and left lobe under the dome."""
    right = ellipsoid(warp, (72, -2, -6), (66, 76, 78), (0, -10))
    left = ellipsoid(warp, (6, 40, 14), (74, 38, 38), (0, -14))
    whole = within(union(right, left), _below_dome(trunk, 2).distance)
    return Organ("liver", within_smoothly(whole, _before_kidney, 34.0))


def _before_kidney(grid: Grid) -> Field:
    """Negative in front of an oblique plane that descends towards the front."""
    _x, y, z = grid.anatomical
    return np.asarray(-(y + 24 + np.float32(0.75) * (z + 62)) * np.float32(0.8), np.float32)


def _spleen(trunk: Trunk, warp: Warp) -> Organ:
    outer = ellipsoid(warp, (-94, -34, 4), (34, 46, 50), (-25, -12))
    hollow = ellipsoid(warp, (-56, -8, 2), (34, 40, 52))
    return Organ("spleen", within(without(outer, hollow.distance), _below_dome(trunk, 3).distance))


def _gallbladder(warp: Warp, seed: int) -> Organ:
    rng = stream(seed, "gallbladder")
    width = float(rng.uniform(14.5, 19))
    solid = ellipsoid(warp, _near(rng, (60, 48, -58), 3), (width, width, width * 2.1), (20, 24))
    return Organ("gallbladder", solid, 2.2)


KIDNEYS: Mapping[str, tuple[int, float]] = MappingProxyType({"kidney_left": (-1, -52.0), "kidney_right": (1, -72.0)})
"""Name -> side (+1 is the patient's right) and height in anatomical mm."""


def _kidney_center(seed: int, name: str) -> tuple[Triple, float]:
    """Center of a kidney in anatomical mm, and its relative size."""
    side, height = KIDNEYS[name]
    rng = stream(seed, name)
    return _near(rng, (side * 63.0, -42.0, height), 3), float(rng.uniform(0.92, 1.1))


def _kidneys(warp: Warp, seed: int) -> list[Organ]:
    kidneys = []
    for name, (side, _height) in KIDNEYS.items():
        (x, y, z), size = _kidney_center(seed, name)
        body = ellipsoid(warp, (x, y, z), (27 * size, 25 * size, 53 * size), (-side * 28, side * 9))
        hilum = ellipsoid(warp, (x - side * 24 * size, y + 11, z), (17, 10, 19))
        kidneys.append(Organ(name, without(body, hilum.distance)))
    return kidneys


def _pancreas(warp: Warp, seed: int) -> Organ:
    rng = stream(seed, "pancreas")
    points = [(36, 6, -96), (33, 10, -72), (10, 20, -62), (-22, 18, -50), (-50, 0, -36), (-76, -18, -26)]
    moved = [_near(rng, point, 2.0) for point in points]
    solid, course = tube(warp, moved, (11, 15, 11, 11.5, 11, 9), 5.0, (0.07, 13.0))
    return Organ("pancreas", solid, course=course)


def _stomach(warp: Warp, seed: int) -> Organ:
    rng = stream(seed, "stomach")
    full = float(rng.uniform(0.8, 1.15))
    points = [(-50, -14, 40), (-58, 6, 20), (-62, 30, -14), (-46, 52, -48), (-12, 58, -64), (20, 46, -60)]
    moved = [_near(rng, point, 3.0) for point in points]
    radii = [radius * full for radius in (20, 31, 29, 24, 19, 13)]
    solid, course = tube(warp, moved, radii, 7.0, (0.03, 26.0))
    return Organ("stomach", solid, 4.2, course)


def _colon(warp: Warp, seed: int) -> Organ:
    rng = stream(seed, "colon")
    points = [(88, 12, -196), (96, -2, -160), (96, -10, -112), (86, 22, -92), (40, 62, -118), (-20, 66, -120)]
    points += [(-70, 44, -92), (-98, -6, -48), (-101, -18, -100), (-98, -12, -160), (-76, 14, -206)]
    points += [(-28, 18, -212), (2, -22, -214), (0, -52, -240), (0, -56, -290)]
    moved = [_near(rng, point, 4.0) for point in points]
    radii = [r * float(rng.uniform(0.9, 1.1)) for r in (25, 24, 22, 21, 20, 20, 20, 18, 17, 17, 16, 16, 17, 20, 18)]
    solid, course = tube(warp, moved, radii, 6.0, (0.13, 30.0))
    return Organ("colon", solid, 2.8, course)


def _bladder(warp: Warp, seed: int) -> Organ:
    rng = stream(seed, "urinary_bladder")
    full = float(rng.uniform(0.85, 1.15))
    solid = ellipsoid(warp, _near(rng, (0, 26, -252), 3), (46 * full, 36 * full, 33 * full))
    return Organ("urinary_bladder", solid, 3.4)


def abdominal_layers(organs: Mapping[str, Organ], warp: Warp, levels: Levels, seed: int, values: Values) -> list[Layer]:
    """The layers of the abdomen in painting order."""
    return [
        *_bowel_layers(warp, levels, seed, values),
        *_liver_layers(organs["liver"], warp, levels, seed, values["liver"]),
        Layer(organs["spleen"].solid, plain(levels["spleen"], 5.0), values["spleen"], gap_mm=1.5),
        *_kidney_layers(organs, warp, levels, seed, values),
        *_hollow_layers(organs, levels, seed, values),
        *_pancreas_layers(organs["pancreas"], warp, levels, values),
        _gallbladder_layer(organs["gallbladder"], levels, values["gallbladder"]),
        *_pelvic_layers(organs, warp, levels, values),
    ]


def _liver_layers(liver: Organ, warp: Warp, levels: Levels, seed: int, value: int) -> list[Layer]:
    """Parenchyma with portal and hepatic veins."""
    rng = stream(seed, "liver trees")
    box = ((-40, -60, -70), (130, 64, 50))
    portal = tree(warp, rng, (28, 2, -34), box, 110, 0.8)
    hepatic = tree(warp, rng, (28, -18, 36), box, 70, 0.9)
    vessel = plain(levels["liver vessels"], 4.0)
    return [
        Layer(liver.solid, plain(levels["liver"], 5.0), value, gap_mm=1.0),
        Layer(branches(liver.solid, portal, 6.0), vessel),
        Layer(branches(liver.solid, hepatic, 6.0), vessel),
    ]


def _kidney_layers(organs: Mapping[str, Organ], warp: Warp, levels: Levels, seed: int, values: Values) -> list[Layer]:
    """Cortex, pyramids, sinus fat, pelvis and ureter."""
    urine, fat = plain(levels["renal pelvis"], 3.0), plain(levels["fat"] + 15, 8.0)
    layers = []
    for name, (side, _height) in KIDNEYS.items():
        organ, ((x, y, z), _size) = organs[name], _kidney_center(seed, name)
        sinus = ellipsoid(warp, (x - side * 5, y + 2, z), (11, 9, 24))
        rng = stream(seed, f"{name} pelvis")
        middle, hilum = (x - side * 6, y + 2, z), (x - side * 26, y + 10, z - 4)
        ends = [(x + side * 5, y + 3 * float(rng.normal()), z + height) for height in (-19, -7, 6, 18)]
        cups = [tube(warp, [end, middle, hilum], (3.0, 2.6, 4.0))[0] for end in ends]
        course = [hilum, (side * 36, -26, -120), (side * 36, -20, -200), (side * 20, 10, -250)]
        layers += [
            Layer(organ.solid, _kidney_painter(levels), values[name], gap_mm=4.0),
            Layer(within(sinus, resized(organ.solid, -9).distance), fat),
            Layer(tube(warp, course, [3] * 4)[0], plain(levels["renal pelvis"] + 15, 3.0), yields=True),
            *(Layer(cup, urine) for cup in cups),
        ]
    return layers


def _kidney_painter(levels: Levels) -> Painter:
    """Bright cortex with darker pyramids below it."""
    rim, pyramids = plain(levels["kidney cortex"], 6.0), plain(levels["kidney medulla"], 6.0)

    def paint(spot: Spot) -> Field:
        deep = np.clip((-spot.distance - 5.5 + 1.2 * spot.textures.coarse) / 2.5, 0, 1)
        columns = np.clip(np.abs(spot.textures.coarse) * 3 - 0.2, 0, 1)
        outside = rim(spot)
        painted: Field = (outside + (pyramids(spot) - outside) * deep * columns).astype(np.float32)
        return painted

    return paint


def _hollow_layers(organs: Mapping[str, Organ], levels: Levels, seed: int, values: Values) -> list[Layer]:
    """Stomach and colon with their contents."""
    rng = stream(seed, "contents")
    drink = plain(float(rng.choice([12.0, 25.0, 30.0, 180.0])), 8.0)
    level = float(rng.uniform(25, 62))
    stomach, colon = organs["stomach"], organs["colon"]
    bowel_wall = plain(levels["bowel wall"], 6.0)
    inside = _stool(float(rng.uniform(-0.7, 1.2)), float(rng.uniform(15, 60)))
    return [
        Layer(
            stomach.solid,
            layered(stomach.wall_mm, plain(levels["stomach wall"], 6.0), gas_above(level, drink)),
            values["stomach"],
            gap_mm=1.5,
        ),
        Layer(colon.solid, layered(colon.wall_mm, bowel_wall, inside), values["colon"], gap_mm=1.5),
    ]


def _gallbladder_layer(organ: Organ, levels: Levels, value: int) -> Layer:
    """A thin wall around bile."""
    painter = layered(organ.wall_mm, plain(levels["gallbladder wall"], 4.0), plain(levels["bile"], 2.0))
    return Layer(organ.solid, painter, value, gap_mm=1.2)


def _stool(level: float, mean: float) -> Painter:
    """Mottled stool with gas where the coarse texture is high."""

    def paint(spot: Spot) -> Field:
        stool = np.float32(mean) + 35 * spot.textures.fine
        stool -= np.float32(260) * np.clip(spot.textures.fine - 1.0, 0, 1)
        share = np.clip((spot.textures.coarse - np.float32(level)) * 4 + 0.5, 0, 1)
        painted: Field = stool + (np.float32(-955) - stool) * share
        return painted

    return paint


def _bowel_layers(warp: Warp, levels: Levels, seed: int, values: Values) -> list[Layer]:
    """Loops of small bowel in the middle of the abdomen, mesenteric vessels between them."""
    rng = stream(seed, "small bowel")
    loops = []
    for height in np.arange(-88, -215, -22):
        xs = np.linspace(-72, 72, 6) * (1 if round(height / 22) % 2 else -1)
        points = [(x, 16 + 26 * rng.uniform(-1, 1), height + 10 * rng.uniform(-1, 1)) for x in xs]
        loops.append(tube(warp, points, rng.uniform(9, 14, 6).tolist(), 7.0, (0.06, 11.0))[0])
    fill = _stool(float(rng.uniform(1.2, 2.2)), float(rng.choice([18.0, 25.0, 150.0])))
    painter = layered(2.2, plain(levels["bowel wall"], 5.0), fill)
    twigs = tree(warp, rng, (-2, -8, -80), ((-80, -10, -220), (80, 50, -90)), 60, 0.9)
    bounds = Solid(np.array([-120.0, -60, -260]), np.array([120.0, 90, -50]), lambda grid: twigs().nearest(grid)[0])
    vein = plain(levels["vein"], 4.0)
    return [
        Layer(bounds, vein, yields=True),
        *(Layer(loop, painter, values["small_bowel"], yields=True, gap_mm=0.8) for loop in loops),
    ]


def _pancreas_layers(organ: Organ, warp: Warp, levels: Levels, values: Values) -> list[Layer]:
    """Lobulated gland, duct, duodenum around its head, portal and mesenteric vessels behind it."""
    assert organ.course is not None
    gland = plain(levels["pancreas"], 7.0)

    def lobules(spot: Spot) -> Field:
        clefts = np.exp(-((spot.textures.fine / np.float32(0.22)) ** 2)) * np.float32(38)
        # The clefts lower the mean by 3.4 HU, which is added back.
        painted: Field = gland(spot) + np.float32(3.4) - clefts * (spot.textures.coarse > -0.2)
        return painted

    duct = chain(organ.course, np.full((len(organ.course), 1), 1.1)).solid()
    duodenum, _ = tube(
        warp, [(20, 42, -60), (38, 26, -64), (54, 4, -88), (46, -8, -116), (8, -12, -122), (-24, -4, -104)], [13] * 6
    )
    portal, _ = tube(warp, [(-66, -18, -22), (-20, 2, -46), (8, 4, -56), (22, 4, -44), (32, 2, -30)], (4, 5, 6.5, 7, 7))
    mesenteric = [
        tube(warp, [(10, 3, -56), (8, 6, -90), (6, 14, -140)], (6, 5.5, 4.5))[0],
        tube(warp, [(-6, -26, -52), (-7, -4, -72), (-6, 10, -140)], (4, 3.8, 3.2))[0],
    ]
    wall = layered(2.4, plain(levels["bowel wall"], 6.0), plain(22.0, 8.0))
    return [
        Layer(duodenum, wall, values["duodenum"], yields=True, gap_mm=1.0),
        Layer(organ.solid, lobules, values["pancreas"], gap_mm=1.0),
        Layer(duct, plain(levels["fluid"], 2.0)),
        Layer(portal, plain(levels["vein"], 5.0), values["portal_vein_and_splenic_vein"]),
        Layer(mesenteric[0], plain(levels["vein"], 5.0), gap_mm=1.5),
        Layer(mesenteric[1], plain(levels["blood"], 5.0), gap_mm=2.0),
    ]


def _pelvic_layers(organs: Mapping[str, Organ], warp: Warp, levels: Levels, values: Values) -> list[Layer]:
    """Bladder, and the prostate below it."""
    bladder = organs["urinary_bladder"]
    prostate = ellipsoid(warp, (0, 8, -300), (24, 18, 18))
    painter = layered(bladder.wall_mm, plain(levels["bladder wall"], 5.0), plain(levels["urine"], 2.0))
    return [
        Layer(prostate, plain(levels["prostate"], 6.0), gap_mm=2.0),
        Layer(bladder.solid, painter, values["urinary_bladder"], gap_mm=2.0),
    ]
