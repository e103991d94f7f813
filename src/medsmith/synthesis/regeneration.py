"""Make a case again from its provenance, and compare bytes."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medsmith.cases.layouts import PROVENANCE
from medsmith.errors import FileError, RequestError, SynthesisError
from medsmith.formats.json_file import read_json
from medsmith.formats.opening import read_bytes
from medsmith.interruption import defer_interrupts
from medsmith.synthesis.conditions import Conditions
from medsmith.synthesis.coordinator import with_hashes
from medsmith.synthesis.devices import kind_of
from medsmith.synthesis.plan import places_as_read, read_plan, run_as_read
from medsmith.synthesis.references import absolute, with_places
from medsmith.synthesis.tasks import CaseTask, Recipe, SynthesisRequest, first_difference

_RECIPE = frozenset(Recipe.model_fields) - {"seed"}


def regenerate(
    out: Path | str,
    case_id: str,
    *,
    run: Path | str | None = None,
    inputs: Mapping[str, Path | str] | None = None,
    conditions: Conditions | None = None,
) -> tuple[str, ...]:
    """Make a synthetic case again and compare every file with the one in the cohort, byte by byte.

    Args:
        out: the cohort.
        case_id: the case.
        run: the run that made it; None looks where the cohort's plan says.
        inputs: dotted key of the request that names a cohort or files, such as "templates" -> where they lie; those
            that are not given are looked for where the cohort's plan says.
        conditions: patience, loader, executor, and the device if it is of the kind that made the case.

    Returns:
        The files compared, as paths within the cohort. All are the same.

    Raises:
        SynthesisError: a file differs, or the run or an input is not the one that made the case.
        RequestError: the case was made without such an input.
        FileError: there is no such synthetic case, or an input is not where it was.
        RunError: the run cannot be used.
    """
    out, conditions = Path(out), conditions or Conditions()
    record = _read_record(out, case_id)
    recipe, index = _recipe(out / PROVENANCE / f"{case_id}.json", record)
    plan = read_plan(out)
    where = run_as_read(plan.run, out) if run is None else str(run)
    places = _places(recipe, places_as_read(plan.places, out), inputs or {})
    asked = _asked(recipe, where, places, conditions)
    with (
        defer_interrupts() as stop,
        _scratch() as scratch,
        conditions.executor(asked, 1, conditions.patience, stop) as executor,
    ):
        here = with_hashes(executor.settle())
        _check_made_by(here, recipe, where, places, case_id)
        task = CaseTask(run=where, loader=asked.loader, recipe=recipe, places=places, index=index)
        (outcome,) = executor.submit([task], scratch)
        if outcome.ended != "made" or task.id != case_id:
            reason = outcome.reason or f"its recipe makes {task.id}, {outcome.ended}"
            raise SynthesisError(case_id, f"could not be made again ({reason})")
        return _compared(out, scratch, case_id, record)


def _asked(recipe: Recipe, run: str, places: Mapping[str, str], conditions: Conditions) -> SynthesisRequest:
    """The request that the case was made for."""
    fitting = [device for device in conditions.devices if kind_of(device) == recipe.device]
    return SynthesisRequest(
        run=run,
        loader=conditions.loader,
        devices=(*fitting, recipe.device)[:1],
        seed=recipe.seed,
        request=with_places(recipe.request, places),
        solver=recipe.solver,
        steps=recipe.steps,
        limits=recipe.limits,
    )


def _read_record(out: Path, case_id: str) -> Mapping[str, Any]:
    path = out / PROVENANCE / f"{case_id}.json"
    if not path.exists():
        raise FileError(path, "does not exist", "only synthetic cases can be made again", "check the case's name")
    return read_json(path)


def _recipe(path: Path, record: Mapping[str, Any]) -> tuple[Recipe, int]:
    try:
        shared = {key: record[key] for key in _RECIPE}
        return Recipe.model_validate(shared | {"seed": record["run_seed"]}), int(record["index"])
    except (KeyError, ValueError, ValidationError) as error:
        raise FileError(path, f"is no provenance ({type(error).__name__}: {error})", cure="restore it") from None


def _places(recipe: Recipe, planned: Mapping[str, str], given: Mapping[str, Path | str]) -> dict[str, str]:
    """Where the inputs of a case lie."""
    for key in given:
        if key not in recipe.inputs:
            known = ", ".join(recipe.inputs) or "none"
            raise RequestError("--input", f"'{key}' is no input of this case", f"its inputs: {known}")
    places = {key: str(given.get(key, planned.get(key, ""))) for key in recipe.inputs}
    for key, place in places.items():
        if not place or not Path(place).exists():
            limit = f"the case was made from {key} with the hash {recipe.inputs[key][:16]}"
            found = "does not exist" if place else "is not known"
            raise FileError(place or key, found, limit, f"name them: --input {key}=PATH")
    return {key: absolute(place) for key, place in places.items()}


def _check_made_by(here: Recipe, recipe: Recipe, run: str, places: Mapping[str, str], case_id: str) -> None:
    for key, place in places.items():
        there, found = recipe.inputs[key], here.inputs.get(key, "")
        if found != there:
            raise SynthesisError(
                place,
                f"{case_id} was not made from it: its hash is {found[:16]}",
                f"{there[:16]} in the provenance",
                f"name the {key} that it was made from: --input {key}=PATH",
            )
    difference = first_difference(recipe.model_dump(mode="json"), here.model_dump(mode="json"))
    if difference:
        raise SynthesisError(run, f"did not make {case_id}: {difference}", cure="name the run that did (--run)")


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="medsmith-") as folder:
        yield Path(folder) / "cohort"


def _compared(out: Path, scratch: Path, case_id: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    again = read_json(scratch / PROVENANCE / f"{case_id}.json")
    names = sorted(again["files"])
    for name in names:
        if not (out / name).is_file() or read_bytes(out / name) != read_bytes(scratch / name):
            raise SynthesisError(out / name, "is not what its provenance makes", cure=_why(record, again))
    name = f"{PROVENANCE}/{case_id}.json"
    if read_bytes(out / name) != read_bytes(scratch / name):
        difference = first_difference(record, again) or "the same content in other bytes"
        raise SynthesisError(out / name, f"is not what it makes: {difference}", cure="the file was changed")
    return (*names, name)


def _why(record: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    difference = first_difference(record.get("versions", {}), again["versions"], "versions.")
    return f"another build made it: {difference}" if difference else "the file or its provenance was changed"
