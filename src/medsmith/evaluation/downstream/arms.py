"""The arms of the utility experiment: training on real cases, synthetic cases, one then the other, or a mixture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from medsmith.errors import RequestError

RATIOS = (0.5, 1.0, 2.0, 4.0)


@final
@dataclass(frozen=True)
class TrainingPhase:
    """The training set of one phase of training.

    Attributes:
        real: number of real cases.
        synthetic: number of synthetic cases.
    """

    real: int
    synthetic: int

    def rows(self, synthetic_available: int, seed: int) -> tuple[list[int], list[int]]:
        """Indices of the real and of the synthetic cases; a larger training set contains the smaller ones."""
        order = np.random.default_rng([seed, 1]).permutation(synthetic_available)
        return list(range(self.real)), sorted(int(row) for row in order[: self.synthetic])


@final
@dataclass(frozen=True)
class Arm:
    """The training data of one network.

    Attributes:
        name: as shown in reports.
        phases: in order; each takes an equal share of the gradient steps.
    """

    name: str
    phases: tuple[TrainingPhase, ...]

    @property
    def real(self) -> int:
        """Number of real cases."""
        return max(phase.real for phase in self.phases)

    @property
    def synthetic(self) -> int:
        """Number of synthetic cases."""
        return max(phase.synthetic for phase in self.phases)

    @property
    def stem(self) -> str:
        """Stem of its file names."""
        return "-then-".join(f"real{phase.real}-synthetic{phase.synthetic}" for phase in self.phases)


def plan_arms(real: int, synthetic: int, ratios: Sequence[float] | None) -> list[Arm]:
    """The arms R, S, S then R, and R + S at each ratio of synthetic to real cases.

    S alone and S then R use as many synthetic cases as the largest ratio.

    Args:
        real: number of real training cases.
        synthetic: number of available synthetic cases.
        ratios: requested; None takes those of 0.5, 1, 2 and 4 for which there are enough synthetic cases.

    Raises:
        RequestError: a ratio needs more synthetic cases than there are, or is not above 0.
    """
    possible = [ratio for ratio in RATIOS if 1 <= round(ratio * real) <= synthetic]
    requested = possible if ratios is None else sorted(set(ratios))
    for ratio in requested:
        if not (math.isfinite(ratio) and ratio > 0):
            raise RequestError("ratio", f"{ratio:g}", "a number above 0", "choose another")
    counts = [round(ratio * real) for ratio in requested]
    if not counts or min(counts) < 1 or max(counts) > synthetic:
        listed = ", ".join(f"{ratio:g}" for ratio in requested) or "none"
        limit = f"{synthetic} synthetic cases for {real} real ones allow up to {synthetic / real:.2f}"
        raise RequestError("ratio", f"{listed} requested", limit, "make more cases or request a smaller ratio")
    r, s = TrainingPhase(real, 0), TrainingPhase(0, max(counts))
    mixed = [
        Arm(f"real+{ratio:g}x", (TrainingPhase(real, count),)) for ratio, count in zip(requested, counts, strict=True)
    ]
    return [Arm("real", (r,)), Arm("synthetic", (s,)), Arm("synthetic then real", (s, r)), *mixed]
