"""A plan of a training: settings that fit cohort, memory and time, with measured costs, as an editable file."""

from pathlib import Path
from typing import final

from pydantic import BaseModel, ConfigDict

from medsmith.errors import RequestError, similar
from medsmith.formats.json_file import read_json
from medsmith.methods import method_class
from medsmith.methods.config import apply_settings, validated


@final
class StagePlan(BaseModel):
    """The cost of one stage.

    Attributes:
        name: of the stage.
        steps: as configured.
        seconds_per_step: measured.
        minutes: of all steps.
        memory_gib: measured peak of the training process; of the GPU where there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    steps: int
    seconds_per_step: float
    minutes: float
    memory_gib: float


@final
class TrainingPlan(BaseModel):
    """Settings of a training, and what they cost here.

    Attributes:
        method: name of the method.
        preset: the preset that is changed.
        settings: changes to it, ``key=value``; may be edited.
        stages: measured costs.
        notes: what the cohort suggests besides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    preset: str
    settings: tuple[str, ...]
    stages: tuple[StagePlan, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def minutes(self) -> float:
        """Of all stages."""
        return sum(stage.minutes for stage in self.stages)

    @property
    def memory_gib(self) -> float:
        """Largest of all stages."""
        return max((stage.memory_gib for stage in self.stages), default=0.0)

    @property
    def lines(self) -> list[str]:
        """Costs and settings, for the terminal."""
        if not self.stages:
            settings = " ".join(self.settings) or "none"
            said = f"{self.method} has nothing to train: medsmith train reads the cohort once; settings: {settings}"
            return [said, *self.notes]
        return [
            *(
                f"{stage.name}: {stage.steps} steps of {stage.seconds_per_step:.2f} s: {stage.minutes:.0f} minutes"
                f", {stage.memory_gib:.1f} GiB"
                for stage in self.stages
            ),
            f"{self.minutes:.0f} minutes in all, at most {self.memory_gib:.1f} GiB; "
            f"settings: {' '.join(self.settings)}",
            *self.notes,
        ]


def read_plan(path: Path, method: str) -> TrainingPlan:
    """Read a plan that may have been edited.

    Raises:
        FileError: it cannot be read.
        RequestError: it is no plan, one of another method, or its preset or a setting does not exist.
    """
    plan = validated(TrainingPlan, str(path), read_json(path))
    if plan.method != method:
        raise RequestError(path, f"is a plan for {plan.method}", f"{method} is asked for", "name that method")
    presets = method_class(method).presets
    if plan.preset not in presets:
        cure = similar(plan.preset, presets, "name one of them")
        raise RequestError(path, f"no preset '{plan.preset}'", f"there are {', '.join(presets)}", cure)
    try:
        apply_settings(presets[plan.preset], plan.settings)
    except RequestError as error:
        raise RequestError(path, f"its settings are refused: {error.line}") from None
    return plan
