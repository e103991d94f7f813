"""Learned variance against Nichol & Dhariwal's formulas: by closed form, by torch.distributions and by diffusers."""

import math
from dataclasses import replace

import pytest
import torch
from diffusers import DDPMScheduler

from diffusion_oracles import VARIANCE_PRESERVING, Gaussian, network, sampled
from medsmith.diffusion import DiffusionProcess, NoiseSchedule, Sampling, SeededNoise, sample, times
from medsmith.diffusion.learned_variance import learned_variance_bound, variance_fraction
from medsmith.diffusion.schedule import Noised
from medsmith.diffusion.solvers import solver_weights

LENGTH = 40
SCHEDULES = {name: getattr(NoiseSchedule, name)(LENGTH) for name in VARIANCE_PRESERVING}


def betas(schedule):
    power = schedule.signal**2
    return 1 - power / torch.cat([torch.ones(1, dtype=torch.float64), power[:-1]])


def randoms(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_bounds_of_the_variance_are_beta_and_its_posterior(name):
    """Eq. 15 at v = 0 and 1, for all times."""
    schedule = SCHEDULES[name]
    weights = solver_weights(schedule, [*range(LENGTH - 1, -1, -1), -1], "ddpm")
    beta = betas(schedule)
    for step, t in zip(weights[:-1], range(LENGTH - 1, 0, -1), strict=True):
        assert step.largest_noise == pytest.approx(math.sqrt(beta[t]), rel=1e-9)
        posterior = beta[t] * schedule.noise[t - 1] ** 2 / schedule.noise[t] ** 2
        assert step.noise == pytest.approx(math.sqrt(posterior), rel=1e-9)
    assert weights[-1].noise == weights[-1].largest_noise == 0


@pytest.mark.parametrize("steps", [LENGTH, 8])
def test_a_learned_step_is_that_of_diffusers(steps):
    """Also re-spaced, where both bounds are those of the shorter chain (eq. 19)."""
    schedule = SCHEDULES["linear"]
    peer = DDPMScheduler(
        LENGTH, trained_betas=betas(schedule).numpy(), variance_type="learned_range", clip_sample=False,
        timestep_spacing="trailing", prediction_type="epsilon",
    )  # fmt: skip
    peer.set_timesteps(steps)
    assert peer.timesteps.tolist() == times(LENGTH, steps)

    def predict(x, t):
        return torch.cat([network(x, t), torch.tanh(x + 0.1)], dim=1)

    process = DiffusionProcess(schedule, "noise", bound_weight=0.001)
    walk = list(sampled(process.denoiser(predict), schedule, (1, 6, 5), SeededNoise((3,)), solver="ddpm", steps=steps))
    stream = SeededNoise((3,))
    x = stream(1, 6, 5).double()
    peer.alphas_cumprod = schedule.signal**2
    # When re-spaced the peer keeps the betas of the long chain; the paper takes those of the short one.
    short = [*peer.timesteps.tolist()[1:], -1]
    powers = {-1: 1.0, **dict(enumerate((schedule.signal**2).tolist()))}
    for t, after in zip(peer.timesteps.tolist(), short, strict=True):
        peer.betas[t] = 1 - powers[t] / powers[after]
    for step, t in zip(walk, peer.timesteps, strict=True):
        output = predict(x, torch.full((1,), int(t)))
        mean = peer.step(output, int(t), x, generator=torch.Generator().manual_seed(0)).prev_sample
        # The peer adds noise of its own, also in the last of fewer steps: take it off, and add the same as ours.
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        deviation = torch.exp(0.5 * peer._get_variance(int(t), predicted_variance=output[:, 1:]))
        mean = mean - deviation * noise if t > 0 else mean
        x = mean + deviation * stream(1, 6, 5).double() if step.t_next >= 0 else mean
        torch.testing.assert_close(step.x.double(), x, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_bound_is_the_divergence_of_two_normals(name):
    schedule, t = SCHEDULES[name], torch.tensor([1, 7, LENGTH - 1])
    clean, noise, estimate = (randoms(seed, 3, 2, 4, 4) for seed in (1, 2, 3))
    noised = schedule.add_noise(clean, noise, t)
    fraction = randoms(4, 3, 2, 4, 4).sigmoid()
    beta, before = betas(schedule)[t], schedule.signal[t - 1]
    posterior = beta * schedule.noise[t - 1] ** 2 / schedule.noise[t] ** 2

    def wide(values):
        return values.reshape(-1, 1, 1, 1)

    def mean(image):
        state = (1 - beta).sqrt() * schedule.noise[t - 1] ** 2 / schedule.noise[t] ** 2
        return wide(state) * noised.x + wide(before * beta / schedule.noise[t] ** 2) * image

    learned = wide(beta) ** fraction * wide(posterior) ** (1 - fraction)
    divergence = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean(clean), wide(posterior).sqrt().expand_as(clean)),
        torch.distributions.Normal(mean(estimate), learned.sqrt()),
    )
    expected = divergence.flatten(1).mean(1) / math.log(2)
    ours = learned_variance_bound(schedule, noised, estimate, fraction)
    torch.testing.assert_close(ours.double(), expected, rtol=2e-4, atol=1e-6)


def test_at_the_first_time_the_gray_levels_have_probability_one():
    schedule, levels = SCHEDULES["cosine"], torch.linspace(-1, 1, 256, dtype=torch.float64)
    clean = levels.reshape(256, 1, 1, 1)
    x, estimate = torch.full_like(clean, 0.3), torch.full_like(clean, 0.2)
    noised = Noised(x, torch.zeros(256, dtype=torch.long), clean, torch.zeros_like(clean))
    bits = learned_variance_bound(schedule, noised, estimate, torch.full_like(clean, 0.5))
    assert float((2.0**-bits).sum()) == pytest.approx(1, abs=1e-4)


