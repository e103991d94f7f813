"""Density, noise, heterogeneity and margins against what was planted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lesion_bodies import ball, scan_of_ball
from medsmith.measurement.density import border_mm, measure_density, zones_of
from medsmith.measurement.margin import resolves_margin
from medsmith.measurement.words import THRESHOLDS
from narrowing import present

MM = (1.0, 1.0, 1.0)


def rng_of(seed):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize("contrast", [-80.0, -15.0, 15.0, 200.0])
def test_contrast_and_noise_are_those_that_were_planted(contrast):
    image, mask = scan_of_ball(rng_of(1), 9.0, MM, contrast=contrast, noise=12.0)
    found = measure_density(image, mask, None, MM)
    assert found.mean_hu == pytest.approx(50 + contrast, abs=2)
    assert found.surroundings_hu == pytest.approx(50, abs=1.5)
    assert found.contrast_hu == pytest.approx(contrast, abs=3)
    assert found.noise_hu == pytest.approx(12, rel=0.08)
    assert present(found.heterogeneity_hu) < 4


@pytest.mark.parametrize("edge", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("planted", [10.0, 25.0, 60.0])
def test_heterogeneity_is_the_planted_spread_without_the_noise(planted, edge):
    found: list[float] = []
    for seed in range(2):
        spacing = (edge,) * 3
        image, mask = scan_of_ball(rng_of(seed), 8.0, spacing, texture=planted, noise=15.0)
        found.append(present(measure_density(image, mask, None, spacing).heterogeneity_hu))
    assert np.mean(found) == pytest.approx(planted, rel=0.2, abs=3)


@pytest.mark.parametrize("noise", [5.0, 15.0, 30.0])
def test_noise_alone_is_not_heterogeneity(noise):
    found: list[float] = []
    for seed in range(4):
        image, mask = scan_of_ball(rng_of(seed), 8.0, MM, noise=noise)
        found.append(present(measure_density(image, mask, None, MM).heterogeneity_hu))
    assert np.mean(found) < 0.3 * noise


def test_vessels_in_the_surroundings_are_not_taken_for_noise():
    image, mask = scan_of_ball(rng_of(3), 8.0, MM, noise=10.0, contrast=40.0)
    image[::6] += 150 * ~mask[::6]
    found = measure_density(image, mask, None, MM)
    assert found.noise_hu == pytest.approx(10, rel=0.3)
    assert found.surroundings_hu == pytest.approx(50, abs=4)


@pytest.mark.parametrize("edge", [0.7, 1.0])
@pytest.mark.parametrize("width", [1.0, 2.0, 4.0, 6.0, 8.0])
def test_the_width_of_a_margin_is_the_planted_one(width, edge):
    image, mask = scan_of_ball(rng_of(5), 10.0, (edge,) * 3, width_mm=width, contrast=80.0)
    found = measure_density(image, mask, None, (edge,) * 3).margin_width_mm
    assert found == pytest.approx(width, rel=0.15, abs=0.35)


@pytest.mark.parametrize(
    ("fine", "joined", "resolved"),
    [
        ((0.5, 0.5, 0.5), (2, 2, 2), True),
        ((0.8, 0.8, 1.0), (1, 1, 3), True),
        ((0.7, 0.7, 1.0), (1, 1, 5), False),
        ((1.0, 1.0, 1.0), (3, 3, 3), False),
    ],
)
def test_the_margin_of_a_sharp_ball_measures_as_sharp_where_voxels_resolve_it(fine, joined, resolved):
    sharp, ball_of_fine = scan_of_ball(rng_of(5), 10.0, fine, width_mm=0.4, noise=0.0)
    image, share = (_means_of_blocks(values.astype(np.float64), joined) for values in (sharp, ball_of_fine))
    spacing = tuple(edge * number for edge, number in zip(fine, joined, strict=True))
    assert resolves_margin(spacing) is resolved
    noisy = image + 5 * rng_of(6).standard_normal(image.shape)
    width = present(measure_density(noisy, share >= 0.5, None, spacing).margin_width_mm)
    assert (width < THRESHOLDS.ill_defined_mm) is resolved


def _means_of_blocks(values, edges):
    """Voxels of a coarser scan: the means of blocks of a finer one, whose rest is cut."""
    kept = values[tuple(slice(length // edge * edge) for length, edge in zip(values.shape, edges, strict=True))]
    split = [part for length, edge in zip(kept.shape, edges, strict=True) for part in (length // edge, edge)]
    return kept.reshape(split).mean(axis=(1, 3, 5))


@pytest.mark.parametrize("contrast", [60.0, -60.0])
def test_an_outline_drawn_too_wide_is_not_taken_for_blur(contrast):
    image, mask = scan_of_ball(rng_of(6), 10.0, MM, width_mm=1.0, contrast=contrast)
    for drawn in (ndimage.binary_dilation(mask), ndimage.binary_erosion(mask)):
        assert measure_density(image, drawn, None, MM).margin_width_mm == pytest.approx(1.0, abs=0.6)


def test_no_margin_is_measured_where_none_can_be_seen():
    image, mask = scan_of_ball(rng_of(7), 6.0, MM, contrast=0.0, noise=20.0)
    assert measure_density(image, mask, None, MM).margin_width_mm is None


@pytest.mark.parametrize("grain_mm", [1.5, 3.0])
def test_the_edges_of_a_texture_are_no_margin(grain_mm):
    image, mask = scan_of_ball(rng_of(15), 9.0, MM, contrast=0.0, texture=40.0, grain_mm=grain_mm, noise=5.0)
    assert measure_density(image, mask, None, MM).margin_width_mm is None


def test_a_bright_rim_is_seen_and_its_width_does_not_count_as_heterogeneity_of_noise():
    image, mask = scan_of_ball(rng_of(8), 12.0, MM, contrast=0.0, noise=8.0)
    depth = ndimage.distance_transform_edt(mask)
    image[(depth > 0) & (depth <= 4)] += 60
    found = measure_density(image, mask, None, MM)
    assert found.rim_minus_core_hu == pytest.approx(60, abs=8)
    assert found.high_hu - found.low_hu > 40


def test_dark_and_bright_areas_move_the_percentiles_and_noise_does_not():
    image, mask = scan_of_ball(rng_of(9), 12.0, MM, contrast=0.0, noise=15.0)
    plain = measure_density(image, mask, None, MM)
    assert plain.high_hu - plain.low_hu < 15
    x = np.indices(mask.shape)[0] - mask.shape[0] // 2
    image[mask & (x > 6)] -= 80
    found = measure_density(image, mask, None, MM)
    assert found.low_hu < plain.low_hu - 50
    assert found.high_hu == pytest.approx(plain.high_hu, abs=6)


def test_the_organ_decides_what_the_surroundings_are():
    image, mask = scan_of_ball(rng_of(10), 6.0, MM)
    x = np.indices(mask.shape)[0] - mask.shape[0] // 2
    organ = x < 0
    image[~organ & ~mask] = -100
    assert measure_density(image, mask, organ, MM).surroundings_hu == pytest.approx(50, abs=2)
    assert present(measure_density(image, mask, None, MM).surroundings_hu) < 50


def test_an_organ_elsewhere_does_not_leave_a_lesion_without_surroundings():
    image, mask = scan_of_ball(rng_of(11), 6.0, MM)
    found = measure_density(image, mask, np.zeros_like(mask), MM)
    assert found.surroundings_hu == pytest.approx(50, abs=2)


def test_zones_do_not_meet_and_stay_clear_of_the_border():
    mask = ball(9.0, MM)
    mask = np.pad(mask, 12)
    zones = zones_of(mask, None, MM, border_mm(MM))
    assert not (zones.inside & ~mask).any()
    assert not (zones.shell & ndimage.binary_dilation(mask)).any()
    assert not (zones.rim & zones.core).any()
    assert not (zones.inside & ~ndimage.binary_erosion(mask)).any()


@pytest.mark.parametrize("voxels", [1, 2, 5, 9])
def test_a_few_voxels_are_still_measured(voxels):
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask.ravel()[np.ravel_multi_index((10, 10, 10), mask.shape) + np.arange(voxels)] = True
    found = measure_density(np.where(mask, 300, 40).astype(np.float32), mask, None, MM)
    assert found.mean_hu == 300
    assert found.rim_minus_core_hu is None
    assert found.heterogeneity_hu is None
    assert found.noise_hu < 1e-9


def test_a_lesion_that_fills_its_image_has_no_surroundings():
    found = measure_density(np.full((6, 6, 6), 7, np.float32), np.ones((6, 6, 6), bool), None, MM)
    assert (found.mean_hu, found.surroundings_hu, found.contrast_hu, found.margin_width_mm) == (7, None, None, None)
    with pytest.raises(ValueError, match="empty mask"):
        measure_density(np.zeros((3, 3, 3), np.float32), np.zeros((3, 3, 3), bool), None, MM)


@settings(max_examples=3, deadline=None)
@given(order=st.permutations([0, 1, 2]), flips=st.tuples(*[st.booleans()] * 3))
def test_flips_and_permutations_change_nothing(order, flips):
    spacing = (0.9, 1.1, 2.0)
    image, mask = scan_of_ball(rng_of(12), 8.0, spacing, width_mm=3.0, texture=20.0, contrast=100.0)
    turn = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    turned = np.ascontiguousarray(image.transpose(order)[turn]), np.ascontiguousarray(mask.transpose(order)[turn])
    first = measure_density(image, mask, None, spacing)
    x, y, z = (spacing[axis] for axis in order)
    second = measure_density(*turned, None, (x, y, z))
    # Meshes and sums round differently, and widths are fitted on a grid of 12 %: one step of it moves the border
    # inside which all else is measured, at most by a layer of voxels.
    allowed = {"mean_hu": 0.02, "low_hu": 0.05, "high_hu": 0.05, "surroundings_hu": 0.02, "noise_hu": 0.01}
    for name, share in {**allowed, "heterogeneity_hu": 0.1, "margin_width_mm": 0.15}.items():
        assert getattr(second, name) == pytest.approx(getattr(first, name), rel=share), name


@pytest.mark.parametrize("edge", [0.7, 1.0, 2.0])
def test_one_lesion_at_three_voxel_sizes_has_one_density(edge):
    image, mask = scan_of_ball(rng_of(13), 12.0, (edge,) * 3, width_mm=1.5, texture=30.0, grain_mm=3.0, noise=8.0)
    found = measure_density(image, mask, None, (edge,) * 3)
    assert found.contrast_hu == pytest.approx(60, abs=8)
    assert found.heterogeneity_hu == pytest.approx(30, rel=0.25)
    assert found.margin_width_mm == pytest.approx(1.5, abs=max(0.9, edge))


def test_a_blurred_margin_is_not_taken_for_heterogeneity():
    image, mask = scan_of_ball(rng_of(14), 12.0, MM, contrast=850.0, width_mm=7.0, noise=10.0)
    found = measure_density(image, mask, None, MM)
    assert present(found.heterogeneity_hu) < 40
    assert found.mean_hu == pytest.approx(900, rel=0.04)
