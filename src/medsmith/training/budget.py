"""How long to train."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from medsmith.errors import RequestError


@final
@dataclass(frozen=True)
class Budget:
    """How long to train; the first limit reached ends a stage.

    Attributes:
        steps: steps of each stage; None takes the config's.
        minutes: minutes of training over all stages and calls, without previews and checkpoints.
        stage: the one stage to train; None trains all in order.
        checkpoint_seconds: time between checkpoints.
    """

    steps: int | None = None
    minutes: float | None = None
    stage: str | None = None
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise RequestError("max-steps", f"{self.steps}", "at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise RequestError("max-minutes", f"{self.minutes:g}", "more than 0")

    def seconds_for(self, needs: Sequence[float], spent: float) -> float:
        """Seconds that the next stage may train in all: the rest of the budget, divided in proportion to need.

        Args:
            needs: expected seconds of the next stage and of those after it.
            spent: seconds of the stages before.
        """
        if self.minutes is None:
            return math.inf
        left = max(self.minutes * 60 - spent, 0.0)
        return left if self.stage else left * needs[0] / sum(needs)

    def share_spent(self, step: int, seconds: float, planned: int, allowed: float) -> float:
        """Share of the budget of one stage that is spent; 1 at its end.

        Args:
            step: number of steps done.
            seconds: of training up to it.
            planned: its steps in the config.
            allowed: its seconds (``seconds_for``).
        """
        by_time = seconds / allowed if allowed > 0 else 1.0
        return min(1.0, max(step / (self.steps or planned), by_time))
