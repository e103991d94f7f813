"""Sampling a Gaussian, whose optimal denoiser and samples are known in closed form."""

import itertools
import math

import pytest
import torch

from diffusion_oracles import (
    FAMILIES,
    VARIANCE_PRESERVING,
    Gaussian,
    in_double,
    levels,
    sampled,
)
from medsmith.diffusion import (
    NoiseSchedule,
    SeededNoise,
    last,
    times,
)

DATA = Gaussian(mu=0.2, sd=0.3)
PIXELS = (1, 200, 250)


def finished(schedule, shape=PIXELS, seeds=(5,), **options):
    noise = SeededNoise(seeds)(*shape)
    return noise, last(sampled(DATA.denoiser(schedule), schedule, shape, SeededNoise(seeds), **options))


def shrink_of_ddim(schedule, timesteps):
    """What is left of a deviation from the mean: DDIM multiplies it by a known factor at every step."""
    left = 1.0
    for (signal, noise), (signal_next, noise_next) in itertools.pairwise(levels(schedule, timesteps)):
        left *= (signal * signal_next * DATA.sd**2 + noise * noise_next) / DATA.spread(signal, noise) ** 2
    return left


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 10, 50, 400])
@pytest.mark.parametrize("family", FAMILIES)
def test_ddim_and_euler_of_a_gaussian_are_their_closed_form(family, steps, spacing):
    schedule = FAMILIES[family](400)
    solver = "euler" if family == "rectified_flow" else "ddim"
    timesteps = [*times(400, steps, spacing), -1]
    noise, x = finished(schedule, (2, 8, 8), solver=solver, steps=steps, spacing=spacing)
    start = float(schedule.signal[timesteps[0]]) * DATA.mu
    expected = DATA.mu + shrink_of_ddim(schedule, timesteps) * (noise - start)
    torch.testing.assert_close(x, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("spacing", "steps", "known"),
    [("leading", 50, 0.2750), ("trailing", 50, 0.2733), ("trailing", 250, 0.2944), ("trailing", 1000, 0.2985)],
)
def test_few_steps_of_ddim_lose_spread_and_more_give_it_back(spacing, steps, known):
    schedule = NoiseSchedule.linear()
    assert shrink_of_ddim(schedule, [*times(1000, steps, spacing), -1]) == pytest.approx(known, abs=5e-5)
    _, x = finished(schedule, solver="ddim", steps=steps, spacing=spacing)
    # 50,000 pixels: the standard error of their spread is .0009, of their mean .0012.
    assert x.std() == pytest.approx(known, abs=0.003)
    assert x.mean() == pytest.approx(DATA.mu, abs=0.005)


def variance_after(schedule, timesteps, eta):
    """Mean and variance recursion of DDIM with noise (eta 1 is DDPM), in the papers' letters."""
    mean, variance = 0.0, 1.0
    for (signal, noise), (signal_next, _) in itertools.pairwise(levels(schedule, timesteps)):
        gain = signal * DATA.sd**2 / DATA.spread(signal, noise) ** 2
        sigma = eta * math.sqrt((1 - signal_next**2) / (1 - signal**2) * (1 - signal**2 / signal_next**2))
        toward = math.sqrt(1 - signal_next**2 - sigma**2)
        slope = signal_next * gain + toward * (1 - signal * gain) / noise
        clean = DATA.mu + gain * (mean - signal * DATA.mu)
        mean = signal_next * clean + toward * (mean - signal * clean) / noise
        variance = slope**2 * variance + sigma**2
    return mean, variance


@pytest.mark.parametrize(("solver", "eta"), [("ddpm", 1.0), ("ddim", 1.0), ("ddim", 0.5)])
@pytest.mark.parametrize("family", VARIANCE_PRESERVING)
def test_stochastic_samples_of_a_gaussian_have_the_closed_forms_moments(family, solver, eta):
    schedule, steps = FAMILIES[family](200), 25
    options = {} if solver == "ddpm" else {"stochasticity": eta}
    _, x = finished(schedule, solver=solver, steps=steps, **options)
    mean, variance = variance_after(schedule, [*times(200, steps), -1], eta)
    sd, count = math.sqrt(variance), x.numel()
    assert x.mean() == pytest.approx(mean, abs=4 * sd / math.sqrt(count))
    assert x.std() == pytest.approx(sd, rel=4 / math.sqrt(2 * count))


def test_all_1000_steps_of_ddpm_give_the_data_back():
    mean, variance = variance_after(NoiseSchedule.linear(), [*reversed(range(1000)), -1], eta=1.0)
    assert mean == pytest.approx(DATA.mu, abs=1e-3)
    assert math.sqrt(variance) == pytest.approx(DATA.sd, rel=0.015)


def even_in_log_ratio(length):
    """A schedule whose times are evenly spaced in DPM-Solver's lambda, from 3 down to -3."""
    ratio = torch.linspace(3, -3, length, dtype=torch.float64)
    return NoiseSchedule(torch.sigmoid(2 * ratio).sqrt(), torch.sigmoid(-2 * ratio).sqrt())


@pytest.mark.parametrize(("solver", "order"), [("ddim", 1), ("dpm++2m", 2)])
def test_halving_the_strides_shows_each_solvers_order(solver, order):
    errors = []
    for length in (33, 65, 129, 257):
        schedule, start = even_in_log_ratio(length), SeededNoise((5,))(1, 6, 6).double()
        denoise = in_double(DATA.denoiser(schedule))
        steps = sampled(denoise, schedule, (1, 6, 6), SeededNoise((5,)), solver=solver, steps=length)
        state = next(step.x for step in steps if step.t_next == 0)
        # The probability flow keeps a pixel's distance from the mean in units of the spread at its time.
        (signal, noise), (signal_start, noise_start) = levels(schedule, [0, length - 1])
        moved = (start - signal_start * DATA.mu) / DATA.spread(signal_start, noise_start)
        exact = signal * DATA.mu + DATA.spread(signal, noise) * moved
        errors.append(float((state - exact).abs().max()))
    ratios = [coarse / fine for coarse, fine in itertools.pairwise(errors)]
    assert ratios[-1] == pytest.approx(2**order, rel=0.05), ratios


@pytest.mark.parametrize("family", FAMILIES)
def test_20_steps_of_dpm_solver_keep_more_spread_than_20_of_ddim(family):
    kept = {}
    for solver in ("ddim", "dpm++2m"):
        noise, x = finished(FAMILIES[family](), (1, 8, 8), solver=solver, steps=20)
        kept[solver] = float(x.std() / noise.std())
    assert abs(kept["dpm++2m"] - DATA.sd) < abs(kept["ddim"] - DATA.sd)
