"""One loop that walks any denoiser from noise to image.

The solvers work on the clean estimate and the two tables of the schedule only, so each serves variance-preserving
schedules and rectified flow alike. Each is linear: the next state is a sum of the state, the clean estimate, the one
before it and fresh noise, so that a solver is a function from noise levels to four weights.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple, final, get_args

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


@final
class _Level(NamedTuple):
    """Signal and noise at one time of the walk."""

    signal: float
    noise: float

    @property
    def log_ratio(self) -> float:
        """Lambda = log(signal / noise) of DPM-Solver; infinite at either end."""
        if self.noise == 0:
            return math.inf
        return math.log(self.signal / self.noise) if self.signal > 0 else -math.inf


@final
class _Weights(NamedTuple):
    """What the next state is the sum of."""

    state: float
    clean: float
    clean_before: float = 0.0
    noise: float = 0.0


@final
@dataclass(frozen=True)
class _Move:
    """All that a solver knows of one step: where it stands, where it goes, whence it came."""

    here: _Level
    ahead: _Level
    before: _Level | None
    stochasticity: float


def times(length: int, steps: int, spacing: Spacing = "trailing") -> list[int]:
    """Descending times for a walk of ``steps`` steps through a schedule of ``length`` (Lin et al. 2024, table 2).

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


def _ddim(move: _Move) -> _Weights:
    """Song et al. 2021, eq. 12 and 16; PIG eq. 7 with the stochasticity at 0."""
    here, ahead = move.here, move.ahead
    spread = 0.0
    if move.stochasticity > 0:
        fresh = 1 - (here.signal / ahead.signal) ** 2
        spread = move.stochasticity * ahead.noise / here.noise * math.sqrt(fresh)
    if spread > ahead.noise:
        raise ValueError(f"stochasticity {move.stochasticity} draws more noise than the schedule has: take at most 1")
    kept = math.sqrt(ahead.noise**2 - spread**2) / here.noise
    return _Weights(kept, ahead.signal - kept * here.signal, noise=spread)


def _ddpm(move: _Move) -> _Weights:
    """Ho et al. 2020, eq. 6-7: the posterior of the forward chain, its smaller variance."""
    here, ahead = move.here, move.ahead
    alpha = (here.signal / ahead.signal) ** 2
    beta = 1 - alpha
    return _Weights(
        state=math.sqrt(alpha) * ahead.noise**2 / here.noise**2,
        clean=ahead.signal * beta / here.noise**2,
        noise=math.sqrt(beta) * ahead.noise / here.noise,
    )


def _dpm_solver_2m(move: _Move) -> _Weights:
    """DPM-Solver++(2M), Lu et al. 2022, Algorithm 2; the first and the last step are of first order."""
    here, ahead, before = move.here, move.ahead, move.before
    if ahead.noise == 0:
        return _Weights(0.0, 1.0)
    step = ahead.log_ratio - here.log_ratio
    clean = -ahead.signal * math.expm1(-step)
    beyond = 0.0 if before is None else step / (2 * (here.log_ratio - before.log_ratio))
    return _Weights(ahead.noise / here.noise, clean * (1 + beyond), -clean * beyond)


_SOLVER_WEIGHTS: dict[Solver, Callable[[_Move], _Weights]] = {
    "ddpm": _ddpm,
    "ddim": _ddim,
    "dpm++2m": _dpm_solver_2m,
    "euler": _ddim,  # on a straight path the deterministic DDIM step is Euler's
}


def check_walk(schedule: NoiseSchedule, solver: Solver, steps: int, stochasticity: float = 0.0) -> None:
    """Refuse a walk that cannot be made, before anything is computed.

    Raises:
        ValueError: an unknown solver, one that does not fit the schedule or the stochasticity, or too many steps.
    """
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}: choose one of {', '.join(SOLVERS)}")
    if not stochasticity >= 0:
        raise ValueError(f"stochasticity {stochasticity}: it is 0 or more")
    if solver == "euler" and not schedule.straight:
        raise ValueError("euler walks straight paths: use it with rectified flow, or take ddim")
    if schedule.straight and (solver == "ddpm" or stochasticity > 0):
        raise ValueError("rectified flow is deterministic: take euler, ddim or dpm++2m, stochasticity 0")
    if stochasticity > 0 and solver != "ddim":
        raise ValueError("stochasticity belongs to ddim (1 there walks as ddpm does)")
    times(len(schedule), steps)


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
    """Walk from pure noise to images, one step at a time, without gradients.

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

    Returns:
        An iterator over every step; the last one holds the finished images. Nothing is kept of earlier steps but the
        clean estimate of the one before, which DPM-Solver++ needs.

    Raises:
        ValueError: an unknown solver, or one that does not fit the schedule; at the call, not at the first step.
    """
    check_walk(schedule, solver, steps, stochasticity)
    walk = [*times(len(schedule), steps, spacing), -1]
    weights = _weights(schedule, walk, solver, stochasticity)
    return _walk(denoise, walk, weights, shape, draw, corrections, torch.device(device))


def _weights(schedule: NoiseSchedule, walk: list[int], solver: Solver, stochasticity: float) -> list[_Weights]:
    """Weights of every step, in double precision."""
    signal, noise = schedule.signal.tolist(), schedule.noise.tolist()
    levels = [*(_Level(signal[t], noise[t]) for t in walk[:-1]), _Level(1.0, 0.0)]
    befores = [None, *levels[:-2]]
    moves = zip(levels[:-1], levels[1:], befores, strict=True)
    return [_SOLVER_WEIGHTS[solver](_Move(here, ahead, before, stochasticity)) for here, ahead, before in moves]


def _walk(
    denoise: Denoiser,
    walk: list[int],
    weights: list[_Weights],
    shape: Sequence[int],
    draw: SeededNoise,
    corrections: Sequence[Correction],
    device: torch.device,
) -> Iterator[SamplingStep]:
    x = draw(*shape).to(device)
    before = x  # has no weight in the first step
    moments = torch.tensor(walk, device=device)[:, None].expand(-1, len(x)).unbind()
    for index, weight in enumerate(weights):
        with torch.no_grad() if torch.is_grad_enabled() else nullcontext():
            clean = denoise(x, moments[index])
            x = weight.state * x + weight.clean * clean
            if weight.clean_before != 0:
                x = x + weight.clean_before * before
            if weight.noise > 0:
                x = x + weight.noise * draw(*shape).to(x)
            before = clean
            for correct in corrections:
                x = correct(x, moments[index + 1], draw(*shape).to(x))
        yield SamplingStep(x, clean, walk[index], walk[index + 1], index + 1, len(weights))


def last(walk: Iterator[SamplingStep]) -> Float[Tensor, "b c *space"]:
    """The finished images of a walk."""
    final_step = next(walk)
    for final_step in walk:  # noqa: B007  (each step is dropped as the next one comes)
        pass
    return final_step.x
