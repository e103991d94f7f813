"""Pages and pictures: escaping, sheets of tiles, grids of images, legends, figures."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from medsmith.cases.case import Case
from medsmith.evaluation.fidelity.views import ViewSpec
from medsmith.evaluation.pages import figures
from medsmith.evaluation.pages.figures import (
    Point,
    Samples,
    against_floor,
    curves,
    histogram_with_limit,
    histograms,
    interval_rows,
)
from medsmith.evaluation.pages.image_grid import image_grid
from medsmith.evaluation.pages.page import Page, Picture, Section, Table, render
from medsmith.evaluation.pages.sheets import (
    TILE,
    Tile,
    contact_sheet,
    legend_of,
    plane_tiles,
    side_by_side,
    size_within,
)
from medsmith.geometry import Geometry

SQUARE = Tile(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.uint8))
NASTY = '<script>alert("x")</script>'


def test_every_text_of_a_page_is_escaped():
    page = Page(
        NASTY,
        [NASTY],
        [
            Section(
                NASTY,
                [NASTY],
                [Table([NASTY], [[NASTY]], NASTY)],
                [Picture(b"png", NASTY + '" onerror="x', {NASTY: "#e69f00"})],
            )
        ],
        {NASTY: NASTY},
    )
    html = render(page)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 13
    assert '" onerror' not in html


def decoded(png):
    return np.asarray(Image.open(BytesIO(png)))


def test_a_sheet_shows_every_tile_the_right_way_up_with_its_outline():
    image = np.zeros((20, 20), np.float32)
    image[10:] = 255
    labels = np.zeros((20, 20), np.uint8)
    labels[2:8, 2:8] = 1
    sheet = decoded(contact_sheet([[Tile(image, labels, "a"), Tile(image, labels * 0)], [Tile(image, labels)]]))
    assert sheet.shape[1] > 2 * TILE
    first = sheet[16 : 16 + TILE, :TILE]
    # x runs along the columns: the bright half is on the right.
    assert first[:, TILE // 2 + 8 :].min() == 255
    orange = (first == (230, 159, 0)).all(axis=-1)
    assert orange.any()
    assert not orange[:, TILE // 2 :].any()


def test_a_legend_names_the_labels_that_are_outlined():
    labels = np.zeros((20, 20), np.uint8)
    labels[2:8, 2:8], labels[10:, 10:] = 2, 11
    tile = Tile(np.zeros((20, 20), np.float32), labels)
    names = {"background": 0, "heart": 1, "lung": 2, "bone": 11}
    assert tile.legend(names) == {"lung": "#56b4e9", "bone": "#e69f00"}  # the colors repeat after ten
    assert replace(tile, colors=("#ffffff",)).legend(names) == {"lung": "#ffffff", "bone": "#ffffff"}
    first = replace(tile, labels=np.full_like(labels, 11))
    assert list(legend_of([first, tile], names)) == ["lung", "bone"]
    drawn = {tuple(color) for color in decoded(contact_sheet([[tile]])).reshape(-1, 3).tolist()}
    assert {(86, 180, 233), (230, 159, 0)} <= drawn


def test_a_sheet_has_tiles_of_the_size_that_is_asked_for():
    tile = Tile(np.zeros((20, 20), np.float32), np.zeros((20, 20), np.uint8), "a" * 40)
    assert decoded(contact_sheet([[tile, tile]], 224)).shape == (224 + 16, 2 * 224 + 6, 3)


@pytest.mark.parametrize(
    ("shape", "pixel", "drawn"),
    [((20, 10), (1.0, 1.0), (100, 50)), ((10, 20), (1.0, 1.0), (50, 100)), ((10, 10), (0.5, 2.0), (25, 100))],
)
def test_a_tile_is_drawn_with_its_own_proportions_in_the_middle_of_its_square(shape, pixel, drawn):
    tile = Tile(np.zeros(shape, np.float32), np.zeros(shape, np.uint8), pixel=pixel)
    black = (decoded(contact_sheet([[tile]], 100))[16:] == 0).all(-1)
    columns, rows = np.flatnonzero(black.any(0)), np.flatnonzero(black.any(1))
    assert (len(columns), len(rows)) == drawn
    assert (columns[0], rows[0]) == tuple((100 - length) // 2 for length in drawn)
    wide = decoded(image_grid([("a", [tile])])).shape[1] - decoded(image_grid([("a", [SQUARE])])).shape[1]
    assert abs(wide - 1.75 * 110 * (drawn[0] / drawn[1] - 1)) <= 1  # 1.75 inches at 110 pixels an inch


def test_slices_of_a_view_have_the_proportions_of_the_scan_and_a_picture_those_of_its_file():
    spec = ViewSpec((16, 16, 16), 0, "CT", (0.0, 1.0), in_millimeters=True)
    geometry = Geometry((10, 20, 30), np.diag([2.0, 1.0, 3.0, 1.0]))
    case = Case("c", np.zeros((1, 10, 20, 30), np.float32), None, geometry, ("CT",), {"background": 0}, np.dtype("i2"))
    sagittal, coronal, axial = (size_within(90, tile.image.shape, tile.pixel) for tile in plane_tiles(spec.view(case)))
    assert (sagittal, coronal, axial) == ((20, 90), (20, 90), (90, 90))  # 20 x 20 x 90 mm
    flat = replace(spec, shape=(64, 64, 1), in_millimeters=False)
    grid = Geometry((256, 192, 1), np.eye(4), spacing_known=False)
    picture = replace(case, image=np.zeros((1, 256, 192, 1), np.float32), geometry=grid)
    (tile,) = plane_tiles(flat.view(picture))
    assert size_within(100, tile.image.shape, tile.pixel) == (100, 75)


def test_images_side_by_side_keep_their_outlines_apart():
    image = np.arange(64, dtype=np.float32).reshape(8, 8)
    labels = np.ones((8, 8), np.uint8)
    pair = side_by_side([Tile(image, labels * 0), Tile(image, labels)], "both")
    assert pair.title == "both"
    assert np.array_equal(pair.image[:8], image)
    assert np.array_equal(pair.image[-8:], image)
    assert (pair.image[8:-8] == 255).all()
    assert not pair.labels[:-8].any()
    assert pair.labels[-8:].all()


def test_a_grid_has_room_for_wide_tiles_lines_of_text_and_a_legend():
    tile = Tile(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.uint8), "one line")
    height, width, _ = decoded(image_grid([("a", [tile, tile]), ("b", [tile])])).shape
    wide = replace(tile, image=np.zeros((16, 8), np.float32), labels=np.zeros((16, 8), np.uint8))
    assert decoded(image_grid([("a", [tile, wide]), ("b", [None, tile])])).shape[1] - width in (192, 193)  # 1.75 inches
    assert decoded(image_grid([("a", [replace(tile, title="two\nlines"), tile]), ("b", [tile])])).shape[0] > height
    keyed = decoded(image_grid([("a", [tile])], legend={"lung": "#56b4e9"}))
    assert (keyed[..., :3] == (86, 180, 233)).all(-1).sum() > 50
    names = [f"a structure with a long name {number}" for number in range(4)]
    crowded = decoded(image_grid([("a", [tile])], legend=dict.fromkeys(names, "#56b4e9")))[..., :3]
    assert (crowded == (86, 180, 233)).all(-1).sum() > 3.5 * (keyed[..., :3] == (86, 180, 233)).all(-1).sum()
    assert (crowded[:, :2] == 255).all()  # nothing reaches beyond the picture
    assert (crowded[:, -2:] == 255).all()


@pytest.fixture
def drawn(monkeypatch):
    """Figures, as they are drawn."""
    kept = []

    def keep(figure):
        kept.append(figure)
        return b"png"

    monkeypatch.setattr(figures, "_png", keep)
    return kept


def test_no_bar_of_a_histogram_is_cut_off(drawn):
    """Some values are spread over all bins, the others are all in one."""
    spread, one = np.linspace(0, 1, 400), np.full(7, 0.31)
    histograms([Samples("size", spread, one), Samples("size", one, spread)])
    histogram_with_limit(one, 0.9, "similarity")
    limits = [axes.get_ylim() for figure in drawn for axes in figure.axes]
    assert len(limits) == 3
    assert all(low == 0 and high >= 1 for low, high in limits)


def test_curves_pass_through_the_means_of_every_series(drawn):
    low, high = Point(20, 0.5, 0.4, 0.6), Point(160, 0.7, 0.65, 0.75)
    curves({f"arm {number}": [low, high] for number in range(7)}, ("real cases", "Dice"))
    (axes,) = drawn[0].axes
    lines = [each for each in axes.containers if each.has_yerr]
    assert [each.get_label() for each in lines] == [f"arm {number}" for number in range(7)]
    assert all(list(each.lines[0].get_ydata()) == [0.5, 0.7] for each in lines)
    assert all(np.allclose(each.lines[0].get_xdata(), [20, 160], rtol=0.07) for each in lines)
    assert len({(each.lines[0].get_color(), each.lines[0].get_linestyle()) for each in lines}) == 7
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["20", "160"]


def test_figures_are_pictures_and_repeat_exactly():
    samples = [Samples("size", np.arange(5.0), np.ones(4))]
    point = Point(0, 1.0, 0.5, 1.5)
    for make in (
        lambda: histograms(samples),
        lambda: against_floor([("FID", point, point)]),
        lambda: curves({"R": [Point(20, 0.5, 0.4, 0.6), Point(40, 0.6, 0.5, 0.7)]}, ("real cases", "Dice")),
        lambda: interval_rows([("Dice", None, [[point]]), ("points", 0.0, [[point], [point]])], ["R"]),
    ):
        assert decoded(make()).ndim == 3
        assert make() == make()
