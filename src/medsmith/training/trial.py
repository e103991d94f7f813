"""A few steps of one stage in a process of its own, to learn their time and memory: ``medsmith.training.trial``.

Reads a ``Trial`` as JSON from standard input and writes a ``Measured`` as JSON to standard output. It is the training
itself, with its data, checkpoints and previews, on as many cases as a batch has.
"""

import json
import resource
import sys
from pathlib import Path
from typing import final

import torch
from pydantic import BaseModel, ConfigDict

from medsmith.cases.cohort import Cohort
from medsmith.errors import MedsmithError
from medsmith.runs.folder import StageCheckpoints
from medsmith.training.budget import Budget
from medsmith.training.run import train

WARM_UP, TIMED = 2, 3
"""Steps that are not timed, and steps that are."""


@final
class Trial(BaseModel):
    """What is tried.

    Attributes:
        method: name of the method.
        preset: the preset.
        settings: changes to it.
        cohort: folder.
        ids: of the cases that are used.
        stage: the stage; those that it needs have been tried in the same folder.
        folder: a run folder for trials alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    preset: str
    settings: tuple[str, ...]
    cohort: Path
    ids: tuple[str, ...]
    stage: str
    folder: Path


@final
class Measured(BaseModel):
    """What a trial took.

    Attributes:
        seconds_per_step: mean over the timed steps.
        peak_bytes: largest memory of the process; of the GPU where there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds_per_step: float
    peak_bytes: int


def measure(trial: Trial) -> Measured:
    """Train a few steps.

    Raises:
        MedsmithError: the settings do not fit the cohort.
    """
    cohort, seconds = Cohort.open(trial.cohort).subset(trial.ids), []
    for steps in (WARM_UP, WARM_UP + TIMED):
        budget = Budget(steps=steps, stage=trial.stage)
        train(trial.method, cohort, trial.folder, preset=trial.preset, settings=trial.settings, budget=budget)
        found = StageCheckpoints(trial.folder, trial.stage).newest()
        assert found is not None
        seconds.append(found[1].seconds)
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = torch.cuda.max_memory_reserved() if torch.cuda.is_available() else kib * 1024
    return Measured(seconds_per_step=(seconds[1] - seconds[0]) / TIMED, peak_bytes=peak)


def main() -> int:
    """Exit code 0 with what was measured, or 2 with one line that says what does not fit."""
    trial = Trial.model_validate_json(sys.stdin.read())
    try:
        print(measure(trial).model_dump_json())
    except MedsmithError as error:
        print(json.dumps({"error": error.line}))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
