"""Make a case again from its provenance, and compare bytes."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medsmith.errors import FileError, SynthesisError
from medsmith.formats.json_file import read_json
from medsmith.formats.opening import read_bytes
from medsmith.interruption import held_back
from medsmith.layouts import PROVENANCE
from medsmith.synthesis.crew import Crew
from medsmith.synthesis.plan import read_plan, run_as_read
from medsmith.synthesis.process import Patience
from medsmith.synthesis.tasks import LOADER, CaseTask, Order, Recipe, first_difference

_RECIPE = frozenset(Recipe.model_fields) - {"seed"}


def regenerate(
    out: Path | str,
    case_id: str,
    *,
    run: Path | str | None = None,
    loader: str = LOADER,
    patience: Patience | None = None,
) -> tuple[str, ...]:
    """Make a synthetic case again and compare every file with the one in the cohort, byte by byte.

    Args:
        out: the cohort.
        case_id: the case.
        run: the run that made it; None looks where the cohort's plan says.
        loader: ``module:function`` that loads the run.
        patience: when the worker counts as hung.

    Returns:
        The files compared, as paths within the cohort. All are the same.

    Raises:
        SynthesisError: a file differs, or the run is not the one that made the case.
        FileError: there is no such synthetic case.
        RunError: the run cannot be used.
    """
    out = Path(out)
    record = _read_record(out, case_id)
    recipe, index = _recipe(out / PROVENANCE / f"{case_id}.json", record)
    where = run_as_read(read_plan(out).run, out) if run is None else str(run)
    order = Order(
        run=where,
        loader=loader,
        device=recipe.device,
        seed=recipe.seed,
        request=recipe.request,
        solver=recipe.solver,
        steps=recipe.steps,
        limits=recipe.limits,
    )
    with held_back() as stop, Crew(order, 1, patience or Patience(), stop) as crew, _scratch() as scratch:
        here, _ = crew.settled()
        difference = first_difference(recipe.model_dump(mode="json"), here.model_dump(mode="json"))
        if difference:
            raise SynthesisError(where, f"did not make {case_id}: {difference}", cure="name the run that did (--run)")
        task = CaseTask(run=where, loader=loader, recipe=recipe, index=index)
        (outcome,) = crew.work([task], scratch)
        if outcome.ended != "made" or task.id != case_id:
            reason = outcome.reason or f"its recipe makes {task.id}, {outcome.ended}"
            raise SynthesisError(case_id, f"could not be made again ({reason})")
        return _compared(out, scratch, case_id, record)


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
