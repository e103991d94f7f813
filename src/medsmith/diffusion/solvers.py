"""Solvers: the next state as a sum of the state, the clean estimate, the one before it and fresh noise.

A solver knows the clean estimate and the two tables of the schedule only, so each serves variance-preserving schedules
and rectified flow alike. It is a function from noise levels to four weights.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, final, get_args

from medsmith.diffusion.schedule import NoiseSchedule

Solver = Literal["ddpm", "ddim", "dpm++2m", "euler"]
SOLVERS: tuple[Solver, ...] = get_args(Solver)
STOCHASTIC: frozenset[Solver] = frozenset(("ddim",))
"""Solvers whose stochasticity can be chosen; 1 on "ddim" samples as "ddpm" does."""


@final
class _Level(NamedTuple):
    """Signal and noise at one time."""

    signal: float
    noise: float

    @property
    def log_ratio(self) -> float:
        """Lambda = log(signal / noise) of DPM-Solver; infinite at either end."""
        if self.noise == 0:
            return math.inf
        return math.log(self.signal / self.noise) if self.signal > 0 else -math.inf


@final
class Weights(NamedTuple):
    """Weights of the sum that is the next state."""

    state: float
    clean: float
    clean_before: float = 0.0
    noise: float = 0.0


@final
@dataclass(frozen=True)
class _Move:
    """All that a solver knows of one step: the levels of its start, its end, and the start of the step before.

    The stochasticity is at most 1, so that no step draws more noise than the schedule has.
    """

    here: _Level
    ahead: _Level
    before: _Level | None
    stochasticity: float


def _ddim(move: _Move) -> Weights:
    """Song et al. 2021, eq. 12 and 16; PIG eq. 7 with the stochasticity at 0."""
    here, ahead = move.here, move.ahead
    spread = 0.0
    if move.stochasticity > 0:
        fresh = 1 - (here.signal / ahead.signal) ** 2
        spread = move.stochasticity * ahead.noise / here.noise * math.sqrt(fresh)
    kept = math.sqrt(ahead.noise**2 - spread**2) / here.noise
    return Weights(kept, ahead.signal - kept * here.signal, noise=spread)


def _ddpm(move: _Move) -> Weights:
    """Ho et al. 2020, eq. 6-7: the posterior of the forward chain, its smaller variance."""
    here, ahead = move.here, move.ahead
    alpha = (here.signal / ahead.signal) ** 2
    beta = 1 - alpha
    return Weights(
        state=math.sqrt(alpha) * ahead.noise**2 / here.noise**2,
        clean=ahead.signal * beta / here.noise**2,
        noise=math.sqrt(beta) * ahead.noise / here.noise,
    )


def _dpm_solver_2m(move: _Move) -> Weights:
    """DPM-Solver++(2M), Lu et al. 2022, Algorithm 2; the first and the last step are of first order."""
    here, ahead, before = move.here, move.ahead, move.before
    if ahead.noise == 0:
        return Weights(0.0, 1.0)
    step = ahead.log_ratio - here.log_ratio
    clean = -ahead.signal * math.expm1(-step)
    beyond = 0.0 if before is None else step / (2 * (here.log_ratio - before.log_ratio))
    return Weights(ahead.noise / here.noise, clean * (1 + beyond), -clean * beyond)


_SOLVER_WEIGHTS: dict[Solver, Callable[[_Move], Weights]] = {
    "ddpm": _ddpm,
    "ddim": _ddim,
    "dpm++2m": _dpm_solver_2m,
    "euler": _ddim,  # on a straight path the deterministic DDIM step is Euler's
}


def solver_weights(
    schedule: NoiseSchedule, times: list[int], solver: Solver, stochasticity: float = 0.0
) -> list[Weights]:
    """Weights of every step, in double precision.

    Args:
        schedule: what is sampled through.
        times: descending; the last is -1, the finished image.
        solver: which.
        stochasticity: eta of DDIM.
    """
    signal, noise = schedule.signal.tolist(), schedule.noise.tolist()
    levels = [*(_Level(signal[t], noise[t]) for t in times[:-1]), _Level(1.0, 0.0)]
    befores = [None, *levels[:-2]]
    moves = zip(levels[:-1], levels[1:], befores, strict=True)
    return [_SOLVER_WEIGHTS[solver](_Move(here, ahead, before, stochasticity)) for here, ahead, before in moves]
