"""The noise of an image, against noise that is known and against the formula of the paper."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d

from medsmith.data.fingerprint import take_fingerprint
from medsmith.data.scaling import image_to_model
from medsmith.measurement.noise_level import noise_levels
from medsmith.phantoms.families import FAMILIES, find_family
from medsmith.phantoms.family import case_seed
from medsmith.synthesis.checks.result import Limits

SHAPES = [(96, 80), (96, 80, 1), (28, 24, 20)]


def white(shape, seed=0, deviation=1.0):
    return (deviation * np.random.default_rng(seed).standard_normal((1, *shape))).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("deviation", [0.02, 30.0])
def test_white_noise_has_its_own_deviation(shape, deviation):
    assert noise_levels(white(shape, deviation=deviation))[0] == pytest.approx(deviation, rel=0.05)


def test_immerkaers_formula():
    """As printed in the paper: the mask, and sqrt(pi / 2) over 6 (W - 2) (H - 2)."""
    image = 5 + gaussian_filter(white((40, 50), 3)[0], 1) + 0.1 * white((40, 50), 4)[0]
    image[0, 0], image[-1, -1] = 99, -99  # the only places whose value is the largest and the smallest
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    found = np.abs(convolve2d(image.astype(float), mask, mode="valid"))
    found[0, 0] = found[-1, -1] = 0  # next to these
    counted = found.size - 2
    expected = np.sqrt(np.pi / 2) / (6 * counted) * found.sum()
    assert noise_levels(image[None].astype(np.float32))[0] == pytest.approx(expected, rel=1e-4)


@given(seed=st.integers(0, 20), gain=st.floats(0.1, 50), offset=st.floats(-100, 100))
def test_the_level_follows_the_units_of_the_image(seed, gain, offset):
    image = white((20, 24), seed)
    scaled = (image * gain + offset).astype(np.float32)
    assert noise_levels(scaled)[0] == pytest.approx(gain * noise_levels(image)[0], rel=1e-2)


@pytest.mark.parametrize("shape", SHAPES)
def test_axes_may_be_turned_and_flipped(shape):
    image = white(shape, 5)
    turned = np.ascontiguousarray(image.swapaxes(1, 2)[:, ::-1])
    assert noise_levels(turned)[0] == pytest.approx(noise_levels(image)[0], rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_varies_linearly_is_no_noise(shape):
    ramp = sum(np.arange(n).reshape([-1 if axis == place else 1 for axis in range(len(shape))]) / n
               for place, n in enumerate(shape))  # fmt: skip
    ramp = np.broadcast_to(ramp, shape)[None].astype(np.float32)
    assert noise_levels(ramp)[0] < 1e-5
    assert noise_levels(ramp + white(shape, deviation=0.1))[0] == pytest.approx(0.1, rel=0.06)


def test_noise_that_is_cut_off_in_air_does_not_hide_the_rest():
    """Most of the slice is air at the end of the gray scale, where half of the noise is lost."""
    image = np.full((1, 120, 120), -1.0, np.float32)
    image[:, 40:90, 40:90] = 0.2
    noisy = (image + white((120, 120), deviation=0.1)).clip(-1, 1)
    assert noise_levels(noisy)[0] == pytest.approx(0.1, rel=0.15)


def test_noise_that_is_cut_off_everywhere_still_counts():
    assert noise_levels(white((64, 64), deviation=50.0).clip(-1, 1))[0] > 0.8


@pytest.mark.parametrize(
    "image", [np.zeros((1, 8, 8)), np.full((1, 9, 9, 9), 7.0), np.zeros((1, 1, 1)), np.zeros((1, 2, 2))]
)
def test_a_constant_image_has_none(image):
    assert noise_levels(image.astype(np.float32)) == [0]


def test_channels_have_levels_of_their_own():
    image = np.concatenate([white((60, 60), 1), white((60, 60), 2, 5.0)])
    assert noise_levels(image) == pytest.approx([1, 5], rel=0.05)


@pytest.mark.parametrize("name", [name for name in FAMILIES if "healthy" not in name])
def test_phantoms_pass_and_noise_is_refused(name):
    """Few and small, to be quick; benchmarks/core/noise_check.py draws more of every family."""
    family = find_family(name)
    count, edge = (6, 64) if family.file_ending == ".png" or name.startswith("chest") else (2, family.sizes[0])
    cases = [family.make(case_seed(name, 1, index), str(index), edge) for index in range(count)]
    facts = take_fingerprint(cases, family.file_ending, "0" * 64)
    images = [image_to_model(case, facts, case.geometry.shape[: facts.dimensions]).numpy() for case in cases]
    largest, rng = max(noise_levels(image)[0] for image in images), np.random.default_rng(0)
    limit = Limits().noise * largest
    for image in images:
        twice = (image + rng.normal(0, 2 * largest, image.shape)).clip(-1, 1).astype(np.float32)
        alone = rng.normal(image.mean(), image.std(), image.shape).clip(-1, 1).astype(np.float32)
        assert noise_levels(image)[0] <= limit
        assert noise_levels(twice)[0] > limit
        assert noise_levels(alone)[0] > limit


@pytest.mark.parametrize("shape", [(28, 24, 20), (12, 11, 3), (9, 8, 2), (40, 30)])
@pytest.mark.parametrize("voxels", [1, 700, 2000])
def test_a_long_scan_in_parts_has_the_level_of_the_whole(shape, voxels, monkeypatch):
    image = white(shape, 5)
    image[0, :4] = image.min()  # air that was cut off
    whole = noise_levels(image)
    monkeypatch.setattr("medsmith.measurement.noise_level._PART", voxels)
    np.testing.assert_allclose(noise_levels(image), whole, rtol=1e-6)
