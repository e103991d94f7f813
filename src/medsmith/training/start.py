"""Start of a run: its record, which must equal that of the folder it continues, and its number format."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, cast, final

from pydantic import BaseModel

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.case_cache import CaseCache
from medsmith.data.fingerprint import Fingerprint, take_fingerprint
from medsmith.errors import CohortError, RequestError, RunError, TrainingError, similar
from medsmith.formats.atomic import visible_names, write_json
from medsmith.formats.opening import read_bytes
from medsmith.methods import method_class
from medsmith.methods.base import Method, MethodConfig, Stage
from medsmith.methods.config import apply_settings, flat_settings, validated
from medsmith.methods.elsewhere import version_of
from medsmith.preparation.quality import check_image
from medsmith.progress import Progress
from medsmith.runs.checkpoints import RunRecord, build_method, check_record, library_versions, read_record
from medsmith.runs.folder import CHECKPOINTS, DECODED, EXAMPLES
from medsmith.runs.method_version import check_same_method
from medsmith.runs.model_card import is_model_card
from medsmith.training.budget import Budget
from medsmith.training.examples import PREPARED
from medsmith.training.number_format import FormatTrial, choose_compute
from medsmith.training.started_from import check_same_start, copy_start

_OTHER_FOLDER = "choose another run folder"
_CHANGED_COHORT = (
    "it is another cohort, or its cases, labels or reports have changed since (describe writes reports); "
    + _OTHER_FOLDER
)
_HASH_DIGITS = 16


@final
@dataclass(frozen=True)
class RunRequest:
    """The settings of a run, as requested.

    Attributes:
        method: name of the method.
        preset: the preset on which the config is based.
        settings: changes to it, ``key=value``.
        seed: of initial weights, batches and noise.
        stage: the one stage to train; None for all.
        device: type of the device.
        budget: of the call. Minutes are divided over stages by their steps, which must be timed for that.
        started: when the call started, by the monotonic clock.
        source: run or shipped weights to start from; None for random weights.
    """

    method: str
    preset: str
    settings: tuple[str, ...]
    seed: int
    stage: str | None
    device: str
    budget: Budget
    started: float
    source: Path | str | None = None


def start_run(request: RunRequest, cohort: Cohort, folder: Path, cases: CaseCache, progress: Progress) -> RunRecord:
    """Write the record of a new run, or read that of the folder and check that it is the same run.

    Args:
        request: settings of the run.
        cohort: training cases.
        folder: the run folder.
        cases: a cache of the same cases.
        progress: where to show progress.

    Raises:
        RequestError: an unknown method, preset, stage or setting, or a grid of other dimensions than the cohort's.
        RunError: the folder holds a run that differs in the method, its config, its seed or its cohort.
    """
    kind = method_class(request.method)
    if request.preset not in kind.presets:
        limit, cure = f"there are {', '.join(kind.presets)}", similar(request.preset, kind.presets)
        raise RequestError(request.method, f"no preset '{request.preset}'", limit, cure)
    config = apply_settings(kind.presets[request.preset], request.settings)
    with progress.task("compute checksums", len(cohort)) as advance:
        cohort_hash = cohort.content_hash(advance)
    if (folder / "run.json").is_file():
        check_record(folder)
        record = read_record(folder)
        wanted = {"method": request.method, "preset": request.preset, "seed": request.seed, "cohort": cohort_hash}
        check_same_start(folder, record, request.source)
        _check_same(folder, record, wanted, config, cohort.root)
        check_same_method(folder, record.method, record.versions)
        method = build_method(record, seed=0)
        check_stage(request.method, method.stages(), request.stage)
        if unknown := {stage.name for stage in method.stages()} ^ record.compute.keys():
            found = f"compute and the stages differ in {', '.join(sorted(unknown))}"
            raise RunError(folder / "run.json", found, cure="restore it, or remove the folder to train anew")
        return record
    if len(cohort):
        there = {"image": bool(cohort.ids_with_image), "labels": bool(cohort.ids_with_labels)}
        _check_inputs(kind, there, cohort.root)
        _check_dimensions(request.method, config, cohort.geometry(cohort.ids[0]).dimensions)
    record = RunRecord(
        method=request.method,
        preset=request.preset,
        config=config.model_dump(mode="json"),
        seed=request.seed,
        fingerprint=_fingerprint(cohort, cohort_hash, cases, progress),
        compute={},
        versions=library_versions() | version_of(request.method),
    )
    facts = record.fingerprint
    _check_inputs(kind, {"image": facts.images != 0, "labels": facts.labeled != 0}, cohort.root)
    method = build_method(record, seed=0)
    check_stage(request.method, method.stages(), request.stage)
    with progress.task("try number formats", len(method.stages())) as advance:
        end = request.budget.end_of_trial(request.started, monotonic())
        trial = FormatTrial(request.device, request.budget.timed, end)
        compute = choose_compute(method, cohort.ids, cases, trial, advance)
    start = None if request.source is None else copy_start(request.source, method, folder)
    record = record.model_copy(update={"compute": compute, "started_from": start})
    write_json(folder / "run.json", record.model_dump(mode="json"))
    return record


def check_folder(folder: Path) -> None:
    """Checks that a folder is free or holds a run, before anything is written into it.

    Raises:
        RunError: it holds something else, or a file of others is in the place of the model card.
    """
    if not (folder / "run.json").is_file():
        if (folder / CHECKPOINTS).exists():
            raise RunError(folder, f"has {CHECKPOINTS} and no run.json", cure=f"restore run.json, or {_OTHER_FOLDER}")
        examples = visible_names(folder / EXAMPLES) if (folder / EXAMPLES).is_dir() else set()
        foreign = {name for name in examples if name != DECODED and not name.startswith(PREPARED)}
        if foreign | visible_names(folder) - {EXAMPLES}:
            raise RunError(folder, "holds something else (no run.json)", "a run has a folder of its own", _OTHER_FOLDER)
    elif (card := folder / "README.md").exists() and not is_model_card(read_bytes(card).decode(errors="replace")):
        raise RunError(card, "is not the model card of this run", "nothing of others is overwritten", "move it away")


def _check_inputs(kind: type[Method], there: Mapping[str, bool], root: Path) -> None:
    """Refuse a cohort in which no case has an image, or labels, that the method's networks are built for.

    Args:
        kind: of the method.
        there: "image" and "labels" -> whether some case has it.
        root: folder of the cohort.
    """
    missing = [name for name in sorted(kind.inputs) if not there[name]]
    if missing:
        lacking = " and no ".join(missing)
        needed = " and ".join(sorted(kind.inputs))
        raise TrainingError(root, f"no case has {lacking}", f"the method learns from {needed}", "add such cases")


def check_stage(name: str, stages: Sequence[Stage], asked: str | None) -> None:
    """Checks that the method of a name has a stage; None asks for all.

    Raises:
        RequestError: it has none of that name.
    """
    names = [stage.name for stage in stages]
    if asked is not None and asked not in names:
        raise RequestError(name, f"no stage '{asked}'", f"there are {', '.join(names)}", similar(asked, names))


def _check_same(folder: Path, record: RunRecord, wanted: Mapping[str, Any], config: BaseModel, cohort: Path) -> None:
    """Refuse to continue a different run; a key missing in the folder's config has its default.

    Args:
        folder: of the run.
        record: its record.
        wanted: method, preset, seed and content hash of the cohort that are asked for.
        config: likewise.
        cohort: folder of the cohort that is asked for; a run does not record that of its own.
    """
    found: dict[str, Any] = {"method": record.method, "preset": record.preset, "seed": record.seed}
    found["cohort"] = record.fingerprint.cohort_hash
    if found["method"] == wanted["method"]:
        found |= flat_settings(validated(type(config), str(folder / "run.json"), record.config))
        wanted = {**wanted, **flat_settings(config)}
    for key, value in found.items():
        if value != wanted[key]:
            if key == "cohort":
                there, now = (str(text)[:_HASH_DIGITS] for text in (value, wanted[key]))
                started = f"was started with a cohort of content {there}"
                raise RunError(folder, started, f"{cohort} has content {now}", _CHANGED_COHORT)
            raise RunError(folder, f"was started with {key} {value}", f"{wanted[key]} is requested", _OTHER_FOLDER)


def _check_dimensions(name: str, config: BaseModel, dimensions: int) -> None:
    """Refuse a grid of other dimensions than the first case has, before all cases are read."""
    kind, size = method_class(name), list(cast("MethodConfig", config).size)
    if dimensions not in kind.dimensions:
        works = " and ".join(f"{count}-D" for count in kind.dimensions)
        raise RequestError(name, f"the cohort is {dimensions}-D", f"it works in {works}", "give another cohort")
    if size and len(size) != dimensions:
        cure = f"give --set size={size[:1] * dimensions}".replace(", ", ",")
        raise RequestError("size", f"{size}", f"the cohort is {dimensions}-D", cure)


def _fingerprint(cohort: Cohort, cohort_hash: str, cases: CaseCache, progress: Progress) -> Fingerprint:
    """The fingerprint of the cohort, its values checked as by ``prepare``; single cases may lack labels.

    Raises:
        ContentError: a constant image, or a CT that is not in Hounsfield units.
        CohortError: there are label maps, and none has a labeled voxel.
    """
    with progress.task("read", len(cohort)) as advance:
        fingerprint = take_fingerprint(_checked(cases, advance), cohort.file_ending, cohort_hash)
    if fingerprint.labeled and fingerprint.foreground[1] == 0:
        raise CohortError(cohort.root, "no case has a labeled voxel", cure="give a cohort with labels")
    return fingerprint


def _checked(cases: Iterable[Case], advance: Callable[[int, str], None]) -> Iterator[Case]:
    """Yield the cases after checking the values of their images."""
    for case in cases:
        if case.image is not None:
            check_image(case)
        yield case
        advance(1, "")
