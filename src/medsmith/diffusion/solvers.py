"""Solvers: the next state as a weighted sum of state, clean estimate, previous clean estimate and new noise.

A solver is a function from noise levels to these four weights. It uses the two tables of the schedule only, so that it
serves variance-preserving schedules and rectified flow alike.

Other packages register solvers as entry points of the group ``medsmith.solvers``, whose value is such a function.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple, final

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from medsmith.diffusion.schedule import NoiseSchedule
from medsmith.errors import RequestError
from medsmith.registration import registered, registered_names, registered_version

GROUP = "medsmith.solvers"
SOLVERS = ("ddpm", "ddim", "dpm++2m", "euler")
"""Solvers of this package."""
STOCHASTIC: frozenset[str] = frozenset(("ddim",))
"""Solvers with a choice of stochasticity; "ddim" with 1 samples as "ddpm"."""


@final
class NoiseLevel(NamedTuple):
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
class SolverStep:
    """Input of a solver for one step.

    Attributes:
        current: level at its start.
        target: level at its end; without noise at the end of the last step.
        previous: level at the start of the previous step; None in the first step.
        stochasticity: eta of DDIM, at most 1, so that no step adds more noise than the schedule has.
    """

    current: NoiseLevel
    target: NoiseLevel
    previous: NoiseLevel | None
    stochasticity: float


def _ddim(step: SolverStep) -> Weights:
    """Song et al. 2021, eq. 12 and 16; PIG eq. 7 with the stochasticity at 0."""
    current, target = step.current, step.target
    sigma = 0.0
    if step.stochasticity > 0:
        added = 1 - (current.signal / target.signal) ** 2
        sigma = step.stochasticity * target.noise / current.noise * math.sqrt(added)
    kept = math.sqrt(target.noise**2 - sigma**2) / current.noise
    return Weights(kept, target.signal - kept * current.signal, noise=sigma)


def _ddpm(step: SolverStep) -> Weights:
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


def _dpm_solver_2m(step: SolverStep) -> Weights:
    """DPM-Solver++(2M), Lu et al. 2022, Algorithm 2; the first and the last step are of first order."""
    current, target, previous = step.current, step.target, step.previous
    if target.noise == 0:
        return Weights(0.0, 1.0)
    h = target.log_ratio - current.log_ratio
    clean = -target.signal * math.expm1(-h)
    extrapolation = 0.0 if previous is None else h / (2 * (current.log_ratio - previous.log_ratio))
    return Weights(target.noise / current.noise, clean * (1 + extrapolation), -clean * extrapolation)


SolverFunction = Callable[[SolverStep], Weights]
_SOLVER_WEIGHTS: dict[str, SolverFunction] = {
    "ddpm": _ddpm,
    "ddim": _ddim,
    "dpm++2m": _dpm_solver_2m,
    "euler": _ddim,  # on a straight path the deterministic DDIM step is Euler's
}


def solver_names() -> tuple[str, ...]:
    """The solvers of this package, then those of others; none of them takes a name of this package's."""
    return (*SOLVERS, *sorted(registered_names(GROUP) - set(SOLVERS)))


def solver_version_of(solver: str) -> dict[str, str]:
    """What a case records of a solver of another package: its package and version; nothing for one of this package."""
    return {} if solver in SOLVERS else registered_version(GROUP, solver, "solver")


def _known(solver: str) -> str:
    if solver not in SOLVERS and registered(GROUP, solver) is None:
        *first, last = (f"'{name}'" for name in solver_names())
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": f"{', '.join(first)} or {last}"}
        )
    return solver


Solver = Annotated[str, AfterValidator(_known)]
"""Name of a solver, of this package or another."""


def _function(solver: str) -> SolverFunction:
    """A solver by its name.

    Raises:
        RequestError: the function of another package cannot be imported, or several packages register one.
    """
    if solver in _SOLVER_WEIGHTS:
        return _SOLVER_WEIGHTS[solver]
    point = registered(GROUP, solver)
    if point is None:
        raise RequestError(solver, "no such solver", f"there are {', '.join(solver_names())}", "name one of them")
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        # Foreign code may raise anything.
        reason = f"cannot be imported ({type(error).__name__}: {error})"
        raise RequestError(point.value, reason, f"it defines the solver '{solver}'", "correct it") from error
    if not callable(found):
        raise RequestError(point.value, "is no function", "from SolverStep to Weights", "see docs/diffusion.md")
    function: SolverFunction = found
    return function


def solver_weights(schedule: NoiseSchedule, times: list[int], solver: str, stochasticity: float = 0.0) -> list[Weights]:
    """Weights of every step, in double precision.

    Args:
        schedule: of the noise.
        times: descending; the last is -1, the final image.
        solver: name of the solver.
        stochasticity: eta of DDIM.

    Raises:
        RequestError: the function of a solver of another package cannot be imported, or returns no ``Weights``.
    """
    weights_of = _function(solver)
    signal, noise = schedule.signal.tolist(), schedule.noise.tolist()
    levels = [*(NoiseLevel(signal[t], noise[t]) for t in times[:-1]), NoiseLevel(1.0, 0.0)]
    triples = zip(levels[:-1], levels[1:], [None, *levels[:-2]], strict=True)
    weights = [weights_of(SolverStep(*triple, stochasticity)) for triple in triples]
    if not all(isinstance(each, Weights) for each in weights):
        raise RequestError(f"solver '{solver}'", "returned no Weights", cure="see docs/diffusion.md")
    return weights
