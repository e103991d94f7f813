"""Body, lung and bone by thresholds."""

import numpy as np
import pytest
from PIL import Image

from anatomy_slices import AIR, chest, dice
from cohort_cases import DATA
from medsmith.anatomy.context import air_threshold, find_context


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (160, 128)])
def test_body_lung_and_bone_are_found_in_hounsfield_units_without_the_table(size):
    image, body, lungs, vertebra = chest(size)
    found = find_context(image)
    assert list(found) == ["body", "lung", "bone"]
    assert dice(found["body"], body) > 0.98
    assert dice(found["lung"], lungs) > 0.96
    assert dice(found["bone"], vertebra) > 0.8
    assert not (found["lung"] & ~found["body"]).any()


def test_body_and_lung_are_found_in_8_bit_gray_values():
    image, body, lungs, _ = chest()
    scaled = np.rint((image - image.min()) / (image.max() - image.min()) * 255).astype(np.float32)
    found = find_context(scaled)
    assert list(found) == ["body", "lung"]
    assert dice(found["body"], body) > 0.98
    assert dice(found["lung"], lungs) > 0.96


def test_padding_beyond_the_scan_is_air():
    image, body, _, _ = chest()
    image[:20] = image[-20:] = -3024
    body[:20] = body[-20:] = False
    assert dice(find_context(image)["body"], body) > 0.98


def test_a_scan_without_lung_has_a_body_alone():
    image, _, lungs, _ = chest()
    image[lungs] = 40
    assert "lung" not in find_context(image)
    assert "body" in find_context(image)


@pytest.mark.parametrize("kind", ["noise", "constant", "ramp", "air"])
def test_images_without_a_body_in_air_have_no_context(kind):
    rng = np.random.default_rng(0)
    images = {
        "noise": rng.uniform(0, 255, (64, 64)),
        "constant": np.full((64, 64), 7.0),
        "ramp": np.linspace(0, 255, 64 * 64).reshape(64, 64),
        "air": np.full((64, 64), AIR) + rng.normal(0, 5, (64, 64)),
    }
    assert dict(find_context(images[kind].astype(np.float32))) == {}


def test_the_threshold_lies_between_air_and_tissue():
    image = np.where(np.arange(100).reshape(10, 10) < 70, 10, 50).astype(np.float32)
    assert air_threshold(image) == 30
    assert air_threshold(chest()[0]) == -400


@pytest.mark.skipif(not DATA.exists(), reason="the real data are not here")
def test_real_slices_have_a_body_without_the_table_and_ultrasound_has_none():
    for path in sorted((DATA / "chest-ct-slices" / "images").iterdir())[::150]:
        image = np.array(Image.open(path)).T.astype(np.float32)
        labels = np.array(Image.open(DATA / "chest-ct-slices" / "labels" / path.name)).T
        body = find_context(image)["body"]
        assert body[labels > 0].all()
        x, y = np.nonzero(body)
        assert x.size > 0.6 * np.ptp(x) * np.ptp(y)
    pictures = sorted((DATA / "breast-us" / "images").iterdir())[::40]
    found = [bool(find_context(np.array(Image.open(path).convert("L")).T.astype(np.float32))) for path in pictures]
    assert sum(found) <= 1
