"""What the page of guides and the picture of a sweep show of a slice in Hounsfield units."""

import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from medsmith.anatomy.context import find_context
from medsmith.cases.cohort import Cohort
from medsmith.cases.display import displayed
from medsmith.diffusion import Sampling
from medsmith.methods import method_class
from medsmith.methods.config import validated
from medsmith.synthesis.guide_sweep import SweepGrid, _cell, _picture
from medsmith.synthesis.lesions_page import LUNG_WINDOW
from medsmith.synthesis.steering_page import _EDGE, _table, _windows
from medsmith.synthesis.steering_page import _picture as page_picture
from medsmith.synthesis.steering_pictures import (
    REGION_COLOR,
    REGION_NAME,
    SteeredCase,
    guide_tiles,
    image_tiles,
    shows_lung,
)
from medsmith.synthesis.steering_words import adherence_lines, gray_unit, guide_name
from steered_runs import EDGE, NAMES, hounsfield_files, slice_of, untrained_method, write_cohort

ADHERENCE = {
    "error anatomy": 0.021,
    "error pathologies.0": 0.034,
    "Dice lung": 0.9,
    "Dice body": 0.975,
    "contrast pathologies.0": 240.4,
    "guide contrast pathologies.0": 260.0,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return hounsfield_files(tmp_path_factory.mktemp("hounsfield"))


@pytest.fixture(scope="module")
def method(files):
    return untrained_method(Cohort.open(files / "labeled"))


@pytest.fixture(scope="module")
def steered(method, files):
    """A slice of the training cohort in place of a new one, with the guides of a request. It has no aorta."""
    asked = {
        "anatomy": {"space": str(files / "space.safetensors")},
        "pathologies": [{"case": {"cohort": str(files / "lesions"), "case": "case_0"}, "within": "lung"}],
    }
    request = validated(method_class("mddpm").Request, "request", json.loads(json.dumps(asked)))
    case = Cohort.open(files / "labeled")["case_0"]
    labels = np.where(case.require_labels() == NAMES["aorta"], 0, case.require_labels())
    case = replace(case, labels=labels, provenance={"adherence": ADHERENCE})
    return SteeredCase(case, method.steering(request, 1, Sampling(steps=10)))


def decoded(png):
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def test_the_page_names_the_labels_of_the_case_and_shows_a_lung_window(method, steered):
    picture = page_picture(method, steered)
    assert picture.caption == "case_0"
    assert list(picture.legend.items()) == [("heart", "#e69f00"), (REGION_NAME, REGION_COLOR)]
    step, sheet = _EDGE + 6, decoded(picture.png)
    assert sheet.shape == (2 * (_EDGE + 16) + 6, 4 * step - 6, 3)
    wide, lung = (sheet[-_EDGE:, start : start + _EDGE].astype(int) for start in (0, 2 * step))
    at = displayed(steered.case.require_image()[0, :, :, 0], oriented=True) < -700
    at = np.kron(at.T, np.ones((_EDGE // EDGE + 1,) * 2, bool))[:_EDGE, :_EDGE]  # about the lung and the air
    assert np.median(lung[at]) > np.median(wide[at]) + 20


def test_slices_are_displayed_as_radiologists_view_them(steered):
    plain, outlined = image_tiles(steered.case, LUNG_WINDOW, "new image")
    case = steered.case
    low, high = LUNG_WINDOW
    gray = np.clip((case.require_image()[0, ::-1, ::-1, 0] - low) / (high - low) * 255, 0, 255)
    np.testing.assert_allclose(plain.image, gray, atol=1e-3)
    assert not plain.labels.any()
    assert np.array_equal(outlined.labels, case.require_labels()[::-1, ::-1, 0])
    assert np.array_equal(outlined.image, plain.image)


def test_guides_are_named_and_their_regions_outlined_in_a_color_of_their_own(method, steered):
    tiles = guide_tiles(method, steered)
    assert [tile.title for tile in tiles.values()] == ["anatomy", "lesion 1"]
    assert not tiles["anatomy"].labels.any()
    lesion = displayed(steered.steering.lesions[0].mask, oriented=True)
    assert (tiles["pathologies.0"].labels[lesion] == 1).mean() > 0.9
    assert tiles["pathologies.0"].colors == (REGION_COLOR,)


def test_a_lung_window_is_for_lungs_in_hounsfield_units(method, steered, tmp_path):
    facts = method.fingerprint
    assert shows_lung(steered.case, facts)
    image = steered.case.require_image()
    lung = find_context(image[0, :, :, 0])["lung"]
    solid = replace(steered.case, image=np.where(lung[None, :, :, None], np.float32(40), image))
    assert not shows_lung(solid, facts)
    pictures = untrained_method(write_cohort(tmp_path / "gray", [slice_of(index) for index in range(3)]))
    assert not shows_lung(slice_of(0), pictures.fingerprint)
    assert (gray_unit(facts), gray_unit(pictures.fingerprint)) == ("HU", "")
    assert _windows(pictures.fingerprint) == ()
    assert "lung window -1350 to 150 HU" in _windows(facts)[0]


def test_the_table_has_hounsfield_units_and_no_keys(method, steered):
    table = _table([steered], method.fingerprint)
    assert "in HU" in table.caption
    (_, text), *_ = table.rows
    assert text == (
        "error of anatomy: 2.1%; error of lesion 1: 3.4%; Dice: body 0.97, lung 0.90; "
        "contrast of lesion 1: 240 HU; in its guide: 260 HU"
    )


def test_a_cell_of_a_sweep_shows_the_image_without_and_with_its_outline(method, steered):
    cell, labels = _cell(method, steered, "anatomy"), steered.case.require_labels()[::-1, ::-1, 0]
    assert np.array_equal(cell.image[:EDGE], cell.image[-EDGE:])
    assert not cell.labels[:-EDGE].any()
    assert np.array_equal(cell.labels[-EDGE:], labels)
    assert cell.title.splitlines() == [
        "error of anatomy: 2.1%",
        "Dice: body 0.97, lung 0.90",
        "contrast of lesion 1: 240 HU; in its guide: 260 HU",
    ]


def test_the_picture_of_a_sweep_has_a_legend_and_no_frames_without_image(method, steered):
    picture = decoded(_picture(method, SweepGrid("anatomy", (0.25,), (0.0, 0.2, 0.4)), "anatomy", [steered] * 3))
    assert (picture[-30:] == (230, 159, 0)).all(-1).sum() > 50
    left = picture[: picture.shape[0] * 2 // 3, 60:200]
    assert (picture[picture.shape[0] * 3 // 4 : -60, 60:200] == 255).all()  # two guides in three rows
    assert not (left == 255).all()


def test_what_was_not_measured_is_said():
    assert adherence_lines({}, ["pathologies.1"], ["pathologies.1"], "HU") == [
        "error of lesion 2: not measured",
        "contrast of lesion 2: not measured; in its guide: not measured",
    ]
    assert adherence_lines({"error guides.0": 0.021}, ["guides.0"], ["guides.0"], "") == ["error of texture 1: 2.1%"]
    found = {"contrast pathologies.0": -4.0, "guide contrast pathologies.0": 60.2}
    assert adherence_lines(found, [], ["pathologies.0"], "") == ["contrast of lesion 1: -4; in its guide: 60"]


def test_guides_have_names():
    assert [guide_name(key) for key in ("anatomy", "guides.0", "guides.11", "pathologies.1")] == [
        "anatomy", "texture 1", "texture 12", "lesion 2",
    ]  # fmt: skip
