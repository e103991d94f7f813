"""A plan of a training: settings that fit cohort, memory and time, with measured costs, as an editable file."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, final

from pydantic import BaseModel, ConfigDict

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.data.fingerprint import Fingerprint, take_fingerprint
from medsmith.errors import RequestError
from medsmith.formats.json_file import read_json
from medsmith.methods import method_class
from medsmith.methods.base import Method
from medsmith.methods.config import apply_settings, validated
from medsmith.progress import NullProgress, Progress, silent
from medsmith.training.trial import Measured, Trial

TRIAL_SECONDS, START_SECONDS = 240.0, 60.0
"""A stage whose trial takes longer is too slow for this machine."""
_SHARE_OF_MEMORY = 0.8
RUN = "run"
"""Name of the run folder of trials."""


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
        raise RequestError(path, f"no preset '{plan.preset}'", f"there are {', '.join(presets)}", "name one of them")
    try:
        apply_settings(presets[plan.preset], plan.settings)
    except RequestError as error:
        raise RequestError(path, f"its settings are refused: {error.line}") from None
    return plan


def make_plan(
    method: str,
    cohort: CohortLike,
    *,
    preset: str = "tiny",
    settings: Sequence[str] = (),
    max_minutes: float = 480.0,
    max_gib: float | None = None,
    report: Callable[[str], None] = silent,
    progress: Progress | None = None,
) -> TrainingPlan:
    """The first of the method's proposals, from large to small, that fits memory and time.

    Every stage of a proposal is trained for a few steps in a process of its own, with the data of the cohort.

    Args:
        method: name of the method.
        cohort: training cases.
        preset: the preset that is changed.
        settings: changes that every proposal gets.
        max_minutes: of training, over all stages.
        max_gib: memory that training may take; None for four fifths of what is free.
        report: receives one line for each proposal that does not fit.
        progress: of the stages.

    Raises:
        RequestError: an unknown method, preset or setting, or nothing fits.
        MedsmithError: the cohort cannot be used.
    """
    cohort, kind, progress = as_cohort(cohort), method_class(method), progress or NullProgress()
    if preset not in kind.presets:
        raise RequestError(method, f"no preset '{preset}'", f"there are {', '.join(kind.presets)}")
    limit = free_gib() * _SHARE_OF_MEMORY if max_gib is None else max_gib
    facts = take_fingerprint(iter(cohort), cohort.file_ending, cohort.content_hash())
    reasons: list[str] = []
    for proposal in _proposals(kind, preset, facts):
        chosen = (*proposal, *settings)
        try:
            apply_settings(kind.presets[preset], chosen)
        except RequestError:
            apply_settings(kind.presets[preset], settings)  # are they wrong alone?
            continue
        with tempfile.TemporaryDirectory(prefix="medsmith-plan-") as folder:
            found = try_stages(method, preset, chosen, facts, cohort, Path(folder), (limit, max_minutes), progress)
        if not isinstance(found, str):
            return TrainingPlan(
                method=method, preset=preset, settings=chosen, stages=tuple(found), notes=tuple(kind.advice(facts))
            )
        reasons.append(f"{' '.join(chosen) or preset}: {found}")
        report(f"too much ({len(reasons)}), trying less: {reasons[-1]}")
    cure = "give --max-minutes or --max-gib more, or a smaller preset"
    tried = reasons[-1] if reasons else "no proposal goes with these settings"
    raise RequestError(method, f"nothing that was tried fits ({tried})", _limits(limit, max_minutes), cure)


def free_gib() -> float:
    """Free memory of this machine, or of its first GPU."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[0] / 2**30)
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def _limits(gib: float, minutes: float) -> str:
    return f"{gib:.1f} GiB and {minutes:g} minutes"


def _proposals(kind: type[Method], preset: str, facts: Fingerprint) -> Iterator[tuple[str, ...]]:
    """Those of the method, without repeats, else the preset as it is."""
    seen: set[tuple[str, ...]] = set()
    for proposal in kind.proposals(preset, facts) or ((),):
        if proposal not in seen:
            seen.add(proposal)
            yield proposal


