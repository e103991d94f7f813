"""What a call of training reached, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.runs.steps import StageSteps, steps_by_stage
from medsmith.training.budget import Budget


@final
@dataclass(frozen=True)
class Outcome:
    """How far the stages of a run are trained.

    Attributes:
        run: the run folder.
        steps: of every stage of the method.
        budget: of the call.
        usable: whether the run folder holds weights of all stages.
    """

    run: Path
    steps: Mapping[str, StageSteps]
    budget: Budget
    usable: bool

    @property
    def lines(self) -> list[str]:
        """What can be done next, then which stages a limit ended, if one did."""
        stopped = self._stopped
        return [*self._next(bool(stopped)), *([stopped] if stopped else [])]

    def as_json(self) -> dict[str, Any]:
        """How far the stages are trained, as JSON values."""
        steps = {name: each.model_dump(mode="json") for name, each in self.steps.items()}
        return {"run": str(self.run), "usable": self.usable, "steps": steps}

    def _next(self, stopped: bool) -> list[str]:
        complete = not any(each.ended_early for each in self.steps.values())
        if self.usable:
            state = "trained" if complete else "weights saved"
            return [f"{self.run}: {state}; next: medsmith synthesize {self.run} OUT --count 100"]
        if self.budget.stage is None:
            return []
        state = "saved" if stopped else "trained"
        cure = "the same command with another stage, or without --stage"
        return [f"{self.run}: stage '{self.budget.stage}' is {state}; next: {cure}"]

    @property
    def _stopped(self) -> str:
        """The stages that a limit of the budget ended; empty if none."""
        trained = [self.budget.stage] if self.budget.stage else list(self.steps)
        early = {name: self.steps[name] for name in trained if self.steps[name].ended_early}
        by: dict[str, dict[str, StageSteps]] = {}
        for name, each in early.items():
            by.setdefault(self._limit_of(each), {})[name] = each
        if not by:
            return ""
        ended = "; ".join(f"{steps_by_stage(some)}, stopped by {limit}" for limit, some in by.items())
        larger = "larger" if len(by) > 1 else "a larger"
        return f"{self.run}: {ended}; the same command with {larger} {' and '.join(by)} continues"

    def _limit_of(self, steps: StageSteps) -> str:
        by_steps = self.budget.steps is not None and steps.done >= self.budget.steps
        return "--max-steps" if by_steps else "--max-minutes"
