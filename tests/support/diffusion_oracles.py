"""Denoisers whose right answers are known, and a network that is no more than a fixed nonlinear function."""

import math
from functools import cache

import numpy as np
import torch
from torch.nn import functional

from medsmith.diffusion import DiffusionProcess, NoiseSchedule, Sampling, sample

FAMILIES = {
    "linear": NoiseSchedule.linear,
    "scaled_linear": NoiseSchedule.scaled_linear,
    "cosine": NoiseSchedule.cosine,
    "rectified_flow": NoiseSchedule.rectified_flow,
}
VARIANCE_PRESERVING = ("linear", "scaled_linear", "cosine")
SHAPES = {"2-D": (2, 7, 6), "3-D": (2, 5, 4, 3)}


@cache
def _kernel(channels, dimensions):
    kernel = np.random.default_rng(7).normal(size=(channels, channels, *(3,) * dimensions))
    return torch.from_numpy(kernel) / 3**dimensions


def network(x, t):
    """A fixed nonlinear function of a voxel's neighbourhood and of time that keeps a walk about as large as noise."""
    channels, dimensions = x.shape[1], x.ndim - 2
    mixed = (functional.conv2d if dimensions == 2 else functional.conv3d)(
        x, _kernel(channels, dimensions).to(x), padding=1
    )
    hour = (t.to(x) / 50).reshape(-1, *(1,) * (x.ndim - 1))
    return 0.8 * x + 0.4 * torch.tanh(2 * mixed) + 0.2 * torch.sin(3 * x + hour)


class Gaussian:
    """Independent voxels of mean mu and standard deviation sd: the best denoiser is known in closed form."""

    def __init__(self, mu, sd):
        self.mu, self.sd = mu, sd

    def denoiser(self, schedule):
        """E[clean | noised]: the prior mean, moved by the gain of a Wiener filter."""

        def denoise(x, t):
            signal, noise = schedule.at(t, x)
            gain = signal * self.sd**2 / (signal**2 * self.sd**2 + noise**2)
            return self.mu + gain * (x - signal * self.mu)

        return denoise

    def spread(self, signal, noise):
        """Standard deviation of the noised voxels."""
        return math.hypot(signal * self.sd, noise)


def in_double(denoise):
    """The same denoiser, its answers and with them the walk in double precision."""
    return lambda x, t: denoise(x.double(), t)


def levels(schedule, walk):
    """Signal and noise along a walk of times that ends at -1."""
    return [(1.0, 0.0) if t < 0 else (float(schedule.signal[t]), float(schedule.noise[t])) for t in walk]


def relative(ours, theirs):
    """Largest difference over largest magnitude."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def denoiser_of(schedule, predict, prediction, clamp=None):
    """The clean estimate of a network that answers with ``prediction``."""
    return DiffusionProcess(schedule, prediction, clamp).denoiser(predict)


def sampled(denoise, schedule, shape, noise, *, solver, steps, stochasticity=0.0, **options):
    """``sample`` with its sampling in words."""
    sampling = Sampling(solver=solver, steps=steps, stochasticity=stochasticity)
    return sample(denoise, schedule, shape, noise, sampling, **options)
