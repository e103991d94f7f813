"""How far the stages of a run were trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import final

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from medsmith.formats.json_file import read_json
from medsmith.runs.location import find_run


@final
class StageSteps(BaseModel):
    """Steps of one stage.

    Attributes:
        done: steps that its weights were trained for.
        configured: ``steps`` of its training settings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    done: int
    configured: int

    @property
    def ended_early(self) -> bool:
        """Whether fewer steps were made than configured."""
        return self.done < self.configured

    @property
    def are_few(self) -> bool:
        """Whether fewer than half of the configured steps were made."""
        return 2 * self.done < self.configured

    def __str__(self) -> str:
        return f"{self.done} of {self.configured} steps" if self.ended_early else f"{self.done} steps"


_STEPS = TypeAdapter(dict[str, StageSteps])


def steps_by_stage(steps: Mapping[str, StageSteps]) -> str:
    """The steps of some stages on one line, such as ``117 of 2000 steps of 'image'``."""
    return ", ".join(f"{each} of '{name}'" for name, each in steps.items())


def few_steps_warnings(run: Path | str) -> list[str]:
    """One line if some stage of a run made fewer than half of its configured steps; none if that is not recorded.

    Networks are not loaded, nor what else they need.

    Args:
        run: a run folder, or the name of shipped weights.

    Raises:
        RunError: there is no such run.
        FileError: its record cannot be read.
    """
    steps = _recorded(find_run(run))
    few = {name: each for name, each in steps.items() if each.are_few}
    if not few:
        return []
    made = steps_by_stage(few) if len(steps) > 1 else str(*few.values())
    return [f"{run} has {made}: what it makes may be noise"]


def _recorded(folder: Path) -> dict[str, StageSteps]:
    """Stage -> steps; empty in older runs, and in a damaged record, which is refused when the run is loaded."""
    try:
        return _STEPS.validate_python(read_json(folder / "run.json").get("steps", {}))
    except ValidationError:
        return {}
