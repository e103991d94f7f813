import inspect
import itertools
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from diffusion_oracles import FAMILIES, denoiser_of, network, sampled
from medsmith.diffusion import (
    SOLVERS,
    Correction,
    LowPassGuide,
    NoiseSchedule,
    SeededNoise,
    keep_outside,
    last,
    match_low_frequencies,
    on_channels,
)
from medsmith.diffusion.low_pass import low_pass

FACTORS = st.sampled_from([1, 2, 4, 8, 16, 64])
SPACES = st.lists(st.integers(1, 17), min_size=2, max_size=3).map(tuple)


def randoms(seed, *shape, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def schedule_of(solver, length=24):
    return NoiseSchedule.rectified_flow(length) if solver == "euler" else NoiseSchedule.cosine(length)


def sampled_steps(solver, shape, corrections, seeds=(1, 2), **options):
    schedule = schedule_of(solver)
    denoise = denoiser_of(schedule, network, "velocity")
    options = {"solver": solver, "steps": 8, **options}
    return sampled(denoise, schedule, shape, SeededNoise(seeds), corrections=corrections, **options)


# --- The low-pass filter ---------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(SPACES, FACTORS, st.integers(0, 99))
def test_the_projection_filters_twice_as_once(space, factor, seed):
    x = randoms(seed, 2, 1, *space)
    once = low_pass(factor)(x)
    assert once.shape == x.shape
    torch.testing.assert_close(low_pass(factor)(once), once, atol=1e-12, rtol=0)


@settings(max_examples=60, deadline=None)
@given(SPACES, FACTORS, st.integers(0, 99))
def test_the_projection_is_symmetric_and_shortens(space, factor, seed):
    keep_low = low_pass(factor)
    x, y = randoms(seed, 1, 1, *space), randoms(seed + 1, 1, 1, *space)
    torch.testing.assert_close((keep_low(x) * y).sum(), (x * keep_low(y)).sum(), atol=1e-11, rtol=0)
    assert keep_low(x).norm() <= x.norm() * (1 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(SPACES, FACTORS, st.sampled_from(["projection", "bicubic"]), st.floats(-5, 5))
def test_every_filter_is_linear_and_keeps_a_constant(space, factor, kind, value):
    keep_low = low_pass(factor, kind)
    constant = torch.full((1, 2, *space), value, dtype=torch.float64)
    torch.testing.assert_close(keep_low(constant), constant, atol=1e-10, rtol=0)
    x, y = randoms(1, 1, 2, *space), randoms(2, 1, 2, *space)
    torch.testing.assert_close(keep_low(x + value * y), keep_low(x) + value * keep_low(y), atol=1e-10, rtol=0)


@pytest.mark.parametrize("space", [(6, 9), (5, 7, 4)])
def test_factor_1_keeps_everything_and_one_beyond_the_size_the_mean(space):
    x = randoms(3, 2, 2, *space)
    torch.testing.assert_close(low_pass(1)(x), x, atol=1e-12, rtol=0)
    axes = tuple(range(2, x.ndim))
    mean = x.mean(axes, keepdim=True).expand_as(x)
    for factor in (16, 1024):
        torch.testing.assert_close(low_pass(factor)(x), mean, atol=1e-12, rtol=0)


def test_the_projection_keeps_a_slow_wave_and_stops_a_fast_one():
    place = (torch.arange(32).double() + 0.5) / 32

    def wave(cycles):
        return (torch.cos(torch.pi * cycles * place)[:, None] * torch.ones(32))[None, None]

    torch.testing.assert_close(low_pass(4)(wave(7)), wave(7), atol=1e-12, rtol=0)
    torch.testing.assert_close(low_pass(4)(wave(8)), torch.zeros(1, 1, 32, 32).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("space", [(16, 16), (32, 24), (17, 19)])
def test_bicubic_is_torchs_down_and_up(space, factor):
    x = randoms(4, 2, 3, *space)
    small = [n // factor for n in space]
    assert min(small) > 1  # torch 2.13 reduces an image to one column wrongly (its second pass reads the first row)
    down = interpolate(x, size=small, mode="bicubic", antialias=True)
    up = interpolate(down, size=space, mode="bicubic", antialias=True)
    torch.testing.assert_close(low_pass(factor, "bicubic")(x), up, atol=1e-10, rtol=0)


def test_bicubic_in_3d_filters_in_the_plane_and_then_across():
    x = randoms(5, 2, 1, 8, 12, 10)
    plane = low_pass(2, "bicubic")(x.reshape(16, 1, 12, 10)).reshape(x.shape)
    column = plane[..., 3, 4].reshape(2, 1, 8, 1).expand(-1, -1, -1, 2)
    expected = low_pass(2, "bicubic")(column)[..., 0]
    torch.testing.assert_close(low_pass(2, "bicubic")(x)[..., 3, 4], expected, atol=1e-10, rtol=0)


def test_bicubic_is_no_projection():
    x = randoms(6, 1, 1, 32, 32)
    once = low_pass(4, "bicubic")(x)
    assert (low_pass(4, "bicubic")(once) - once).abs().max() > 1e-2


@pytest.mark.parametrize("factor", [3, 6, 12])
def test_bicubic_takes_powers_of_two_alone(factor):
    with pytest.raises(ValueError, match=f"low-pass factor {factor} is not a power of two"):
        low_pass(factor, "bicubic")
    low_pass(factor)


@pytest.mark.parametrize("factor", [0, -2])
def test_a_factor_below_one_is_refused(factor):
    with pytest.raises(ValueError, match=f"low-pass factor {factor} is less than 1"):
        low_pass(factor)
    with pytest.raises(ValueError, match="less than 1"):
        match_low_frequencies(NoiseSchedule.linear(10), LowPassGuide(torch.zeros(1, 1, 8, 8), factor))


def test_an_unknown_filter_is_refused():
    with pytest.raises(ValueError, match="unknown low-pass 'gauss': choose one of projection, bicubic"):
        inspect.unwrap(low_pass)(2, "gauss")


# --- ILVR ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("factor", [1, 4, 32])
@pytest.mark.parametrize("space", [(16, 16), (13, 10), (9, 8, 7)])
def test_the_finished_image_has_the_references_low_frequencies(space, factor, solver):
    reference = randoms(7, 2, 1, *space, dtype=torch.float32)
    schedule = schedule_of(solver)
    x = last(sampled_steps(solver, (1, *space), [match_low_frequencies(schedule, LowPassGuide(reference, factor))]))
    keep_low = low_pass(factor)
    torch.testing.assert_close(keep_low(x), keep_low(reference), atol=1e-5, rtol=0)
    if factor > 1:
        assert (x - reference).abs().max() > 0.1


def test_one_reference_serves_a_whole_batch():
    reference = randoms(8, 1, 1, 12, 12, dtype=torch.float32)
    correction = match_low_frequencies(schedule_of("ddpm"), LowPassGuide(reference, 4))
    x = last(sampled_steps("ddpm", (1, 12, 12), [correction], seeds=(1, 2, 3)))
    keep_low = low_pass(4)
    torch.testing.assert_close(keep_low(x), keep_low(reference).expand_as(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["projection", "bicubic"])
@pytest.mark.parametrize("t", [-1, 0, 11])
def test_a_correction_is_the_papers_equation(kind, t):
    schedule, keep_low = NoiseSchedule.linear(20), low_pass(2, kind)
    reference, x, noise = (randoms(seed, 2, 1, 8, 8) for seed in (1, 2, 3))
    times = torch.full((2,), t)
    ours = match_low_frequencies(schedule, LowPassGuide(reference, 2, kind=kind))(x, times, lambda: noise)
    signal, level = (1.0, 0.0) if t < 0 else (schedule.signal[t], schedule.noise[t])
    guide = signal * reference + level * noise
    torch.testing.assert_close(ours, x + keep_low(guide) - keep_low(x), atol=1e-12, rtol=0)


def test_a_correction_acts_until_its_time_and_no_longer():
    schedule = schedule_of("ddpm")
    reference = randoms(9, 1, 1, 8, 8, dtype=torch.float32)
    for until in (-1, 0, 9, 30):
        correction = match_low_frequencies(schedule, LowPassGuide(reference, 2, until))
        free = randoms(10, 1, 1, 8, 8, dtype=torch.float32)
        for t in (-1, 0, 8, 9, 23):
            moved = correction(free, torch.tensor([t]), partial(torch.zeros_like, free))
            assert torch.equal(moved, free) == (t < until)


# --- Keeping the background ------------------------------------------------------------------------------------------


def cut(space):
    inside = torch.zeros(1, 1, *space)
    inside[..., 2:5, 3:6] = 1
    return inside, randoms(11, 1, 1, *space, dtype=torch.float32)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("noised", [False, True])
@pytest.mark.parametrize("space", [(8, 9), (4, 7, 8)])
def test_the_background_comes_back_bit_for_bit(space, noised, solver):
    inside, background = cut(space)
    correction = keep_outside(inside, background, schedule_of(solver) if noised else None)
    x = last(sampled_steps(solver, (1, *space), [correction]))
    outside = (inside == 0).expand_as(x)
    assert torch.equal(x[outside], background.expand_as(x)[outside])
    assert not torch.equal(x, background.expand_as(x))
    if solver == "ddpm":
        assert not torch.equal(x[0], x[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_noised_background_has_the_noise_of_its_time(family):
    schedule = FAMILIES[family](40)
    inside, background = cut((8, 9))
    x, noise = randoms(12, 1, 1, 8, 9, dtype=torch.float32), randoms(13, 1, 1, 8, 9, dtype=torch.float32)
    for t in (-1, 0, 25, 39):
        now = torch.tensor([t])
        held = keep_outside(inside, background, schedule)(x, now, lambda: noise)
        expected = torch.where(inside > 0, x, schedule.add_noise(background, noise, now).x)
        assert torch.equal(held, expected)
        clean = keep_outside(inside, background)(x, now, lambda: noise)
        assert torch.equal(clean, torch.where(inside > 0, x, background))


def test_corrections_follow_each_other_and_each_draws_its_own_noise():
    drawn, order = [], []

    def watch(name):
        def correct(x, t, fresh):
            order.append((name, t.tolist()))
            drawn.append(fresh())
            return x

        return Correction(correct)

    steps = list(sampled_steps("ddim", (1, 4, 4), [watch("first"), watch("second")], steps=3))
    reached = [[step.t_next] * 2 for step in steps]
    assert order == list(itertools.chain(*([("first", t), ("second", t)] for t in reached)))
    assert reached[-1] == [-1, -1]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(drawn, 2))
    stream = SeededNoise((1, 2))
    stream(1, 4, 4)
    assert all(torch.equal(noise, stream(1, 4, 4)) for noise in drawn)


def test_a_walk_with_corrections_is_repeated_by_its_seeds():
    inside, background = cut((8, 9))
    schedule = schedule_of("ddim")
    corrections = [
        match_low_frequencies(schedule, LowPassGuide(background, 4, until=3)),
        keep_outside(inside, background, schedule),
    ]
    once, again = (last(sampled_steps("ddim", (1, 8, 9), corrections)) for _ in range(2))
    assert torch.equal(once, again)


def test_several_guides_are_one_sum_over_the_same_state():
    """mDDPM, Algorithm 1: each guide has its own noise, and no term sees what another has done."""
    schedule = NoiseSchedule.linear(20)
    first, second, x = (randoms(seed, 2, 1, 16, 16) for seed in (1, 2, 3))
    noises = [randoms(seed, 2, 1, 16, 16) for seed in (4, 5)]
    t, source = torch.full((2,), 7), iter(noises)
    guides = LowPassGuide(first, 2), LowPassGuide(second, 8)
    ours = match_low_frequencies(schedule, *guides)(x, t, lambda: next(source))
    expected = x.clone()
    for guide, noise in zip(guides, noises, strict=True):
        keep_low = low_pass(guide.factor)
        expected += keep_low(schedule.add_noise(guide.reference, noise, t).x) - keep_low(x)
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("channels", [slice(0, 1), slice(1, 3)])
def test_a_correction_of_some_channels_leaves_the_others_alone(channels):
    schedule = schedule_of("ddpm")
    reference = randoms(14, 1, channels.stop - channels.start, 8, 8, dtype=torch.float32)
    guide = match_low_frequencies(schedule, LowPassGuide(reference, 2))
    x = last(sampled_steps("ddpm", (3, 8, 8), [on_channels(guide, channels)]))
    free = last(sampled_steps("ddpm", (3, 8, 8), []))
    keep_low = low_pass(2)
    torch.testing.assert_close(keep_low(x[:, channels]), keep_low(reference).expand(2, -1, -1, -1), atol=1e-5, rtol=0)
    others = [index for index in range(3) if index not in range(3)[channels]]
    assert (keep_low(x[:, others]) - keep_low(reference[:, :1])).abs().max() > 0.1
    assert free.shape == x.shape


def test_a_correction_of_some_channels_gets_the_noise_of_those():
    """Otherwise two corrections of neighboring channels would share their noise."""
    noise = randoms(3, 2, 3, 4, 4)
    adds_noise = Correction(lambda x, _, noise_source: x + noise_source())
    x = on_channels(adds_noise, slice(1, 3))(torch.zeros_like(noise), torch.zeros(2, dtype=torch.long), lambda: noise)
    assert torch.equal(x[:, 1:], noise[:, 1:])
    assert not x[:, 0].any()


def test_the_background_is_held_from_the_first_step_on():
    """The network must never see noise where the scan is known."""
    inside, background = cut((8, 9))
    schedule, seen = schedule_of("ddim"), []
    denoise = denoiser_of(schedule, network, "velocity")

    def watch(x, t):
        seen.append(x.clone())
        return denoise(x, t)

    steps = sampled(watch, schedule, (1, 8, 9), SeededNoise((1,)), solver="ddim", steps=4,
                    corrections=[keep_outside(inside, background)])  # fmt: skip
    last(steps)
    assert len(seen) == 4
    assert all(torch.equal(x[inside == 0], background[inside == 0]) for x in seen)
    assert not torch.equal(seen[0][inside > 0], background[inside > 0])
