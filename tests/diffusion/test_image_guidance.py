"""Several guidance images on one state: their combinations, regions and bands."""

import inspect
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_oracles import network
from medsmith.diffusion import (
    DiffusionProcess,
    LowPassGuide,
    NoiseSchedule,
    Sampling,
    match_low_frequencies,
)
from medsmith.diffusion.image_guidance import COMBINATIONS
from medsmith.diffusion.low_pass import low_pass

SCHEDULE = NoiseSchedule.cosine(24)
CLEAN = torch.full((2,), -1)  # the time of the final image: references are not noised
EXACT: dict[str, Any] = {"atol": 1e-11, "rtol": 0}


def randoms(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def corrected(x, *guides, combination="sum", t=CLEAN):
    correct = match_low_frequencies(SCHEDULE, *guides, combination=combination)
    return correct(x, t, lambda: torch.zeros_like(x))


def images(count, *space):
    return [randoms(seed, 2, 1, *space) for seed in range(count)]


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("space", [(16, 12), (8, 8, 8)])
def test_one_guide_is_ilvr_in_every_combination(combination, space):
    x, y = images(2, *space)
    keep_low = low_pass(4)
    torch.testing.assert_close(
        corrected(x, LowPassGuide(y, 4), combination=combination), x + keep_low(y) - keep_low(x), **EXACT
    )


@pytest.mark.parametrize("space", [(16, 12), (8, 8, 8)])
def test_equal_guides_overshoot_in_a_sum_and_nowhere_else(space):
    """The bands of M equal guides add up: x + M (y - x) in the band."""
    x, y = images(2, *space)
    keep_low = low_pass(2)
    three = [LowPassGuide(y, 2)] * 3
    torch.testing.assert_close(corrected(x, *three), x + 3 * keep_low(y - x), **EXACT)
    for combination in ("mean", "sequential", "band_split"):
        torch.testing.assert_close(corrected(x, *three, combination=combination), x + keep_low(y - x), **EXACT)


@given(st.permutations([2, 4, 8]), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_split_bands_are_each_guides_own_in_any_order(factors, seed):
    """Projections of nested bands: the coarsest belongs to factor 8, the next to 4, and so on."""
    x, *references = (randoms(seed + number, 1, 1, 16, 16) for number in range(4))
    by_factor = dict(zip([8, 4, 2], references, strict=True))
    found = corrected(
        x, *(LowPassGuide(by_factor[n], n) for n in factors), combination="band_split", t=torch.tensor([-1])
    )
    below = torch.zeros_like(x)
    coarser = None
    for factor, reference in by_factor.items():
        band = low_pass(factor)(reference) - (coarser(reference) if coarser else 0)
        got = low_pass(factor)(found) - (coarser(found) if coarser else 0)
        torch.testing.assert_close(got, band, **EXACT)
        below, coarser = below + band, low_pass(factor)
    torch.testing.assert_close(found - low_pass(2)(found), x - low_pass(2)(x), **EXACT)


def test_a_band_falls_to_the_next_guide_when_the_coarser_one_has_stopped():
    x, coarse, fine = images(3, 16, 16)
    guides = LowPassGuide(coarse, 8, until=5), LowPassGuide(fine, 2)
    found = corrected(x, *guides, combination="band_split", t=torch.tensor([-1, -1]))
    torch.testing.assert_close(low_pass(2)(found), low_pass(2)(fine), **EXACT)


def test_two_regions_of_one_factor_each_have_their_whole_guide():
    x, one, two = images(3, 16, 16)
    left, right = torch.zeros(1, 1, 16, 16, dtype=torch.float64), torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    left[..., 1:6, 1:6], right[..., 9:14, 9:14] = 1, 1
    guides = LowPassGuide(one, 2, region=left), LowPassGuide(two, 2, region=right)
    found = corrected(x, *guides, combination="band_split")
    for guide, region in zip(guides, (left, right), strict=True):
        torch.testing.assert_close(found * region, (x + low_pass(2)(guide.reference - x)) * region, **EXACT)


def test_a_finer_guide_has_the_coarse_band_where_no_coarser_one_acts():
    x, coarse, fine = images(3, 16, 16)
    region = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    region[..., :8, :] = 1
    found = corrected(x, LowPassGuide(coarse, 8, region=region), LowPassGuide(fine, 2), combination="band_split")
    outside = 1 - region
    torch.testing.assert_close(found * outside, (x + low_pass(2)(fine - x)) * outside, **EXACT)


def test_the_last_of_a_sequence_has_the_final_say():
    x, first, second = images(3, 16, 16)
    found = corrected(x, LowPassGuide(first, 2), LowPassGuide(second, 4), combination="sequential")
    torch.testing.assert_close(low_pass(4)(found), low_pass(4)(second), **EXACT)
    torch.testing.assert_close(
        low_pass(2)(found) - low_pass(4)(found), low_pass(2)(first) - low_pass(4)(first), **EXACT
    )


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_a_guide_changes_nothing_outside_its_region(combination):
    x, everywhere, local = images(3, 16, 16)
    region = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    region[..., 4:9, 5:12] = 1
    alone = corrected(x, LowPassGuide(local, 2, region=region), combination=combination)
    assert torch.equal(alone * (1 - region), x * (1 - region))
    torch.testing.assert_close(alone * region, (x + low_pass(2)(local - x)) * region, **EXACT)
    both = corrected(x, LowPassGuide(everywhere, 4), LowPassGuide(local, 2, region=region), combination=combination)
    without = corrected(x, LowPassGuide(everywhere, 4), combination=combination)
    torch.testing.assert_close(both * (1 - region), without * (1 - region), **EXACT)


def test_a_mean_divides_by_the_guides_that_act_at_a_voxel():
    x, everywhere, local = images(3, 16, 16)
    region = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    region[..., :8, :] = 1
    found = corrected(x, LowPassGuide(everywhere, 2), LowPassGuide(local, 2, region=region), combination="mean")
    keep_low = low_pass(2)
    torch.testing.assert_close(
        found[..., :8, :], (x + (keep_low(everywhere - x) + keep_low(local - x)) / 2)[..., :8, :], **EXACT
    )
    torch.testing.assert_close(found[..., 8:, :], (x + keep_low(everywhere - x))[..., 8:, :], **EXACT)


def test_noise_does_not_depend_on_which_guides_act():
    """Otherwise the last step of one guide would change the noise that another is mixed with."""
    x, one, two = images(3, 8, 8)

    def second_noise(until):
        drawn = iter(images(3, 8, 8))
        correct = match_low_frequencies(
            SCHEDULE, LowPassGuide(one, 2, until), LowPassGuide(two, 1), combination="sequential"
        )
        return correct(x, torch.full((2,), 7), lambda: next(drawn))

    torch.testing.assert_close(second_noise(20), second_noise(-1), **EXACT)


@pytest.mark.parametrize(
    ("solver", "eta"), [("ddpm", 0.0), ("ddim", 0.0), ("ddim", 1.0), ("dpm++2m", 0.0), ("euler", 0.0)]
)
@pytest.mark.parametrize("combination", ["mean", "sequential", "band_split"])
def test_guides_act_on_every_solver_with_classifier_free_guidance(solver, eta, combination):
    """Bands of factor 8 and 2: the coarse band of the final image is the coarse guide's, whatever the network says."""
    schedule = NoiseSchedule.rectified_flow(24) if solver == "euler" else SCHEDULE
    process = DiffusionProcess(schedule, "velocity", clamp=1.0)
    denoise = process.denoiser(network, (lambda x, t: network(x, t) + 0.2, 2.5))
    coarse, fine = (torch.tanh(randoms(seed, 1, 1, 16, 16)).float() for seed in (1, 2))
    settings = Sampling(solver=solver, steps=6, stochasticity=eta)
    correction = match_low_frequencies(
        schedule, LowPassGuide(fine, 2, until=12), LowPassGuide(coarse, 8), combination=combination
    )
    image = process.sample_one(denoise, (1, 16, 16), 3, settings, corrections=[correction])
    torch.testing.assert_close(low_pass(8)(image[None]), low_pass(8)(coarse), atol=1e-5, rtol=0)
    free = process.sample_one(denoise, (1, 16, 16), 3, settings)
    assert (low_pass(8)(free[None]) - low_pass(8)(coarse)).abs().max() > 0.02


def test_noise_of_its_own_depends_on_seed_and_time_alone():
    x, y = images(2, 8, 8)

    def at(time, seed, source):
        correct = match_low_frequencies(SCHEDULE, LowPassGuide(y, 1, noise_seed=seed))
        return correct(x, torch.full((2,), time), source)

    def unused():
        raise AssertionError("the common source is not drawn from")

    once, again = at(7, 5, unused), at(7, 5, unused)
    assert torch.equal(once, again)
    assert not torch.equal(once, at(7, 6, unused))
    signal, level = SCHEDULE.signal[7], SCHEDULE.noise[7]
    noise = (once - signal * y) / level
    assert abs(float(noise.mean())) < 0.3
    assert 0.7 < float(noise.std()) < 1.3


def test_wrong_combinations_and_mixed_times_are_refused():
    with pytest.raises(ValueError, match="unknown combination 'max': choose one of sum, mean, sequential, band_split"):
        inspect.unwrap(match_low_frequencies)(SCHEDULE, combination="max")
    x, y = images(2, 8, 8)
    with pytest.raises(ValueError, match=r"one batch have the same time, not \[1, 2\]"):
        corrected(x, LowPassGuide(y, 2), t=torch.tensor([1, 2]))
