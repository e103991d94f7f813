"""The sampling loop for any denoiser, and the settings of sampling."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from medsmith.diffusion.corrections import Correction
from medsmith.diffusion.denoisers import Denoiser
from medsmith.diffusion.noise import SeededNoise
from medsmith.diffusion.schedule import NoiseSchedule
from medsmith.diffusion.solvers import STOCHASTIC, Solver, Weights, solver_weights

Spacing = Literal["trailing", "leading", "linspace"]


@final
class Sampling(BaseModel):
    """Settings of sampling.

    Attributes:
        solver: "ddpm", "ddim", "dpm++2m", "euler" for rectified flow, or one of another package.
        steps: evaluations of the denoiser.
        stochasticity: eta of DDIM, 0 deterministic, 1 as DDPM; 0 for every other solver.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    solver: Solver = "dpm++2m"
    steps: int = Field(default=20, ge=1, le=10_000)
    stochasticity: float = Field(default=0.0, ge=0, le=1)

    def override(self, solver: str | None = None, steps: int | None = None) -> "Sampling":
        """The same with another solver or number of steps; the stochasticity is kept if the solver has one."""
        chosen = solver or self.solver
        return Sampling(
            solver=chosen,
            steps=self.steps if steps is None else steps,
            stochasticity=self.stochasticity if chosen in STOCHASTIC else 0.0,
        )

    def check(self, schedule: NoiseSchedule) -> None:
        """Check that these settings fit a schedule.

        Raises:
            ValueError: a solver that does not fit the schedule or the stochasticity, or too many steps.
        """
        if self.solver == "euler" and not schedule.straight:
            raise ValueError("euler follows straight paths: use it with rectified flow, or take ddim")
        if schedule.straight and (self.solver == "ddpm" or self.stochasticity > 0):
            raise ValueError("rectified flow is deterministic: take euler, ddim or dpm++2m, stochasticity 0")
        if self.stochasticity > 0 and self.solver not in STOCHASTIC:
            raise ValueError("stochasticity belongs to ddim (1 there samples as ddpm does)")
        times(len(schedule), self.steps)


@final
@dataclass(frozen=True, eq=False)
class SamplingStep:
    """One step of the loop.

    Attributes:
        x: the state after the step, b c *space.
        clean: the clean estimate of the step.
        t: the time before the step.
        t_next: the time of x; -1 is the final image.
        index: number of the step, from 1.
        total: number of steps.
    """

    x: Float[Tensor, "b c *space"]
    clean: Float[Tensor, "b c *space"]
    t: int
    t_next: int
    index: int
    total: int


Observe = Callable[[SamplingStep], None]
"""Called with every step, for previews, films or progress."""


def times(length: int, steps: int, spacing: Spacing = "trailing") -> list[int]:
    """Descending times for ``steps`` steps through a schedule of ``length`` (Lin et al. 2024, table 2).

    Args:
        length: length of the schedule.
        steps: evaluations of the denoiser.
        spacing: "trailing" starts at the last time, where training ended; "leading" ends at the first; "linspace"
            does both.

    Raises:
        ValueError: fewer than 1 step, more steps than times, or no such spacing.
    """
    if not 1 <= steps <= length:
        raise ValueError(f"{steps} steps: a schedule of {length} times allows 1 to {length}")
    if spacing == "trailing":
        return [round(length - i * length / steps) - 1 for i in range(steps)]
    if spacing == "leading":
        return [i * (length // steps) for i in reversed(range(steps))]
    if spacing == "linspace":
        strides = max(steps - 1, 1)
        return [round((length - 1) * (strides - i) / strides) for i in range(steps)]
    raise ValueError(f"unknown spacing {spacing!r}: choose one of {', '.join(get_args(Spacing))}")


def sample(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    shape: Sequence[int],
    noise: SeededNoise,
    sampling: Sampling,
    *,
    spacing: Spacing = "trailing",
    corrections: Sequence[Correction] = (),
    device: torch.device | str = "cpu",
) -> Iterator[SamplingStep]:
    """Sample images from noise, one step at a time, without gradients.

    Args:
        denoise: the denoiser, with all conditions bound.
        schedule: the schedule it was trained on.
        shape: channels and space of one image, c *space.
        noise: noise streams, one per image of the batch.
        sampling: solver, steps and stochasticity.
        spacing: how times are sub-sampled.
        corrections: applied in order after each step, at the time of the new state; those with ``from_start`` also to
            the initial noise.
        device: of the state; noise is sampled on the CPU and moved.

    Returns:
        An iterator over the steps; the last one holds the final images. Of earlier steps only the previous clean
        estimate is kept, which DPM-Solver++ needs.

    Raises:
        ValueError: the sampling does not fit the schedule; raised at the call, not at the first step.
    """
    sampling.check(schedule)
    timesteps = [*times(len(schedule), sampling.steps, spacing), -1]
    weights = solver_weights(schedule, timesteps, sampling.solver, sampling.stochasticity)
    return _steps(denoise, timesteps, weights, shape, noise, corrections, torch.device(device))


def _steps(
    denoise: Denoiser,
    timesteps: list[int],
    weights: list[Weights],
    shape: Sequence[int],
    noise: SeededNoise,
    corrections: Sequence[Correction],
    device: torch.device,
) -> Iterator[SamplingStep]:
    x = noise(*shape).to(device)

    def noise_source() -> Tensor:
        return noise(*shape).to(x)

    previous_clean = x  # has weight 0 in the first step
    t = torch.tensor(timesteps, device=device)[:, None].expand(-1, len(x)).unbind()
    for correct in corrections:
        x = correct(x, t[0], noise_source) if correct.from_start else x
    for index, weight in enumerate(weights):
        with torch.no_grad() if torch.is_grad_enabled() else nullcontext():
            estimate = denoise(x, t[index])
            clean = estimate[:, : x.shape[1]]
            x = weight.state * x + weight.clean * clean
            if weight.previous_clean != 0:
                x = x + weight.previous_clean * previous_clean
            if weight.noise > 0:
                x = x + _deviation(weight, estimate[:, x.shape[1] :]) * noise_source()
            previous_clean = clean
            for correct in corrections:
                x = correct(x, t[index + 1], noise_source)
        yield SamplingStep(x, clean, timesteps[index], timesteps[index + 1], index + 1, len(weights))


def _deviation(weight: Weights, fraction: Float[Tensor, "b f *space"]) -> Tensor | float:
    """Standard deviation of the new noise; learned where the estimate has a variance and the solver uses it.

    Args:
        weight: of the step.
        fraction: where the log variance lies between its bounds, or no channels.
    """
    if weight.largest_noise == 0 or fraction.shape[1] == 0:
        return weight.noise
    log_smallest, log_largest = math.log(weight.noise), math.log(weight.largest_noise)
    return torch.exp(fraction * log_largest + (1 - fraction) * log_smallest)


def last(steps: Iterator[SamplingStep]) -> Float[Tensor, "b c *space"]:
    """Run the steps to their end; the final images."""
    final_step = next(steps)
    for final_step in steps:  # noqa: B007  (each step is dropped as the next one comes)
        pass
    return final_step.x
