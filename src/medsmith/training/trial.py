"""A few steps of every stage in a process of its own, to learn their time and memory: ``medsmith.training.trial``.

Reads a ``Trial`` as JSON from standard input and writes one ``Measured`` as JSON to standard output for each stage. It
is the training itself, with its data, checkpoints and previews, on as many cases as a batch has.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import final

from pydantic import BaseModel, ConfigDict

from medsmith.cases.cohort import Cohort
from medsmith.errors import MedsmithError, error_to_json
from medsmith.methods.elsewhere import fault_of
from medsmith.runs.folder import StageCheckpoints
from medsmith.training.budget import Budget
from medsmith.training.forecast import memory_gib
from medsmith.training.run import train

WARM_UP, TIMED = 1, 2
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
        stages: names, in order.
        folder: a run folder for trials alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    preset: str
    settings: tuple[str, ...]
    cohort: Path
    ids: tuple[str, ...]
    stages: tuple[str, ...]
    folder: Path


@final
class Measured(BaseModel):
    """What the trial of a stage took.

    Attributes:
        seconds_per_step: mean over the timed steps.
        peak_bytes: largest memory of the process so far; of the GPU where there is one. Training has the stages in one
            process too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds_per_step: float
    peak_bytes: int


def measure(trial: Trial) -> Iterator[Measured]:
    """Train a few steps of each stage.

    Raises:
        MedsmithError: the settings do not fit the cohort.
    """
    cohort = Cohort.open(trial.cohort).subset(trial.ids)
    for stage in trial.stages:
        seconds = []
        for steps in (WARM_UP, WARM_UP + TIMED):
            budget = Budget(steps=steps, stage=stage)
            train(trial.method, cohort, trial.folder, preset=trial.preset, settings=trial.settings, budget=budget)
            found = StageCheckpoints(trial.folder, stage).newest()
            assert found is not None
            seconds.append(found[1].seconds)
        peak = round(memory_gib() * 2**30)
        yield Measured(seconds_per_step=(seconds[1] - seconds[0]) / TIMED, peak_bytes=peak)


def main() -> int:
    """Exit code 0 with what was measured, or 2 with the error that says what does not fit."""
    trial = Trial.model_validate_json(sys.stdin.read())
    try:
        for measured in measure(trial):
            print(measured.model_dump_json(), flush=True)
    except MedsmithError as error:
        return _refused(error)
    except Exception as error:
        fault = fault_of(error)
        if fault is None:
            raise
        return _refused(fault)
    return 0


def _refused(error: MedsmithError) -> int:
    print(json.dumps({"error": error_to_json(error)}))
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
