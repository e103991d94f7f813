"""A synthetic lesion is as noisy as the scan it was put into."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt, gaussian_filter

from medsmith.insertion.noise_matching import missing_noise, noise_gain, noise_like

MM = (1.0, 1.0, 1.0)


def noise_like_a_scans(seed, sigma=12.0, blur=(0.7, 0.7, 0.3), edge=56):
    made = gaussian_filter(np.random.default_rng(seed).standard_normal((edge, edge, edge)), blur, mode="wrap")
    return (sigma * made / made.std()).astype(np.float32)


def ball(radius, spacing=MM, edge=56):
    place = [(np.arange(edge) - (edge - 1) / 2) * step for step in spacing]
    x, y, z = np.meshgrid(*place, indexing="ij")
    return np.sqrt(x**2 + y**2 + z**2) <= radius


def correlation(field, axis):
    moved = np.roll(field, 1, axis)
    return float((field * moved).mean() / (field**2).mean())


def fine_spread(image, zone):
    fine = image - gaussian_filter(image, 1.5)
    return float(fine[zone].std())


def core_of(mask):
    return distance_transform_edt(mask) > 3


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), blur=st.tuples(*[st.sampled_from([0.3, 0.6, 0.9])] * 3))
def test_the_field_has_unit_variance_and_the_correlation_of_the_scans_noise(seed, blur):
    noise = noise_like_a_scans(seed, blur=blur)
    field = noise_like(noise, 36.0, seed)
    assert field.std() == pytest.approx(1, abs=1e-5)
    assert field.mean() == pytest.approx(0, abs=1e-6)
    for axis in range(3):
        assert correlation(field, axis) == pytest.approx(correlation(noise, axis), abs=0.02)


def test_the_field_is_the_seeds_alone_and_independent_of_the_noise_it_is_like():
    noise = noise_like_a_scans(1)
    first, again, other = noise_like(noise, 36.0, 5), noise_like(noise, 36.0, 5), noise_like(noise, 36.0, 6)
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(first.ravel(), noise.ravel())[0, 1]) < 0.02


def test_the_field_of_a_large_scan_repeats_without_a_seam():
    noise = noise_like_a_scans(2, edge=90)
    field = noise_like(noise, 36.0, 3)
    assert field.shape == noise.shape
    assert np.array_equal(field[64:], field[:26])
    steps = np.abs(np.diff(field, axis=0)).mean(axis=(1, 2))
    assert steps[63] == pytest.approx(np.delete(steps, 63).mean(), rel=0.1)


@pytest.mark.parametrize("painted", [0.0, 0.4, 0.7])
def test_variances_add_up_to_the_scans(painted):
    before, mask = 40 + noise_like_a_scans(3), ball(14)
    image = 90 + painted * noise_like_a_scans(4)
    after = image + missing_noise(image, before, mask, MM, seed=8)
    zone = core_of(mask)
    assert fine_spread(after, zone) == pytest.approx(fine_spread(before, ~mask), rel=0.1)
    assert after[zone].mean() == pytest.approx(image[zone].mean(), abs=1)


def test_vessels_and_an_old_border_add_nothing():
    before, mask = 40 + noise_like_a_scans(5), ball(14)
    image = np.full_like(before, 90)
    plain = np.asarray(missing_noise(image, before, mask, MM, seed=1))
    structured = before.copy()
    structured[:, 20:22, 30:32] += 400
    structured[:, :, 36:] += 150
    with_structure = np.asarray(missing_noise(image, structured, mask, MM, seed=1))
    zone = core_of(mask)
    assert with_structure[zone].std() == pytest.approx(plain[zone].std(), rel=0.15)
    flat = with_structure[zone & ball(9)]
    assert np.abs(flat).max() < 6 * plain[zone].std()


@pytest.mark.parametrize(
    ("before", "image"),
    [
        pytest.param(np.full((56, 56, 56), 40, np.float32), np.full((56, 56, 56), 90, np.float32), id="quiet scan"),
        pytest.param(noise_like_a_scans(6), 2 * noise_like_a_scans(7), id="lesion noisier than the scan"),
    ],
)
def test_nothing_is_missing(before, image):
    assert isinstance(missing_noise(image, before, ball(14), MM, seed=2), float)


def test_a_lesion_too_small_to_estimate_gets_the_noise_of_its_surroundings():
    before = noise_like_a_scans(8)
    added = np.asarray(missing_noise(np.zeros_like(before), before, ball(1.2), MM, seed=2))
    near = ball(8)
    assert fine_spread(added, near) == pytest.approx(fine_spread(before, near), rel=0.15)


def test_nothing_of_the_tissue_that_is_replaced_is_in_the_noise():
    before, mask = 40 + noise_like_a_scans(9), ball(14)
    before[:, :, 30:] += 160
    added = np.asarray(missing_noise(np.zeros_like(before), before, mask, MM, seed=2))
    beside = added[:, :, 31][mask[:, :, 31]].mean() - added[:, :, 28][mask[:, :, 28]].mean()
    assert abs(beside) < 4
    plain = np.asarray(missing_noise(np.zeros_like(before), 40 + noise_like_a_scans(9), mask, MM, seed=2))
    stripes, none = (np.array([each[:, :, z][mask[:, :, z]].mean() for z in range(20, 36)]) for each in (added, plain))
    assert stripes.std() < 1.5 * none.std() + 0.5


@given(share=st.floats(0.002, 1.0))
def test_mixed_noise_is_as_strong_as_the_scans(share):
    gain = float(noise_gain(np.array([[[share]]], np.float32))[0, 0, 0])
    assert (gain * share) ** 2 + (1 - share) ** 2 == pytest.approx(1, abs=1e-4)


def test_a_voxel_of_no_share_has_a_finite_gain():
    assert np.isfinite(noise_gain(np.zeros((1, 1, 1), np.float32))).all()
