"""What each network learns from: real cases, synthetic ones, one after the other, or both in a stated ratio."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from medsmith.errors import RequestError

RATIOS = (0.5, 1.0, 2.0, 4.0)


@final
@dataclass(frozen=True)
class Course:
    """Cases that are learnt from together.

    Attributes:
        real: number of real cases.
        synthetic: number of synthetic cases.
    """

    real: int
    synthetic: int

    def rows(self, synthetic_available: int, seed: int) -> tuple[list[int], list[int]]:
        """Which real and which synthetic cases take part; a larger number holds those of a smaller one."""
        order = np.random.default_rng([seed, 1]).permutation(synthetic_available)
        return list(range(self.real)), sorted(int(row) for row in order[: self.synthetic])


@final
@dataclass(frozen=True)
class Arm:
    """What one network learns from.

    Attributes:
        name: in files and reports.
        courses: one after the other, each for an equal share of the gradient steps.
    """

    name: str
    courses: tuple[Course, ...]

    @property
    def real(self) -> int:
        """Number of real cases."""
        return max(course.real for course in self.courses)

    @property
    def synthetic(self) -> int:
        """Number of synthetic cases."""
        return max(course.synthetic for course in self.courses)

    @property
    def stem(self) -> str:
        """Of the names of its files."""
        return "-then-".join(f"real{course.real}-synthetic{course.synthetic}" for course in self.courses)


def plan_arms(real: int, synthetic: int, ratios: Sequence[float] | None) -> list[Arm]:
    """The arms R, S, S then R, and R + S at each ratio of synthetic to real cases.

    S alone and S then R have as many synthetic cases as the largest ratio.

    Args:
        real: real training cases.
        synthetic: synthetic cases at hand.
        ratios: asked for; None takes those of 0.5, 1, 2 and 4 that the synthetic cases suffice for.

    Raises:
        RequestError: a ratio needs more synthetic cases than there are, or is not above 0.
    """
    possible = [ratio for ratio in RATIOS if 1 <= round(ratio * real) <= synthetic]
    asked = possible if ratios is None else sorted(set(ratios))
    counts = [round(ratio * real) for ratio in asked]
    if not counts or min(counts) < 1 or max(counts) > synthetic:
        listed = ", ".join(f"{ratio:g}" for ratio in asked) or "none"
        limit = f"{synthetic} synthetic cases for {real} real ones allow up to {synthetic / real:.2f}"
        raise RequestError("ratio", f"{listed} asked for", limit, "make more cases or ask for less")
    r, s = Course(real, 0), Course(0, max(counts))
    mixed = [Arm(f"real+{ratio:g}x", (Course(real, count),)) for ratio, count in zip(asked, counts, strict=True)]
    return [Arm("real", (r,)), Arm("synthetic", (s,)), Arm("synthetic then real", (s, r)), *mixed]
