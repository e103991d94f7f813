"""What the stages of a training cost, by a trial of a few steps with the data of the cohort."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.fingerprint import Fingerprint, take_fingerprint
from medsmith.methods import method_class
from medsmith.methods.base import Method, Stage
from medsmith.methods.config import apply_settings
from medsmith.progress import Advance, Progress
from medsmith.training.plan import StagePlan
from medsmith.training.trial import Measured, Trial
from medsmith.training.trial_process import measured

RUN = "run"
"""Name of the run folder of trials."""


@final
@dataclass(frozen=True)
class Limits:
    """What a training may take.

    Attributes:
        gib: memory.
        minutes: time of all stages.
    """

    gib: float
    minutes: float

    def __str__(self) -> str:
        return f"{self.gib:.1f} GiB and {self.minutes:g} minutes"

    def exceeded(self, plans: Sequence[StagePlan]) -> str:
        """Which limit the stages so far exceed; empty for none."""
        if plans[-1].memory_gib > self.gib:
            return f"stage '{plans[-1].name}' takes {plans[-1].memory_gib:.1f} GiB"
        if (minutes := sum(plan.minutes for plan in plans)) > self.minutes:
            return f"{minutes:.0f} minutes up to stage '{plans[-1].name}'"
        return ""


@final
@dataclass(frozen=True)
class Choice:
    """What is trained.

    Attributes:
        method: name of the method.
        preset: the preset.
        settings: changes to it.
        facts: of the cohort.
    """

    method: str
    preset: str
    settings: tuple[str, ...]
    facts: Fingerprint

    def built(self) -> Method:
        """The untrained method."""
        kind = method_class(self.method)
        return kind(apply_settings(kind.presets[self.preset], self.settings), self.facts)


def read_facts(cohort: Cohort, progress: Progress) -> Fingerprint:
    """The fingerprint of a cohort, with the progress of both passes over it."""
    with progress.task("compute checksums", len(cohort)) as advance:
        content = cohort.content_hash(advance)
    with progress.task("read", len(cohort)) as advance:
        return take_fingerprint(_counted(cohort, advance), cohort.file_ending, content)


def _counted(cohort: Cohort, advance: Advance) -> Iterator[Case]:
    for case in cohort:
        yield case
        advance(1, case.id)


def try_stages(
    choice: Choice, cohort: Cohort, folder: Path, limits: Limits, seconds: float, progress: Progress
) -> tuple[StagePlan, ...] | str:
    """The costs of all stages with steps, or why the settings do not fit.

    Args:
        choice: what is trained.
        cohort: training cases.
        folder: for the run of the trial.
        limits: of the training.
        seconds: after which the trial is given up.
        progress: of the stages.

    Raises:
        MedsmithError: the settings do not fit the cohort, or a method from elsewhere raised an exception.
    """
    method = choice.built()
    stages, plans = stages_with_steps(method), list[StagePlan]()
    if not stages:
        return ()
    trial = Trial(
        method=choice.method,
        preset=choice.preset,
        settings=(*choice.settings, *type(method).trial_settings),
        cohort=cohort.root,
        ids=trial_ids(cohort, method),
        stages=tuple(stage.name for stage in stages),
        folder=folder / RUN,
    )
    with progress.task("try", len(stages)) as advance:
        for found in measured(trial, seconds):
            stage = stages[len(plans)]
            if isinstance(found, str):
                return f"stage '{stage.name}' {found}"
            plans.append(_stage_plan(stage.name, method.training_of(stage).steps, found))
            advance(1, stage.name)
            if exceeded := limits.exceeded(plans):
                return exceeded
    return tuple(plans)


def trial_ids(cohort: Cohort, method: Method) -> tuple[str, ...]:
    """The cases of a trial: as many of every kind as a batch has."""
    stages = stages_with_steps(method)
    count = max((method.training_of(stage).batch for stage in stages), default=0)
    labeled = set(cohort.ids_with_labels)
    pools = {
        frozenset(("image",)): cohort.ids_with_image,
        frozenset(("labels",)): cohort.ids_with_labels,
        frozenset(("image", "labels")): [id for id in cohort.ids_with_image if id in labeled],
    }
    return tuple(sorted({id for stage in stages for id in pools[frozenset(stage.inputs)][:count]}))


def stages_with_steps(method: Method) -> Sequence[Stage]:
    """The stages that train networks."""
    return [stage for stage in method.stages() if stage.parts]


def _stage_plan(name: str, steps: int, found: Measured) -> StagePlan:
    return StagePlan(
        name=name,
        steps=steps,
        seconds_per_step=round(found.seconds_per_step, 4),
        minutes=round(steps * found.seconds_per_step / 60, 1),
        memory_gib=round(found.peak_bytes / 2**30, 2),
    )