def try_stages(
    method: str,
    preset: str,
    settings: tuple[str, ...],
    facts: Fingerprint,
    cohort: Cohort,
    folder: Path,
    limits: tuple[float, float],
    progress: Progress,
) -> list[StagePlan] | str:
    """The costs of all stages, or why the settings do not fit.

    Args:
        method: name of the method.
        preset: the preset.
        settings: changes to it.
        facts: of the cohort.
        cohort: training cases.
        folder: for the trials' run.
        limits: GiB of memory, and minutes of training over all stages.
        progress: of the stages.

    Raises:
        RequestError: the settings do not fit the cohort.
    """
    kind = method_class(method)
    built = kind(apply_settings(kind.presets[preset], settings), facts)
    stages, plans = [stage for stage in built.stages() if stage.parts], list[StagePlan]()
    base = Trial(
        method=method,
        preset=preset,
        settings=(*settings, *kind.trial_settings),
        cohort=cohort.root,
        ids=trial_ids(cohort, built),
        stage="",
        folder=folder / RUN,
    )
    with progress.task("try", len(stages)) as advance:
        for stage in stages:
            steps = built.training_of(stage).steps
            # Twelve steps' time: five and a warm-up are taken, in each number format.
            longest = START_SECONDS + 12 * limits[1] * 60 / steps
            found = _run(base.model_copy(update={"stage": stage.name}), min(TRIAL_SECONDS, longest))
            if isinstance(found, str):
                return f"stage '{stage.name}' {found}"
            plans.append(_stage_plan(stage.name, steps, found))
            advance(1, stage.name)
            if plans[-1].memory_gib > limits[0]:
                return f"stage '{stage.name}' takes {plans[-1].memory_gib:.1f} GiB"
            if (minutes := sum(plan.minutes for plan in plans)) > limits[1]:
                return f"{minutes:.0f} minutes up to stage '{stage.name}'"
    return plans


def trial_ids(cohort: Cohort, method: Method) -> tuple[str, ...]:
    """The cases of a trial: as many of every kind as a batch has."""
    stages = [stage for stage in method.stages() if stage.parts]
    count = max((method.training_of(stage).batch for stage in stages), default=0)
    labeled = set(cohort.ids_with_labels)
    pools = {
        frozenset(("image",)): cohort.ids_with_image,
        frozenset(("labels",)): cohort.ids_with_labels,
        frozenset(("image", "labels")): [id for id in cohort.ids_with_image if id in labeled],
    }
    return tuple(sorted({id for stage in stages for id in pools[frozenset(stage.inputs)][:count]}))


def _stage_plan(name: str, steps: int, found: Measured) -> StagePlan:
    return StagePlan(
        name=name,
        steps=steps,
        seconds_per_step=round(found.seconds_per_step, 4),
        minutes=round(steps * found.seconds_per_step / 60, 1),
        memory_gib=round(found.peak_bytes / 2**30, 2),
    )


def _run(trial: Trial, seconds: float) -> Measured | str:
    """What a trial took, or why it failed.

    Args:
        trial: of one stage.
        seconds: after which it is given up.

    Raises:
        RequestError: the settings do not fit the cohort.
    """
    command = [sys.executable, "-P", "-m", "medsmith.training.trial"]
    try:
        ended = subprocess.run(
            command, input=trial.model_dump_json(), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"does not finish five steps in {seconds:.0f} s"
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1]) if ended.returncode in (0, 2) else {}
    if "error" in answer:
        raise RequestError(trial.method, str(answer["error"]))
    if ended.returncode == -signal.SIGKILL:
        return "was killed, as processes are that take too much memory"
    if not answer:
        raise RuntimeError(f"the trial of stage '{trial.stage}' failed:\n{ended.stderr}")
    return Measured.model_validate(answer)
