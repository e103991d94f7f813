"""What the loop records: the settings of its folder, each finished turn, the control, and the seconds spent."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from pydantic import BaseModel, ConfigDict

from medsmith.annotation.measured import Measured
from medsmith.errors import CohortError, FileError, RunError
from medsmith.formats.atomic import is_free, write_json
from medsmith.formats.json_file import read_json
from medsmith.synthesis.tasks import first_difference

SETTINGS, SECONDS = "settings.json", "seconds.json"
_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@final
class ControlRecord(BaseModel):
    """The control: a labeler trained on the labeled slices alone, with as many steps as every other.

    Attributes:
        labeler: hash of its file.
        steps: gradient steps of its training.
        measured: its Dice.
    """

    model_config = _STRICT

    labeler: str
    steps: int
    measured: Measured


@final
class TurnRecord(BaseModel):
    """A finished turn.

    Attributes:
        number: from 1.
        annotated: slices that its shape space was fitted on.
        space: hash of the shape space.
        rejection: share of drawn anatomies that are illegal.
        pairs: generated pairs.
        labeler: hash of its file.
        steps: gradient steps of its training.
        measured: its Dice.
        agreement: mean Dice between its labels of the unlabeled cases and those of the turn before; None in turn 1.
        confidence: mean probability of its labels.
    """

    model_config = _STRICT

    number: int
    annotated: int
    space: str
    rejection: float
    pairs: int
    labeler: str
    steps: int
    measured: Measured
    agreement: float | None
    confidence: float


def settings_fit(out: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the folder was started with these settings; False for a new one.

    Raises:
        RunError: it was started with others; the message names the first that differs.
        CohortError: it holds something else.
    """
    path = out / SETTINGS
    if not path.exists():
        if not is_free(out):
            raise CohortError(out, f"holds something else (no {SETTINGS})", cure="choose a new folder")
        return False
    difference = first_difference(read_json(path), settings)
    if difference:
        cure = "choose a new folder, or repeat the call it was started with"
        raise RunError(out, f"was started otherwise: {difference}", "one folder, one loop", cure)
    return True


@final
class Stopwatch:
    """Seconds per step over all calls that did not die, in seconds.json.

    Args:
        out: folder of the loop.

    Raises:
        FileError: the file is damaged.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / SECONDS
        self._seconds: dict[str, float] = dict(read_json(self._path)) if self._path.exists() else {}
        for step, spent in self._seconds.items():
            if not isinstance(spent, int | float):
                found = f"{step} = {json.dumps(spent)}"
                raise FileError(self._path, found, "must be a number of seconds", "remove it; times alone are lost")

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Adds the time of the block to a step, even where it is interrupted."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(step, time.monotonic() - started)

    def add(self, step: str, seconds: float) -> None:
        """Adds to the time of a step."""
        self._seconds[step] = round(self._seconds.get(step, 0.0) + seconds, 2)
        write_json(self._path, self._seconds)

    def total(self, folder: str) -> float:
        """Seconds of all steps of a folder, such as "turn-1"."""
        return round(sum(spent for step, spent in self._seconds.items() if step.startswith(f"{folder}/")), 1)
