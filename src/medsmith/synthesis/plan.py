"""What a folder of synthetic cases is to become: written before the first case, so that any start continues it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medsmith.errors import FileError, SynthesisError
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.synthesis.tasks import Recipe, first_difference

PLAN = "synthesis.json"
_ELSE = "choose a new folder, or ask for what the folder holds"

Model = TypeVar("Model", bound=BaseModel)


@final
class Plan(BaseModel):
    """The content of synthesis.json.

    Attributes:
        format: of this file.
        count: cases that the folder is to hold.
        run: the run folder relative to the cohort, or the name of shipped weights.
        places: dotted key of the request that names a cohort or files -> where they lie, relative to the cohort.
        recipe: what the cases share.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    count: int = Field(ge=1)
    run: str
    places: Mapping[str, str] = {}
    recipe: Recipe


def agree(out: Path, plan: Plan) -> None:
    """Write the plan, or find that the folder's own says the same; a larger count extends it.

    Raises:
        SynthesisError: the folder's plan differs; the line names the first key that does.
        FileError: the plan cannot be read or written.
    """
    path = out / PLAN
    if path.exists():
        there = read_plan(out)
        difference = first_difference(there.recipe.model_dump(mode="json"), plan.recipe.model_dump(mode="json"))
        if difference:
            raise SynthesisError(path, f"another plan: {difference}", "one folder has one recipe", _ELSE)
        if plan.count < there.count:
            found = f"another plan: count is {there.count} there and {plan.count} here"
            raise SynthesisError(path, found, "a count can only grow", _ELSE)
    write_json(path, plan.model_dump(mode="json"))


def read_plan(out: Path) -> Plan:
    """The plan of a folder.

    Raises:
        FileError: there is none, or it is damaged.
    """
    return parsed(Plan, out / PLAN)


def parsed(model: type[Model], path: Path, drop: frozenset[str] = frozenset()) -> Model:
    """A JSON file as a model.

    Args:
        model: what it holds.
        path: the file.
        drop: keys that are no part of the model.

    Raises:
        FileError: it is missing or damaged; the line names the key.
    """
    values = {key: value for key, value in read_json(path).items() if key not in drop}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise FileError(path, f"{key}: {first['msg']}", cure="restore it") from None


def places_as_written(places: Mapping[str, str], out: Path) -> dict[str, str]:
    """Places relative to the cohort: all may move together."""
    return {key: os.path.relpath(place, out) for key, place in places.items()}


def places_as_read(places: Mapping[str, str], out: Path) -> dict[str, str]:
    """The other way round."""
    return {key: os.path.normpath(out / place) for key, place in places.items()}


def run_as_written(run: str, out: Path) -> str:
    """A run folder relative to the cohort (both may move together); the name of shipped weights as it is."""
    return os.path.relpath(run, out) if Path(run).is_dir() else run


def run_as_read(run: str, out: Path) -> str:
    """The other way round."""
    folder = out / run
    return str(folder) if folder.is_dir() else run
