"""Regenerate a case from its provenance, and compare the bytes."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.errors import FileError, RequestError, SynthesisError
from medsmith.formats.json_file import read_json
from medsmith.formats.opening import read_bytes
from medsmith.formats.validation import first_problem
from medsmith.interruption import defer_interrupts
from medsmith.progress import NullProgress, Progress
from medsmith.synthesis.coordinator import with_hashes
from medsmith.synthesis.devices import check_built, kind_of
from medsmith.synthesis.options import SynthesisOptions
from medsmith.synthesis.plan import read_plan, resolve_paths, resolve_run
from medsmith.synthesis.references import absolute, with_paths
from medsmith.synthesis.tasks import CaseTask, Recipe, SynthesisRequest, first_difference

_RECIPE = frozenset(Recipe.model_fields) - {"seed"}


def regenerate(
    out: Path | str,
    case_id: str,
    *,
    run: Path | str | None = None,
    inputs: Mapping[str, Path | str] | None = None,
    options: SynthesisOptions | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Regenerate a synthetic case and compare every file with the one in the cohort, byte by byte.

    Args:
        out: the cohort.
        case_id: the case.
        run: the run that made the case; None uses the path in the cohort's plan.
        inputs: dotted key of a cohort or file in the request, such as "templates" -> its path; missing ones are taken
            from the cohort's plan.
        options: timeouts, loader and executor, and the device if it is of the kind that made the case.
        progress: of the attempts, as many as the case took.

    Returns:
        The compared files, as paths within the cohort. All are identical.

    Raises:
        SynthesisError: a file differs, or the run or an input is not the original.
        RequestError: the case has no such input.
        FileError: there is no such synthetic case, or an input is missing.
        RunError: the run cannot be used.
    """
    out, options = Path(out), options or SynthesisOptions()
    record = _read_record(out, case_id)
    recipe, index = _recipe(out / PROVENANCE / f"{case_id}.json", record)
    plan = read_plan(out)
    run = resolve_run(plan.run, out) if run is None else str(run)
    paths = _paths(recipe, resolve_paths(plan.paths, out), inputs or {})
    request = _original_request(recipe, run, paths, options)
    check_built(request.devices)
    left = _attempts(out, case_id, record)
    with (
        (progress or NullProgress()).task("regenerate", left) as advance,
        defer_interrupts() as stop,
        _scratch() as scratch,
        options.executor(request, 1, options.timeouts, stop) as executor,
    ):
        current = with_hashes(executor.resolve())
        _check_same_recipe(current, recipe, run, paths, case_id)
        task = CaseTask(run=run, loader=request.loader, recipe=recipe, paths=paths, index=index)
        for outcome in executor.submit([task], scratch):
            steps = 1 if outcome.status == "rejected" else max(left, 0)  # not every executor tells of the rejected
            left -= steps
            advance(steps, ", ".join(outcome.refused))
        if outcome.status != "made" or task.id != case_id:
            reason = outcome.reason or f"its recipe makes {task.id}, {outcome.status}"
            raise SynthesisError(case_id, f"could not be made again ({reason})")
        return _compare_files(out, scratch, case_id, record)


def _original_request(
    recipe: Recipe, run: str, paths: Mapping[str, str], options: SynthesisOptions
) -> SynthesisRequest:
    """The request from which the case was made."""
    matching = [device for device in options.devices if kind_of(device) == recipe.device]
    return SynthesisRequest(
        run=run,
        loader=options.loader,
        devices=(*matching, recipe.device)[:1],
        seed=recipe.seed,
        request=with_paths(recipe.request, paths),
        solver=recipe.solver,
        steps=recipe.steps,
        limits=recipe.limits,
        batch=recipe.batch,
    )


def _read_record(out: Path, case_id: str) -> Mapping[str, Any]:
    path = out / PROVENANCE / f"{case_id}.json"
    if not path.exists():
        raise FileError(path, "does not exist", "only synthetic cases can be made again", "check the case's name")
    return read_json(path)


def _attempts(out: Path, case_id: str, record: Mapping[str, Any]) -> int:
    """Attempts that the case took, the last of which passed every check."""
    attempt = record.get("attempt")
    if not isinstance(attempt, int):
        path = out / PROVENANCE / f"{case_id}.json"
        raise FileError(path, f"attempt = {attempt}", "must be a whole number", "restore it")
    return attempt + 1


def _recipe(path: Path, record: Mapping[str, Any]) -> tuple[Recipe, int]:
    if "run_seed" not in record:
        found, limit = "was not written by synthesize", "only synthesized cases can be made again"
        raise FileError(path, found, limit, "phantoms are drawn again by medsmith phantom with the same seed")
    index = record.get("index")
    if not isinstance(index, int):
        raise FileError(path, f"index = {index}", "must be a whole number", "restore it")
    try:
        shared = {key: record[key] for key in _RECIPE & record.keys()}
        return Recipe.model_validate(shared | {"seed": record["run_seed"]}), index
    except ValidationError as error:
        problem = first_problem(error)
        raise FileError(path, problem.found, problem.limit, "restore it") from None


def _paths(recipe: Recipe, planned: Mapping[str, str], given: Mapping[str, Path | str]) -> dict[str, str]:
    """Paths of the inputs of a case; those given take precedence over those of the plan."""
    for key in given:
        if key not in recipe.inputs:
            known = ", ".join(recipe.inputs) or "none"
            raise RequestError("--input", f"'{key}' is no input of this case", f"its inputs: {known}")
    paths = {key: str(given.get(key, planned.get(key, ""))) for key in recipe.inputs}
    lacking = {key: path for key, path in paths.items() if not path or not Path(path).exists()}
    for key, path in lacking.items():
        limit = f"the case was made from {key} with the hash {recipe.inputs[key][:16]}"
        found, named = (
            "does not exist" if path else "is not known",
            " ".join(f"--input {each}=PATH" for each in lacking),
        )
        raise FileError(path or key, found, limit, f"name what has moved: {named}")
    return {key: absolute(path) for key, path in paths.items()}


def _check_same_recipe(current: Recipe, recipe: Recipe, run: str, paths: Mapping[str, str], case_id: str) -> None:
    for key, path in paths.items():
        expected, found = recipe.inputs[key], current.inputs.get(key, "")
        if found != expected:
            raise SynthesisError(
                path,
                f"{case_id} was not made from it: its hash is {found[:16]}",
                f"{expected[:16]} in the provenance",
                f"name the {key} that it was made from: --input {key}=PATH",
            )
    difference = first_difference(recipe.model_dump(mode="json"), current.model_dump(mode="json"))
    if difference:
        raise SynthesisError(run, f"did not make {case_id}: {difference}", cure="name the run that did (--run)")


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="medsmith-") as folder:
        yield Path(folder) / "cohort"


def _compare_files(out: Path, scratch: Path, case_id: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    again = read_json(scratch / PROVENANCE / f"{case_id}.json")
    names = sorted(again["files"])
    for name in names:
        if not (out / name).is_file() or read_bytes(out / name) != read_bytes(scratch / name):
            raise SynthesisError(out / name, "is not what its provenance makes", cure=_why(record, again))
    name = f"{PROVENANCE}/{case_id}.json"
    if read_bytes(out / name) != read_bytes(scratch / name):
        difference = first_difference(record, again) or "the same content in other bytes"
        raise SynthesisError(
            out / name, f"differs from the record of the case made again: {difference}", cure="the file was changed"
        )
    return (*names, name)


def _why(record: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    difference = first_difference(record.get("versions", {}), again["versions"], "versions.")
    return f"another build made it: {difference}" if difference else "the file or its provenance was changed"
