"""Learned variance of the ancestral solver, and the variational bound that trains it (Nichol & Dhariwal 2021).

The network returns one more channel per channel of the image, which says where the log variance of the reverse step
lies between its smallest and its largest value (eq. 15). Axes: b batch, c channels, ``*space`` = x y or x y z.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from medsmith.diffusion.schedule import Noised, NoiseSchedule

GRAY_LEVELS = 256
"""Levels of the likelihood of the last step; images in [-1, 1] were 8-bit pictures in the paper."""


def variance_fraction(output: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
    """The fraction v of eq. 15 from the output of a network: [-1, 1] becomes [0, 1].

    It is not clamped, so that the bound can pull values back from outside; sampling clamps it, after guidance.
    """
    return (output + 1) / 2


def learned_variance_bound(
    schedule: NoiseSchedule,
    noised: Noised,
    clean: Float[Tensor, "b c *space"],
    fraction: Float[Tensor, "b c *space"],
) -> Float[Tensor, "b"]:
    """The term of the variational bound at the time of each state, in bits per dimension (eq. 4-6).

    KL divergence of the posterior q(x_{t-1} | x_t, clean) and the reverse step of the network; at t = 0 the negative
    log likelihood of the image, rounded to 256 gray levels.

    Args:
        schedule: variance preserving.
        noised: the state and its true clean image.
        clean: estimate of the clean image, which sets the mean. Detach it, as in section 3.1 of the paper, so that the
            bound trains the variance alone.
        fraction: v of eq. 15.
    """
    levels = _ReverseStep.at(schedule, noised.t, noised.x.ndim)
    mean, true_mean = (levels.state * noised.x + levels.clean * image for image in (clean, noised.clean))
    log_variance = fraction * levels.log_largest + (1 - fraction) * levels.log_smallest
    divergence = 0.5 * (
        log_variance
        - levels.log_smallest
        + torch.exp(levels.log_smallest - log_variance)
        + (true_mean - mean) ** 2 * torch.exp(-log_variance)
        - 1
    )
    last = -_log_likelihood(noised.clean, mean, log_variance)
    first_time = (noised.t == 0).reshape((-1,) + (1,) * (noised.x.ndim - 1))
    return torch.where(first_time, last, divergence).flatten(1).mean(1) / math.log(2)


@final
@dataclass(frozen=True, eq=False)
class _ReverseStep:
    """One reverse step: the mean is ``state x + clean image``; bounds of the log variance. Shaped like a state."""

    state: Tensor
    clean: Tensor
    log_smallest: Tensor
    log_largest: Tensor

    @classmethod
    def at(cls, schedule: NoiseSchedule, t: Int[Tensor, "b"], axes: int) -> "_ReverseStep":
        """Ho et al. 2020, eq. 7; at t = 0 the smallest variance, which is 0 there, is that of t = 1."""
        signal, noise = schedule.signal.to(t.device), schedule.noise.to(t.device)
        signal_before = torch.cat([torch.ones_like(signal[:1]), signal[:-1]])
        noise_before = torch.cat([torch.zeros_like(noise[:1]), noise[:-1]])
        beta = 1 - (signal / signal_before) ** 2
        ratio = (noise_before / noise) ** 2
        smallest = beta * ratio
        smallest = torch.cat([smallest[1:2], smallest[1:]]) if len(smallest) > 1 else beta
        tables = ((1 - beta).sqrt() * ratio, signal_before * beta / noise**2, smallest.log(), beta.log())
        shape = (-1,) + (1,) * (axes - 1)
        return cls(*(table[t].float().reshape(shape) for table in tables))


def _log_likelihood(image: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log probability of the gray level of each voxel; the outermost levels take the tails (Ho et al. 2020, eq. 13)."""
    half = 1 / (GRAY_LEVELS - 1)
    inverse = torch.exp(-0.5 * log_variance)
    above, below = ((image - mean + side) * inverse for side in (half, -half))
    upper = torch.where(image > 1 - half, torch.ones_like(above), torch.special.ndtr(above))
    lower = torch.where(image < -1 + half, torch.zeros_like(below), torch.special.ndtr(below))
    return (upper - lower).clamp(min=1e-12).log()