def test_the_bound_is_least_at_the_true_variance():
    """For Gaussian data the variance of x_{t-1} given x_t is known, and the mean does not depend on the answer."""
    schedule, data, t = SCHEDULES["linear"], Gaussian(0.2, 0.3), 25
    clean = data.mu + data.sd * randoms(5, 40_000, 1, 1, 1)
    noised = schedule.add_noise(clean, randoms(6, 40_000, 1, 1, 1), torch.full((40_000,), t))
    estimate = data.denoiser(schedule)(noised.x, noised.t)
    beta, before = float(betas(schedule)[t]), float(schedule.signal[t - 1])
    posterior = beta * float(schedule.noise[t - 1] ** 2 / schedule.noise[t] ** 2)
    left = data.sd**2 * float(schedule.noise[t] ** 2) / data.spread(schedule.signal[t], schedule.noise[t]) ** 2
    truth = posterior + (before * beta / float(schedule.noise[t] ** 2)) ** 2 * left
    best = (math.log(truth) - math.log(posterior)) / (math.log(beta) - math.log(posterior))
    grid = torch.linspace(0, 1, 41, dtype=torch.float64)
    bounds = [float(learned_variance_bound(schedule, noised, estimate, torch.full_like(clean, v)).mean()) for v in grid]
    assert 0.05 < best < 0.95
    assert float(grid[int(torch.tensor(bounds).argmin())]) == pytest.approx(best, abs=0.05)


def test_the_hybrid_loss_trains_the_mean_by_the_simple_loss_alone():
    process = DiffusionProcess(SCHEDULES["cosine"], "noise", bound_weight=0.001)
    plain = replace(process, bound_weight=None)
    noised = process.noised(randoms(1, 4, 2, 5, 5), torch.Generator().manual_seed(1))
    output = randoms(2, 4, 4, 5, 5).requires_grad_()
    loss = process.loss(output, noised)
    (gradient,) = torch.autograd.grad(loss, output)
    (simple,) = torch.autograd.grad(plain.loss(output[:, :2], noised), output)
    torch.testing.assert_close(gradient[:, :2], simple[:, :2], atol=1e-9, rtol=1e-5)
    assert gradient[:, 2:].abs().max() > 0
    added = loss - plain.loss(output[:, :2], noised)
    clean = process.schedule.clean_estimate(noised.x, noised.t, output[:, :2], "noise")
    bound = learned_variance_bound(process.schedule, noised, clean, variance_fraction(output[:, 2:])).mean()
    assert added.item() == pytest.approx(0.001 * LENGTH * bound.item(), rel=1e-4)


@pytest.mark.parametrize(("solver", "eta"), [("ddim", 0.0), ("ddim", 1.0), ("dpm++2m", 0.0)])
def test_other_solvers_ignore_the_learned_variance(solver, eta):
    schedule = SCHEDULES["cosine"]
    plain = DiffusionProcess(schedule, "velocity", clamp=1.0)
    learned = replace(plain, bound_weight=0.001)

    def predict(x, t):
        return torch.cat([network(x, t), 9 * x], dim=1)

    settings = Sampling(solver=solver, steps=6, stochasticity=eta)
    one, two = (
        process.sample_one(process.denoiser(part), (2, 6, 6), 5, settings)
        for process, part in ((plain, network), (learned, predict))
    )
    assert torch.equal(one, two)


def test_guidance_and_clamp_keep_the_fraction_between_its_ends():
    process = DiffusionProcess(SCHEDULES["cosine"], "velocity", clamp=0.5, bound_weight=0.001)
    x = 3 * randoms(1, 2, 1, 6, 6)

    def part(sign):
        return lambda x, t: torch.cat([network(x, t), sign * x], dim=1)

    estimate = process.denoiser(part(1), (part(-1), 4.0))(x, torch.tensor([9, 9]))
    assert estimate.shape[1] == 2
    assert estimate[:, :1].abs().max() <= 0.5
    assert 0 <= float(estimate[:, 1:].min()) <= float(estimate[:, 1:].max()) <= 1
    settings = Sampling(solver="ddpm", steps=5)
    (first, *_) = sample(process.denoiser(part(1)), process.schedule, (1, 6, 6), SeededNoise((1,)), settings)
    assert first.clean.shape == first.x.shape == (1, 1, 6, 6)


def test_the_fraction_is_clamped_after_guidance_in_a_latent_too():
    process = DiffusionProcess(SCHEDULES["cosine"], "velocity", clamp=None, bound_weight=0.001)
    x = 3 * randoms(1, 2, 1, 6, 6)

    def part(sign):
        return lambda x, t: torch.cat([network(x, t), sign * x], dim=1)

    estimate = process.denoiser(part(1), (part(-1), 4.0))(x, torch.tensor([9, 9]))
    assert 0 <= float(estimate[:, 1:].min()) <= float(estimate[:, 1:].max()) <= 1


def test_the_bound_pulls_a_fraction_back_from_outside():
    """A clamp in training would leave it there: its gradient is 0."""
    process = DiffusionProcess(SCHEDULES["linear"], "clean", bound_weight=0.001)
    noised = process.noised(0.1 * randoms(1, 16, 1, 5, 5), torch.Generator().manual_seed(1))
    for outside in (-3.0, 3.0):
        output = torch.cat([noised.clean, torch.full_like(noised.clean, outside)], dim=1).requires_grad_()
        (gradient,) = torch.autograd.grad(process.loss(output, noised), output)
        assert gradient[:, 1:].abs().min() > 0
