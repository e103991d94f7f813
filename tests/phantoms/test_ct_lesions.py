"""Lesions of the CT phantoms: every type obeys its report, by measures taken anew from what is painted."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from ct_lesions import LESION, PARTS, PaintedLesion, anatomy_of, show
from medsmith.measurement.shape import measure_shape
from medsmith.measurement.wall import encircled_share
from medsmith.phantoms.ct.lesion import LARGEST_MM
from medsmith.phantoms.ct.place import CLOSE_MM
from medsmith.phantoms.space import Grid
from medsmith.reports.organs import PROTRUDING_SHARE
from medsmith.reports.sampling import check_report
from medsmith.reports.schema import LesionReport
from narrowing import present

SEEDS = {
    "gallstone": 4,
    "kidney stone": 4,
    "liver cyst": 3,
    "pancreas cyst": 4,
    "kidney cyst": 3,
    "esophageal cancer": 3,
    "gallbladder cancer": 3,
    "lung cancer": 4,
    "liver cancer": 3,
    "pancreas cancer": 3,
    "kidney cancer": 3,
    "stomach cancer": 5,
    "colon cancer": 2,
    "bladder cancer": 5,
    "intracranial hemorrhage": 3,
}
"""One phantom per type; between them they show every place and every shape."""
MOVED = {"size_mm": None, "ct_value_hu": None, "relationship": None}
"""What a report tells of the finished lesion although the rules drew something else: it fits the anatomy."""


@cache
def shown(lesion_type: str) -> PaintedLesion:
    return show(lesion_type, SEEDS[lesion_type])


@pytest.fixture(params=SEEDS)
def lesion(request: pytest.FixtureRequest) -> PaintedLesion:
    return shown(request.param)


def box_of(mask: np.ndarray, spacing: float) -> np.ndarray:
    return np.ptp(np.argwhere(mask), axis=0) * spacing + spacing


def test_fifteen_types_are_drawn() -> None:
    assert len(PARTS) == 15
    assert set(SEEDS) == set(PARTS)


def test_the_report_obeys_the_rules_of_its_type(lesion: PaintedLesion) -> None:
    report: LesionReport = lesion.report
    check_report(report.model_copy(update=MOVED))
    kind = present(report.lesion_type)
    assert report.organ in PARTS[kind].types[kind]
    assert max(present(report.size_mm)) < 1.2 * LARGEST_MM
    assert -1024 <= present(report.ct_value_hu) <= 3071


def test_one_connected_lesion_is_labeled_in_the_middle(lesion: PaintedLesion) -> None:
    assert ndimage.label(lesion.mask)[1] == 1
    assert not (lesion.before.labels == LESION).any()
    for axis in range(3):
        assert not np.take(lesion.mask, [0, -1], axis).any()
    elsewhere = ~lesion.mask
    np.testing.assert_array_equal(lesion.labels[elsewhere], lesion.before.labels[elsewhere])


def test_the_stated_size_is_the_bounding_box(lesion: PaintedLesion) -> None:
    np.testing.assert_allclose(box_of(lesion.mask, lesion.spacing), lesion.report.size_mm, atol=1.5 * lesion.spacing)
    edges = [lesion.numbers[f"edge_{axis}_mm"] for axis in "xyz"]
    np.testing.assert_allclose(edges, lesion.report.size_mm, atol=0.06)


def test_the_stated_shape_is_that_of_the_label(lesion: PaintedLesion) -> None:
    volume = lesion.mask.sum() * lesion.spacing**3
    found = measure_shape(lesion.mask, (lesion.spacing,) * 3)
    assert volume == pytest.approx(lesion.numbers["volume_mm3"], rel=0.04)
    assert np.cbrt(6 * volume / np.pi) == pytest.approx(lesion.numbers["equivalent_diameter_mm"], rel=0.015)
    assert found.sphericity == pytest.approx(lesion.numbers["sphericity"], abs=0.03)
    assert found.convexity == pytest.approx(lesion.numbers["convexity"], abs=0.03)


def test_shape_words_are_true() -> None:
    for lesion in map(shown, SEEDS):
        shape = set(lesion.report.shape)
        if {"round-like", "cystic", "punctate"} & shape and "protrusion into the lumen" not in shape:
            assert lesion.numbers["sphericity"] > (0.78 if "spiculated margins" in lesion.report.features else 0.9)
        if shape == {"irregular"}:
            assert lesion.numbers["sphericity"] < 0.9


def test_the_mean_on_the_picture_is_the_stated_one(lesion: PaintedLesion) -> None:
    contrast = abs(lesion.numbers["mean_hu"] - lesion.numbers["surroundings_hu"])
    assert lesion.image[lesion.mask].mean() == pytest.approx(lesion.numbers["mean_hu"], abs=2 + 0.06 * contrast)


def test_the_surroundings_are_the_organ_outside_the_margin(lesion: PaintedLesion) -> None:
    start = lesion.numbers["margin_width_mm"] / 2 + lesion.spacing
    shell = (lesion.depth < -start) & (lesion.depth >= -start - 5) & lesion.organ
    low, high = np.percentile(lesion.image[shell], (40, 60))
    assert low - 3 < lesion.numbers["surroundings_hu"] < high + 3
    contrast = lesion.numbers["tissue_hu"] - lesion.numbers["surroundings_hu"]
    assert contrast == pytest.approx(lesion.numbers["contrast_hu"], abs=0.01)
    assert lesion.report.ct_value_hu == pytest.approx(lesion.numbers["tissue_hu"], abs=0.06)


def test_the_stated_share_of_the_surface_lies_outside_the_organ(lesion: PaintedLesion) -> None:
    faces = outside = 0
    for axis in range(3):
        for step in (-1, 1):
            beyond = lesion.mask & ~np.roll(lesion.mask, -step, axis)
            faces += beyond.sum()
            outside += (beyond & ~np.roll(lesion.organ, -step, axis)).sum()
    assert outside / faces == pytest.approx(lesion.numbers["share_outside"], abs=0.05)


def test_the_gap_to_other_organs_is_the_stated_one(lesion: PaintedLesion) -> None:
    other = (lesion.before.labels != 0) & ~lesion.organ
    distance = ndimage.distance_transform_edt(~other, sampling=lesion.spacing)
    gap = min(8.0, max(0.0, float(distance[lesion.mask].min()) - lesion.spacing)) if other.any() else 8.0
    assert gap == pytest.approx(lesion.numbers["neighbour_distance_mm"], abs=max(1.0, lesion.spacing))
    close = lesion.report.relationship == "close relationship with adjacent organs"
    assert close == (lesion.numbers["neighbour_distance_mm"] < CLOSE_MM)


def test_lesions_of_solid_organs_lie_where_the_report_says() -> None:
    within = [shown(name) for name in SEEDS if shown(name).report.cavity == "within the parenchymal organ"]
    beyond = [shown(name) for name in SEEDS if shown(name).report.cavity == "protruding from the parenchymal organ"]
    assert len(within) >= 4
    assert len(beyond) >= 2
    for lesion in within:
        assert lesion.organ[lesion.mask].mean() > 0.6
        assert lesion.numbers["share_outside"] < PROTRUDING_SHARE
    for lesion in beyond:
        assert 0.05 < lesion.organ[lesion.mask].mean() < 0.95
        assert PROTRUDING_SHARE <= lesion.numbers["share_outside"] < 1


def in_walls(word: str) -> list[PaintedLesion]:
    found = [shown(name) for name in SEEDS if word in shown(name).report.shape]
    assert found
    return [lesion for lesion in found if lesion.report.cavity == "wall thickening"]


def test_thickened_walls_hold_the_wall_and_grow_inwards() -> None:
    for lesion in in_walls("wall thickening"):
        inside = lesion.wall[lesion.mask]
        wall = lesion.lesion.organ.wall_mm
        in_the_wall = (inside <= 0) & (inside > -wall)
        assert in_the_wall.mean() > 0.25
        assert inside.min() < -wall - 1
        assert inside.max() < 5


def test_polyps_stay_inside_the_organ_and_touch_its_wall() -> None:
    for lesion in in_walls("protrusion into the lumen"):
        inside, wall = lesion.wall[lesion.mask], lesion.lesion.organ.wall_mm
        assert inside.max() <= 0
        assert inside.max() > -wall
        assert (inside < -wall).mean() > 0.5


def test_narrowings_go_around_the_lumen() -> None:
    for lesion in in_walls("luminal narrowing"):
        assert encircled_share(lesion.mask, lesion.organ | lesion.mask, (lesion.spacing,) * 3) > 0.6
        assert ((lesion.wall < -lesion.lesion.organ.wall_mm) & ~lesion.mask).any()


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_gallstones_lie_on_the_floor_of_the_lumen(seed: int) -> None:
    """The patient lies on the back: less than a twentieth of the lumen is below the stone."""
    lesion = show("gallstone", seed)
    organ = lesion.lesion.organ
    assert lesion.report.cavity == "within the lumen of a hollow organ"
    assert lesion.wall[lesion.mask].max() < -organ.wall_mm
    phase = int(lesion.report.enhancement == "enhanced CT")
    grid = Grid.around(anatomy_of("gallstone", seed, phase).warp, organ.solid.low, organ.solid.high, 1.0)
    lumen = np.argwhere(organ.solid.distance(grid) < -organ.wall_mm)[:, 1]
    lowest = lesion.axes[1][np.flatnonzero(lesion.mask.any(axis=(0, 2)))[0]]
    assert np.mean(grid.axes[1][lumen] < lowest) < 0.05


def test_kidney_stones_are_bright_and_in_the_kidney() -> None:
    lesion = shown("kidney stone")
    assert lesion.organ[lesion.mask].mean() > 0.9
    assert lesion.numbers["contrast_hu"] > 60


@pytest.mark.slow
def test_a_seed_gives_one_lesion_and_another_seed_another() -> None:
    one, same, other = (show("liver cyst", seed) for seed in (3, 3, 4))
    assert one.report == same.report
    np.testing.assert_array_equal(one.image, same.image)
    assert one.report.size_mm != other.report.size_mm
