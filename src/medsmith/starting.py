"""How a run starts: its record, equal to that of the folder it continues, and how its passes are computed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from medsmith.case import Case
from medsmith.checkpoints import RunRecord, build_method, library_versions, read_record
from medsmith.cohort import Cohort
from medsmith.compute import Compute, measured
from medsmith.config import changed, validated
from medsmith.data.batches import Batches
from medsmith.data.fingerprint import Fingerprint, take_fingerprint
from medsmith.errors import CohortError, RequestError, RunError
from medsmith.formats.atomic import write_json
from medsmith.method import Method
from medsmith.methods import method_class
from medsmith.preparation.quality import check_image
from medsmith.runs import CHECKPOINTS

_OTHER_FOLDER = "choose another run folder"
_HASH_SHOWN = 16


def start_run(
    method: str, cohort: Cohort, folder: Path, preset: str, settings: Sequence[str], seed: int, device: str
) -> RunRecord:
    """The record of a new run, written down, or that of the folder if it says the same.

    Args:
        method: name of the method.
        cohort: annotated cases.
        folder: the run folder.
        preset: the preset that the config starts from.
        settings: changes to it, ``key=value``.
        seed: of initial weights, batches and noise.
        device: type of the device.

    Raises:
        RequestError: an unknown method, preset or setting, or a grid of other dimensions than the cohort's.
        RunError: the folder holds a run that differs in the method, its config, its seed or its cohort.
    """
    kind = method_class(method)
    if preset not in kind.presets:
        raise RequestError(method, f"no preset '{preset}'", f"there are {', '.join(kind.presets)}")
    config = changed(kind.presets[preset], settings)
    cohort_hash = cohort.content_hash()
    if (folder / "run.json").is_file():
        record = read_record(folder)
        wanted = {"method": method, "preset": preset, "seed": seed, "cohort": cohort_hash}
        _check_same(folder, record, wanted, config)
        return record
    if (folder / CHECKPOINTS).exists():
        raise RunError(folder, f"has {CHECKPOINTS} and no run.json", cure=f"restore run.json, or {_OTHER_FOLDER}")
    record = RunRecord(
        method=method,
        preset=preset,
        config=config.model_dump(mode="json"),
        seed=seed,
        fingerprint=_fingerprint(cohort, cohort_hash),
        compute=Compute(),
        versions=library_versions(),
    )
    fresh = build_method(record, seed=0)
    _check_dimensions(fresh)
    record = record.model_copy(update={"compute": _choose_compute(fresh, cohort, device)})
    write_json(folder / "run.json", record.model_dump(mode="json"))
    return record


def _check_same(folder: Path, record: RunRecord, wanted: Mapping[str, Any], config: BaseModel) -> None:
    """Refuse to continue another run; a key that the folder's config lacks has its default."""
    found = {"method": record.method, "preset": record.preset, "seed": record.seed}
    found["cohort"] = record.fingerprint.cohort_hash
    if found["method"] == wanted["method"]:
        found |= _leaves(validated(type(config), str(folder / "run.json"), record.config).model_dump(mode="json"))
        wanted = {**wanted, **_leaves(config.model_dump(mode="json"))}
    for key, value in found.items():
        if value != wanted[key]:
            there, asked = (str(text)[:_HASH_SHOWN] if key == "cohort" else str(text) for text in (value, wanted[key]))
            raise RunError(folder, f"was started with {key} {there}", f"{asked} is asked for", _OTHER_FOLDER)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value, as ``--set`` writes them."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _check_dimensions(method: Method) -> None:
    size, dimensions = list(method.config.size), method.fingerprint.dimensions
    if dimensions not in method.dimensions:
        works = " and ".join(f"{count}-D" for count in method.dimensions)
        raise RequestError(method.name, f"the cohort is {dimensions}-D", f"it works in {works}", "give another cohort")
    if len(size) != dimensions:
        cure = f"set size={size[:1] * dimensions}".replace(", ", ",")
        raise RequestError("size", f"{size}", f"the cohort is {dimensions}-D", cure)


def _fingerprint(cohort: Cohort, cohort_hash: str) -> Fingerprint:
    """The cohort's facts, its values looked at as ``prepare`` does; single cases without a label are allowed.

    Raises:
        ContentError: a constant image, or a CT that is not in Hounsfield units.
        CohortError: nothing is labelled in any case.
    """
    fingerprint = take_fingerprint(map(_with_values_checked, cohort), cohort.file_ending, cohort_hash)
    if fingerprint.foreground[1] == 0:
        raise CohortError(cohort.root, "no case has a labelled voxel", cure="give a cohort with labels")
    return fingerprint


def _with_values_checked(case: Case) -> Case:
    if case.image is not None:
        check_image(case)
    return case


def _choose_compute(method: Method, cohort: Cohort, device: str) -> Compute:
    """Number format and layout of the run: as configured, or the fastest of a few training steps."""
    training = method.config.training
    if training.precision != "measured":
        method.prepare(cohort[cohort.ids[0]])  # what it refuses is refused before the run is written down
        return Compute(precision=training.precision)
    few = [method.prepare(cohort[id]) for id in cohort.ids[: training.batch]]
    batch = {key: tensor.to(device) for key, tensor in Batches(few, training.batch, 0)(0).items()}
    part = next(iter(method.stages.values()))[0]
    method.to(device)

    def step(candidate: Compute) -> float:
        method.compute = candidate
        candidate.lay_out(method)
        method.zero_grad()
        loss = method.loss(part, batch, torch.Generator().manual_seed(0))
        torch.autograd.backward(loss)
        return float(loss.detach())

    return measured(step, method.fingerprint.dimensions, device)
