"""What denoising networks minimise; functions for methods to call."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from medsmith.config import DiffusionConfig
from medsmith.diffusion import Noised, NoiseSchedule


def draw_times(diffusion: DiffusionConfig, count: int, draw: torch.Generator) -> Int[Tensor, "b"]:
    """One time per case of a batch, uniform over the schedule; "antithetic" mirrors the first half."""
    if diffusion.draw == "uniform":
        return torch.randint(diffusion.length, (count,), generator=draw)
    half = torch.randint(diffusion.length, ((count + 1) // 2,), generator=draw)
    return torch.cat([half, diffusion.length - 1 - half])[:count]


def normal_like(tensor: Tensor, draw: torch.Generator) -> Tensor:
    """Standard normal noise, drawn on the CPU so that it does not depend on the device."""
    return torch.randn(tensor.shape, generator=draw).to(tensor)


def denoising_error(
    answer: Float[Tensor, "b c *space"],
    noised: Noised,
    schedule: NoiseSchedule,
    diffusion: DiffusionConfig,
    voxel_weight: Float[Tensor, "b 1 *space"] | float = 1.0,
) -> Float[Tensor, ""]:
    """Mean squared error of a network's answer (Ho et al. 2020, eq. 14), weighted over times by min-SNR if asked.

    Args:
        answer: what the network says.
        noised: the noised image it was given.
        schedule: the schedule that noised it.
        diffusion: what the network answers with, and gamma of the weights.
        voxel_weight: weight of each voxel's error.
    """
    error = (answer.float() - schedule.target(noised, diffusion.prediction)) ** 2 * voxel_weight
    return (error.flatten(1).mean(1) * time_weights(noised.t, schedule, diffusion)).mean()


def time_weights(t: Int[Tensor, "b"], schedule: NoiseSchedule, diffusion: DiffusionConfig) -> Float[Tensor, "b"]:
    """Weight of the error at each time, as the settings say; 1 without min-SNR weights."""
    if diffusion.min_snr is None:
        return torch.ones(len(t), device=t.device)
    return schedule.loss_weight(t, diffusion.prediction, diffusion.min_snr, diffusion.least_weight)
