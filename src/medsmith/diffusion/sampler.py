"""One loop that takes any denoiser from noise to image, and how it is sampled as one value."""

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
    """How a trained model is sampled.

    Attributes:
        solver: "ddpm", "ddim", "dpm++2m", or "euler" for rectified flow.
        steps: evaluations of the denoiser.
        stochasticity: eta of DDIM, 0 deterministic, 1 as DDPM; 0 for every other solver.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    solver: Solver = "dpm++2m"
    steps: int = Field(default=20, ge=1)
    stochasticity: float = Field(default=0.0, ge=0, le=1)

    def override(self, solver: Solver | None = None, steps: int | None = None) -> "Sampling":
        """Another solver or number of steps; the stochasticity stays with a solver that takes one."""
        chosen = solver or self.solver
        return Sampling(
            solver=chosen,
            steps=self.steps if steps is None else steps,
            stochasticity=self.stochasticity if chosen in STOCHASTIC else 0.0,
        )

    def check(self, schedule: NoiseSchedule) -> None:
        """Refuse what cannot be sampled, before anything is computed.

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
        clean: the clean estimate the step was made from.
        t: the time before the step.
        t_next: the time of x; -1 is the finished image.
        index: steps done, from 1.
        total: steps in all.
    """

    x: Float[Tensor, "b c *space"]
    clean: Float[Tensor, "b c *space"]
    t: int
    t_next: int
    index: int
    total: int


Observe = Callable[[SamplingStep], None]
"""Told of every step: previews, films, progress."""


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
    """From pure noise to images, one step at a time, without gradients.

    Args:
        denoise: the denoiser, with all conditions bound.
        schedule: the schedule it was trained on.
        shape: channels and space of one image, c *space.
        noise: noise streams, one per image of the batch.
        sampling: solver, steps and stochasticity.
        spacing: how times are sub-sampled.
        corrections: applied in order after each step, at the time the state has reached; those that say so also to the
            noise that sampling starts from.
        device: where the state lives; noise is drawn on the CPU and moved.

    Returns:
        An iterator over every step; the last one holds the finished images. Nothing is kept of earlier steps but the
        clean estimate of the one before, which DPM-Solver++ needs.

    Raises:
        ValueError: the sampling does not fit the schedule; at the call, not at the first step.
    """
    sampling.check(schedule)
    moments = [*times(len(schedule), sampling.steps, spacing), -1]
    weights = solver_weights(schedule, moments, sampling.solver, sampling.stochasticity)
    return _steps(denoise, moments, weights, shape, noise, corrections, torch.device(device))


def _steps(
    denoise: Denoiser,
    moments: list[int],
    weights: list[Weights],
    shape: Sequence[int],
    noise: SeededNoise,
    corrections: Sequence[Correction],
    device: torch.device,
) -> Iterator[SamplingStep]:
    x = noise(*shape).to(device)

    def fresh() -> Tensor:
        return noise(*shape).to(x)

    before = x  # has no weight in the first step
    at = torch.tensor(moments, device=device)[:, None].expand(-1, len(x)).unbind()
    for correct in corrections:
        x = correct(x, at[0], fresh) if correct.from_start else x
    for index, weight in enumerate(weights):
        with torch.no_grad() if torch.is_grad_enabled() else nullcontext():
            clean = denoise(x, at[index])
            x = weight.state * x + weight.clean * clean
            if weight.clean_before != 0:
                x = x + weight.clean_before * before
            if weight.noise > 0:
                x = x + weight.noise * fresh()
            before = clean
            for correct in corrections:
                x = correct(x, at[index + 1], fresh)
        yield SamplingStep(x, clean, moments[index], moments[index + 1], index + 1, len(weights))


def last(steps: Iterator[SamplingStep]) -> Float[Tensor, "b c *space"]:
    """The finished images."""
    final_step = next(steps)
    for final_step in steps:  # noqa: B007  (each step is dropped as the next one comes)
        pass
    return final_step.x
