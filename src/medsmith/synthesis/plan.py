"""The plan of a folder of synthetic cases, written before the first case, so that a later call can resume it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medsmith.errors import FileError, SynthesisError
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.formats.validation import first_problem
from medsmith.synthesis.tasks import Recipe, first_difference

PLAN = "synthesis.json"
_CURE = "choose a new folder, or ask for what the folder holds"

Model = TypeVar("Model", bound=BaseModel)


@final
class Plan(BaseModel):
    """The content of synthesis.json.

    Attributes:
        format: version of the file format.
        count: number of cases that the folder is to hold.
        run: the run folder relative to the cohort, or the name of shipped weights.
        paths: dotted key of a cohort or file in the request -> its path relative to this cohort.
        recipe: what all cases share.
        shard: the part of the cases that the folder holds, such as 2/8; None for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    count: int = Field(ge=1)
    run: str
    paths: Mapping[str, str] = {}
    recipe: Recipe
    shard: str | None = None


def check_plan(out: Path, plan: Plan) -> None:
    """Check that a plan that a folder may have is of the same recipe and part; a larger count extends it.

    Raises:
        SynthesisError: it differs; the message names the first key that does.
        FileError: it cannot be read.
    """
    path = out / PLAN
    if not path.exists():
        return
    stored = read_plan(out)
    difference = first_difference(stored.recipe.model_dump(mode="json"), plan.recipe.model_dump(mode="json"))
    if difference:
        raise SynthesisError(path, f"another plan: {difference}", "one folder has one recipe", _CURE)
    if plan.shard != stored.shard:
        found = f"another plan: shard is {stored.shard or 'none'} there and {plan.shard or 'none'} here"
        raise SynthesisError(path, found, "one folder has one shard", _CURE)
    if plan.count < stored.count:
        found = f"another plan: count is {stored.count} there and {plan.count} here"
        raise SynthesisError(path, found, "a count can only grow", _CURE)


def write_plan(out: Path, plan: Plan) -> None:
    """Write the plan, after ``check_plan``.

    Raises:
        SynthesisError: the folder has another plan.
        FileError: the plan cannot be read or written.
    """
    check_plan(out, plan)
    content = plan.model_dump(mode="json")
    if plan.shard is None:
        del content["shard"]
    write_json(out / PLAN, content)


def read_plan(out: Path) -> Plan:
    """The plan of a folder.

    Raises:
        FileError: it is missing or damaged.
    """
    return parsed(Plan, out / PLAN)


def parsed(model: type[Model], path: Path, drop: frozenset[str] = frozenset()) -> Model:
    """Read a JSON file as a pydantic model.

    Args:
        model: class of the content.
        path: the file.
        drop: keys to ignore.

    Raises:
        FileError: it is missing or damaged; the message names the key.
    """
    values = {key: value for key, value in read_json(path).items() if key not in drop}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = first_problem(error)
        raise FileError(path, problem.found, problem.limit, "restore it") from None


def relative_paths(paths: Mapping[str, str], out: Path) -> dict[str, str]:
    """Paths relative to the cohort, so that all can be moved together."""
    return {key: os.path.relpath(path, out) for key, path in paths.items()}


def resolve_paths(paths: Mapping[str, str], out: Path) -> dict[str, str]:
    """Inverse of ``relative_paths``."""
    return {key: os.path.normpath(out / path) for key, path in paths.items()}


def relative_run(run: str, out: Path) -> str:
    """The path of a run folder relative to the cohort; the name of shipped weights unchanged."""
    return os.path.relpath(run, out) if Path(run).is_dir() else run


def resolve_run(run: str, out: Path) -> str:
    """Inverse of ``relative_run``."""
    folder = out / run
    return str(folder) if folder.is_dir() else run
