"""Solvers: the next state as a weighted sum of state, clean estimate, previous clean estimate and new noise.

A solver is a function from noise levels to these four weights. It uses the two tables of the schedule only, so that it
serves variance-preserving schedules and rectified flow alike.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, final, get_args

from medsmith.diffusion.schedule import NoiseSchedule

Solver = Literal["ddpm", "ddim", "dpm++2m", "euler"]
SOLVERS: tuple[Solver, ...] = get_args(Solver)
STOCHASTIC: frozenset[Solver] = frozenset(("ddim",))
"""Solvers with a choice of stochasticity; "ddim" with 1 samples as "ddpm"."""


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
    """Weights of the terms of the next state.

    Attributes:
        state: of the state before the step.
        clean: of the clean estimate.
        previous_clean: of the clean estimate of the previous step.
        noise: standard deviation of the new noise.
        largest_noise: the same where a learned variance takes its largest value; 0 for solvers that do not use one.
    """

    state: float
    clean: float
    previous_clean: float = 0.0
    noise: float = 0.0
    largest_noise: float = 0.0


@final
@dataclass(frozen=True)
class _Step:
    """Input of a solver for one step: the levels at its start, at its end, and at the start of the previous step.

    The stochasticity is at most 1, so that no step adds more noise than the schedule has.
    """

    current: _Level
    target: _Level
    previous: _Level | None
    stochasticity: float


def _ddim(step: _Step) -> Weights:
    """Song et al. 2021, eq. 12 and 16; PIG eq. 7 with the stochasticity at 0."""
    current, target = step.current, step.target
    sigma = 0.0
    if step.stochasticity > 0:
        added = 1 - (current.signal / target.signal) ** 2
        sigma = step.stochasticity * target.noise / current.noise * math.sqrt(added)
    kept = math.sqrt(target.noise**2 - sigma**2) / current.noise
    return Weights(kept, target.signal - kept * current.signal, noise=sigma)


def _ddpm(step: _Step) -> Weights:
    """Ho et al. 2020, eq. 6-7: the posterior of the forward chain, its smaller variance.

    A learned variance lies between it and the variance of the forward step (Nichol & Dhariwal 2021, eq. 15), both of
    the sub-sampled chain (their eq. 19).
    """
    current, target = step.current, step.target
    alpha = (current.signal / target.signal) ** 2
    beta = 1 - alpha
    return Weights(
        state=math.sqrt(alpha) * target.noise**2 / current.noise**2,
        clean=target.signal * beta / current.noise**2,
        noise=math.sqrt(beta) * target.noise / current.noise,
        largest_noise=math.sqrt(beta) if target.noise > 0 else 0.0,
    )


def _dpm_solver_2m(step: _Step) -> Weights:
    """DPM-Solver++(2M), Lu et al. 2022, Algorithm 2; the first and the last step are of first order."""
    current, target, previous = step.current, step.target, step.previous
    if target.noise == 0:
        return Weights(0.0, 1.0)
    h = target.log_ratio - current.log_ratio
    clean = -target.signal * math.expm1(-h)
    extrapolation = 0.0 if previous is None else h / (2 * (current.log_ratio - previous.log_ratio))
    return Weights(target.noise / current.noise, clean * (1 + extrapolation), -clean * extrapolation)


_SOLVER_WEIGHTS: dict[Solver, Callable[[_Step], Weights]] = {
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
        schedule: of the noise.
        times: descending; the last is -1, the final image.
        solver: name of the solver.
        stochasticity: eta of DDIM.
    """
    signal, noise = schedule.signal.tolist(), schedule.noise.tolist()
    levels = [*(_Level(signal[t], noise[t]) for t in times[:-1]), _Level(1.0, 0.0)]
    triples = zip(levels[:-1], levels[1:], [None, *levels[:-2]], strict=True)
    return [_SOLVER_WEIGHTS[solver](_Step(*triple, stochasticity)) for triple in triples]
