"""One loop that walks any denoiser from noise to image.

The solvers work on the clean estimate and the two tables of the schedule only, so each serves variance-preserving
schedules and rectified flow alike.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from medsmith.diffusion.corrections import Correction
from medsmith.diffusion.denoisers import Denoiser
from medsmith.diffusion.noise import SeededNoise
from medsmith.diffusion.schedule import NoiseSchedule

Solver = Literal["ddpm", "ddim", "dpm++2m", "euler"]
Spacing = Literal["trailing", "leading", "linspace"]
SOLVERS: tuple[Solver, ...] = get_args(Solver)


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


@dataclass(frozen=True, eq=False)
class _Move:
    """All that a solver sees of one step."""

    x: Tensor
    clean: Tensor
    signal: float
    level: float
    signal_next: float
    level_next: float
    noise: Tensor
    stochasticity: float
    earlier: tuple[Tensor, float] | None  # clean estimate and log signal-to-noise half of the step before


def times(length: int, steps: int, spacing: Spacing = "trailing") -> list[int]:
    """Descending times for a walk of ``steps`` steps through a schedule of ``length``.

    Args:
        length: length of the schedule.
        steps: evaluations of the denoiser.
        spacing: "trailing" starts at the last time, where training ended (Lin et al. 2024, table 2); "leading" and
            "linspace" are those of DDIM and DPM-Solver releases.

    Raises:
        ValueError: fewer than 1 step, or more steps than times.
    """
    if not 1 <= steps <= length:
        raise ValueError(f"{steps} steps: a schedule of {length} times allows 1 to {length}")
    if spacing == "trailing":
        return [round(length - i * length / steps) - 1 for i in range(steps)]
    if spacing == "leading":
        return [i * (length // steps) for i in reversed(range(steps))]
    return [round(i * (length - 1) / steps) for i in range(steps, 0, -1)]


def _half_log_ratio(signal: float, level: float) -> float:
    """Lambda = log(signal / noise) of DPM-Solver; infinite at either end."""
    if level == 0:
        return math.inf
    return math.log(signal / level) if signal > 0 else -math.inf


def _ddim(move: _Move) -> Tensor:
    """Song et al. 2021, eq. 12 and 16; PIG eq. 7 with the stochasticity at 0."""
    eps = (move.x - move.signal * move.clean) / move.level
    spread = 0.0
    if move.stochasticity > 0 and move.level_next > 0:
        kept = 1 - (move.signal / move.signal_next) ** 2
        spread = move.stochasticity * move.level_next / move.level * math.sqrt(max(kept, 0.0))
    direction = math.sqrt(max(move.level_next**2 - spread**2, 0.0))
    return move.signal_next * move.clean + direction * eps + spread * move.noise


def _ddpm(move: _Move) -> Tensor:
    """Ho et al. 2020, eq. 6-7: the posterior of the forward chain, its smaller variance."""
    ratio = (move.signal / move.signal_next) ** 2  # alpha of this step
    beta = 1 - ratio
    mean = (move.signal_next * beta * move.clean + math.sqrt(ratio) * move.level_next**2 * move.x) / move.level**2
    return mean + math.sqrt(max(beta, 0.0)) * move.level_next / move.level * move.noise


def _dpm_solver_2m(move: _Move) -> Tensor:
    """DPM-Solver++(2M), Lu et al. 2022, Algorithm 2; the first and the last step are of first order."""
    here = _half_log_ratio(move.signal, move.level)
    ahead = _half_log_ratio(move.signal_next, move.level_next)
    if math.isinf(ahead):
        return move.clean
    step = ahead - here
    estimate = move.clean
    if move.earlier is not None:
        clean_before, before = move.earlier
        estimate = estimate + step / (2 * (here - before)) * (move.clean - clean_before)
    return move.level_next / move.level * move.x - move.signal_next * math.expm1(-step) * estimate


_STEPS: dict[Solver, Callable[[_Move], Tensor]] = {
    "ddpm": _ddpm,
    "ddim": _ddim,
    "dpm++2m": _dpm_solver_2m,
    "euler": _ddim,  # on a straight path the deterministic DDIM step is Euler's
}


def _refuse(schedule: NoiseSchedule, solver: Solver, stochasticity: float) -> None:
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}: choose one of {', '.join(SOLVERS)}")
    if solver == "euler" and not schedule.straight:
        raise ValueError("euler walks straight paths: use it with rectified flow, or take ddim")
    if schedule.straight and (solver == "ddpm" or stochasticity > 0):
        raise ValueError("rectified flow is deterministic: take euler or dpm++2m, stochasticity 0")
    if stochasticity > 0 and solver != "ddim":
        raise ValueError("stochasticity belongs to ddim (1 there walks as ddpm does)")


def sample(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    shape: Sequence[int],
    draw: SeededNoise,
    *,
    solver: Solver,
    steps: int,
    stochasticity: float = 0.0,
    spacing: Spacing = "trailing",
    corrections: Sequence[Correction] = (),
    device: torch.device | str = "cpu",
) -> Iterator[SamplingStep]:
    """Walk from pure noise to images, one step at a time.

    Args:
        denoise: the denoiser, with all conditions bound.
        schedule: the schedule it was trained on.
        shape: channels and space of one image, c *space.
        draw: noise streams, one per image of the batch.
        solver: "ddpm", "ddim", "dpm++2m", or "euler" for rectified flow.
        steps: evaluations of the denoiser.
        stochasticity: eta of DDIM, 0 deterministic, 1 as DDPM.
        spacing: how times are sub-sampled.
        corrections: applied in order after each step, at the time the state has reached.
        device: where the state lives; noise is drawn on the CPU and moved.

    Yields:
        Every step; the last one holds the finished images. Nothing is kept of earlier steps.

    Raises:
        ValueError: an unknown solver, or one that does not fit the schedule.
    """
    _refuse(schedule, solver, stochasticity)
    walk = [*times(len(schedule), steps, spacing), -1]
    x = draw(*shape).to(device)
    earlier: tuple[Tensor, float] | None = None
    for index, (t, t_next) in enumerate(zip(walk[:-1], walk[1:], strict=True), 1):
        now = torch.full((len(x),), t, device=x.device)
        clean = denoise(x, now)
        signal, level = float(schedule.signal[t]), float(schedule.noise[t])
        ends = t_next < 0
        ahead = (1.0, 0.0) if ends else (float(schedule.signal[t_next]), float(schedule.noise[t_next]))
        stochastic = not ends and (solver == "ddpm" or stochasticity > 0)
        noise = draw(*shape).to(x) if stochastic else torch.zeros_like(x)
        x = _STEPS[solver](_Move(x, clean, signal, level, *ahead, noise, stochasticity, earlier))
        earlier = (clean, _half_log_ratio(signal, level))
        for correct in corrections:
            x = correct(x, torch.full_like(now, t_next), draw(*shape).to(x))
        yield SamplingStep(x, clean, t, t_next, index, steps)


def last(walk: Iterator[SamplingStep]) -> Float[Tensor, "b c *space"]:
    """The finished images of a walk."""
    final_step = next(walk)
    for final_step in walk:  # noqa: B007  (each step is dropped as the next one comes)
        pass
    return final_step.x
