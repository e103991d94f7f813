"""What each network learns from: real cases, synthetic ones, or both in a stated ratio."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from medsmith.errors import RequestError

RATIOS = (0.5, 1.0, 2.0, 4.0)


@final
@dataclass(frozen=True)
class Arm:
    """A mixture of cases.

    Attributes:
        name: in files and reports.
        real: number of real cases.
        synthetic: number of synthetic cases.
    """

    name: str
    real: int
    synthetic: int

    def rows(self, synthetic_available: int, seed: int) -> tuple[list[int], list[int]]:
        """Which real and which synthetic cases take part; a larger ratio holds those of a smaller one."""
        order = np.random.default_rng([seed, 1]).permutation(synthetic_available)
        return list(range(self.real)), sorted(int(row) for row in order[: self.synthetic])


def plan_arms(real: int, synthetic: int, ratios: Sequence[float] | None) -> list[Arm]:
    """The arms R, S and R + S at each ratio of synthetic to real cases.

    S alone has as many synthetic cases as the largest ratio.

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
    mixed = [Arm(f"real+{ratio:g}x", real, count) for ratio, count in zip(asked, counts, strict=True)]
    return [Arm("real", real, 0), Arm("synthetic", 0, max(counts)), *mixed]
