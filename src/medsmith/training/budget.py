"""How long to train."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from medsmith.errors import RequestError

TRIAL_SHARE = 0.25
"""Of the minutes, that trials of number formats may take, besides one step of each stage."""


@final
@dataclass(frozen=True)
class Budget:
    """How long to train; the first limit reached ends a stage.

    ``minutes`` gives methods that are compared the same time to learn, whatever they do besides. ``elapsed_minutes``
    (``--max-minutes``) tells when a call ends.

    Attributes:
        steps: steps of each stage; None takes the config's.
        minutes: minutes of training over all stages and calls, without previews and checkpoints.
        elapsed_minutes: minutes of this call from its start, with reading, encoding, previews and checkpoints, and of
            the training of earlier calls. A stage that is trained ends in time; what comes before its first step is
            finished first.
        stage: the one stage to train; None trains all in order.
        checkpoint_seconds: time between checkpoints.
        started: when the call began, by the monotonic clock; None means when training was called.
    """

    steps: int | None = None
    minutes: float | None = None
    elapsed_minutes: float | None = None
    stage: str | None = None
    checkpoint_seconds: float = 60.0
    started: float | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise RequestError("max-steps", f"{self.steps}", "at least 1")
        for minutes in (self.minutes, self.elapsed_minutes):
            if minutes is not None and not minutes > 0:
                raise RequestError("max-minutes", f"{minutes:g}", "more than 0")

    @property
    def timed(self) -> bool:
        """Whether minutes limit it."""
        return self.minutes is not None or self.elapsed_minutes is not None

    def end_of_trial(self, started: float, now: float) -> float:
        """When trials of number formats are to end, by the monotonic clock: they take a part of the minutes at most.

        Args:
            started: when the call started, by the same clock.
            now: likewise.
        """
        minutes = self.minutes if self.elapsed_minutes is None else self.elapsed_minutes
        if minutes is None:
            return math.inf
        end = now + TRIAL_SHARE * minutes * 60
        return end if self.elapsed_minutes is None else min(end, started + minutes * 60)

    def end_of_call(self, started: float, trained: float) -> float:
        """When the call is to end, by the monotonic clock.

        Args:
            started: when the call started, by the same clock.
            trained: seconds of training in earlier calls.
        """
        return math.inf if self.elapsed_minutes is None else started + self.elapsed_minutes * 60 - trained

    def end_of_stage(self, needs: Sequence[float], trained: Sequence[float], now: float, end: float) -> float:
        """When the next stage is to end: the time to the end of the call, divided in proportion to need.

        Args:
            needs: expected seconds of the next stage and of those after it, all steps counted.
            trained: seconds that each was trained before.
            now: by the monotonic clock.
            end: of the call (``end_of_call``).
        """
        left = max(end - now, 0.0)
        if self.stage or math.isinf(left):
            return now + left
        own = (left + sum(trained)) * needs[0] / sum(needs) - trained[0]
        return now + min(max(own, 0.0), left)

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


PREVIEWS = 4
_SHORT = 300.0
"""Seconds of a stage below which more than one preview would take too large a share of them."""


@final
@dataclass(frozen=True)
class StageTime:
    """How long one stage may train.

    Attributes:
        allowed: seconds of training, over all calls (``Budget.seconds_for``).
        started: when this call starts to train it, by the monotonic clock.
        end: when this call is to end it (``Budget.end_of_stage``).
    """

    allowed: float
    started: float
    end: float

    def left(self, seconds: float, now: float) -> float:
        """Seconds that are left to train.

        Args:
            seconds: of training so far, over all calls.
            now: by the monotonic clock.
        """
        return min(self.allowed - seconds, self.end - now)

    @property
    def previews(self) -> int:
        """Previews of the stage, at equal shares of its time: the last alone where this call leaves it little."""
        return PREVIEWS if self.end - self.started >= _SHORT else 1

    def share_elapsed(self, now: float) -> float:
        """Share of this call's time for the stage that is over; 1 at its end, 0 where it has no end.

        Args:
            now: by the monotonic clock.
        """
        if math.isinf(self.end):
            return 0.0
        return 1.0 if now >= self.end else (now - self.started) / (self.end - self.started)
