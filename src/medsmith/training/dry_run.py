"""What a call of training would do and take, from a few steps of each stage in a temporary folder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, final

import numpy as np
import torch

from medsmith.cases.cohort import Cohort
from medsmith.data.case_cache import LARGEST_BYTES, CaseCache
from medsmith.data.fingerprint import Fingerprint
from medsmith.errors import RequestError, counted, similar
from medsmith.formats.folders import check_can_be_made, check_outside
from medsmith.formats.opening import format_bytes
from medsmith.formats.temporary import temporary_folder
from medsmith.methods import method_class
from medsmith.methods.base import Stage
from medsmith.methods.config import apply_settings
from medsmith.progress import NullProgress, Progress
from medsmith.runs.checkpoints import build_method
from medsmith.runs.folder import DECODED, EXAMPLES, StageCheckpoints
from medsmith.training.budget import Budget
from medsmith.training.devices import check_batches, device_count
from medsmith.training.plan import StagePlan
from medsmith.training.stage_costs import RUN, Choice, Limits, read_facts, trial_ids, try_stages
from medsmith.training.start import RunRequest, check_folder, check_stage, start_run
from medsmith.training.started_from import settings_like

TRIAL_SECONDS = 240.0
"""A stage whose trial takes longer is too slow for this machine."""


@final
@dataclass(frozen=True)
class TrainingForecast:
    """What a call would do and take.

    Attributes:
        run: the run folder.
        cases: number of the cohort's.
        stages: measured costs; their steps are those that are left.
        done: stage -> steps that earlier calls made.
        minutes: of all steps that are left, as far as the budget lets them, less the training of earlier calls.
        examples_bytes: of the prepared cases, which ``medsmith clean`` removes.
        decoded_bytes: of the decoded cases while a new run starts.
        run_bytes: of weights and checkpoints.
    """

    run: Path
    cases: int
    stages: tuple[StagePlan, ...]
    done: dict[str, int]
    minutes: float
    examples_bytes: int
    decoded_bytes: int
    run_bytes: int

    @property
    def memory_gib(self) -> float:
        """Largest of all stages."""
        return max((stage.memory_gib for stage in self.stages), default=0.0)

    @property
    def _limited(self) -> str:
        """Says so where the budget ends the training before its last step."""
        return (
            ", all that the limit of time leaves," if self.minutes < sum(each.minutes for each in self.stages) else ""
        )

    @property
    def lines(self) -> list[str]:
        """The forecast in lines."""
        steps = (
            f"{stage.name}: {stage.steps:,} steps to make, {self.done[stage.name]:,} are made; "
            f"{stage.seconds_per_step:.2g} s a step: {stage.minutes:.1f} min, {stage.memory_gib:.1f} GiB"
            for stage in self.stages
        )
        examples, weights = format_bytes(self.examples_bytes), format_bytes(self.run_bytes)
        costs = (
            f"time: about {self.minutes:.1f} min{self._limited} in one process, without reading the cases; "
            f"memory: {self.memory_gib:.1f} GiB"
        )
        return [
            f"{self.run}: training on {counted(self.cases, 'case')}; nothing was written",
            *steps,
            costs if self.stages else "nothing to train: the cohort is read once",
            f"disk: {weights} of weights and checkpoints, about {examples} of prepared cases, "
            f"{format_bytes(self.decoded_bytes)} of decoded ones while a run starts",
        ]

    def as_json(self) -> dict[str, Any]:
        """The forecast as JSON values."""
        return {
            "run": self.run,
            "cases": self.cases,
            "stages": [stage.model_dump(mode="json") for stage in self.stages],
            "steps_done": self.done,
            "minutes": self.minutes,
            "memory_gib": self.memory_gib,
            "examples_bytes": self.examples_bytes,
            "decoded_bytes": self.decoded_bytes,
            "run_bytes": self.run_bytes,
        }


def forecast(
    method: str,
    cohort: Cohort,
    run: Path,
    preset: str,
    settings: Sequence[str],
    seed: int,
    budget: Budget,
    devices: int | None = None,
    start_from: Path | str | None = None,
    progress: Progress | None = None,
) -> TrainingForecast:
    """What ``train`` with these arguments would do and take.

    Args:
        method: name of the method.
        cohort: training cases.
        run: the run folder.
        preset: the preset.
        settings: changes to it.
        seed: of the run.
        budget: of the call.
        devices: number of its processes, None as in ``train``; the trials are made in one.
        start_from: weights to start from, as in ``train``.
        progress: of the trials.

    Raises:
        MedsmithError: as of that call, as far as it is known after a few steps.
    """
    check_outside(run, (cohort.root,))
    check_can_be_made(run)
    progress = progress or NullProgress()
    count = device_count(devices, "cuda" if torch.cuda.is_available() else "cpu")
    preset, given = settings_like(start_from, method, settings) if start_from is not None else (preset, tuple(settings))
    request = RunRequest(method, preset, given, seed, budget.stage, "cpu", budget, monotonic(), start_from)
    facts = _facts(request, cohort, run, progress)
    choice = Choice(method, preset, given, facts)
    built = choice.built()
    check_batches(count, built)
    stages = built.stages()
    check_stage(method, stages, budget.stage)
    with temporary_folder("medsmith-dry-run-", f"{method} on {cohort.root}") as place:
        limits, seconds = Limits(math.inf, math.inf), TRIAL_SECONDS * len(stages)
        costs = try_stages(choice, cohort, place, limits, seconds, progress)
        if isinstance(costs, str):
            raise RequestError(method, costs, cure="choose smaller settings: medsmith plan finds them")
        examples, all_of_it = _size(place / RUN / EXAMPLES), _size(place / RUN)
    wanted = [stage for stage in costs if budget.stage in (None, stage.name)]
    done = {stage.name: _steps_done(run, stage.name) for stage in wanted}
    left = tuple(_left(stage, done[stage.name], budget) for stage in wanted)
    return TrainingForecast(
        run=run,
        cases=len(cohort),
        stages=left,
        done=done,
        minutes=min(sum(stage.minutes for stage in left), _minutes_left(budget, run, stages)),
        examples_bytes=examples * len(cohort) // max(len(trial_ids(cohort, built)), 1),
        decoded_bytes=_decoded(facts, len(cohort)),
        run_bytes=all_of_it - examples,
    )


def _minutes_left(budget: Budget, run: Path, stages: Sequence[Stage]) -> float:
    """Of the budget, less the training of earlier calls."""
    limit = budget.minutes if budget.elapsed_minutes is None else budget.elapsed_minutes
    trained = sum(_seconds_trained(run, stage.name) for stage in stages) / 60
    return math.inf if limit is None else max(limit - trained, 0.0)


def _facts(request: RunRequest, cohort: Cohort, run: Path, progress: Progress) -> Fingerprint:
    """The facts of the cohort: those of the run that would be continued, after its checks, or measured."""
    kind = method_class(request.method)
    if request.preset not in kind.presets:
        limit, cure = f"there are {', '.join(kind.presets)}", similar(request.preset, kind.presets)
        raise RequestError(request.method, f"no preset '{request.preset}'", limit, cure)
    apply_settings(kind.presets[request.preset], request.settings)
    if run.exists():
        check_folder(run)
    if (run / "run.json").is_file():
        record = start_run(request, cohort, run, CaseCache(cohort, run, 0), progress)
        build_method(record, seed=0)
        return record.fingerprint
    return read_facts(cohort, progress)


def _left(stage: StagePlan, done: int, budget: Budget) -> StagePlan:
    """The costs of the steps that are left."""
    steps = max((budget.steps or stage.steps) - done, 0)
    return stage.model_copy(update={"steps": steps, "minutes": round(steps * stage.seconds_per_step / 60, 1)})


def _steps_done(run: Path, stage: str) -> int:
    return next((checkpoint.step for checkpoint in StageCheckpoints(run, stage).entries()), 0)


def _seconds_trained(run: Path, stage: str) -> float:
    return next((checkpoint.seconds for checkpoint in StageCheckpoints(run, stage).entries()), 0.0)


def _size(folder: Path) -> int:
    """Bytes of all files below a folder, decoded cases left out."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if DECODED not in path.relative_to(folder).parts)


def _decoded(facts: Fingerprint, count: int) -> int:
    """Bytes of as many cases of the typical shape."""
    voxel = len(facts.channel_names) * np.dtype(facts.stored).itemsize + (facts.labeled != 0)
    return min(math.prod(facts.shape) * voxel * count, LARGEST_BYTES)
