"""How long to train."""

import math
from dataclasses import dataclass
from typing import final

from medsmith.errors import RequestError


@final
@dataclass(frozen=True)
class Budget:
    """How long to train; whatever is reached first ends a stage.

    Attributes:
        steps: steps of each stage; None takes the config's.
        minutes: minutes of all stages together, those of earlier calls counted in.
        stage: the one stage to train; None trains all in order.
        checkpoint_seconds: time between checkpoints.
    """

    steps: int | None = None
    minutes: float | None = None
    stage: str | None = None
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise RequestError("training", f"{self.steps} steps", "at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise RequestError("training", f"{self.minutes} minutes", "more than 0")

    def share_spent(self, step: int, seconds: float, planned: int, stages: int) -> float:
        """How much of one stage's part is spent: 1 at its end.

        Args:
            step: steps that the stage has done.
            seconds: of training that led there.
            planned: steps of each stage in the config.
            stages: number of stages of the method; they share the minutes alike.
        """
        allowed = math.inf if self.minutes is None else self.minutes * 60 / (1 if self.stage else stages)
        return min(1.0, max(step / (self.steps or planned), seconds / allowed))
