"""Commands that synthesize cases from trained methods."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsmith.cli import insertion, label_maps, pasting, steering
from medsmith.cli.app import all_numbers, app, cohort_facts, named_for_nnunet, pairs
from medsmith.cli.executors import executor_of, synthesis_options
from medsmith.cli.insertion import InsertionOptions
from medsmith.cli.label_maps import LabelMapOptions
from medsmith.cli.options import (
    Attempts,
    BatchOfCases,
    CaseCount,
    ClusterAddress,
    DatasetId,
    Devices,
    DryRun,
    ExecutorName,
    MethodFiles,
    NewCohort,
    NewCohortOrShards,
    OutputFormat,
    RequestFile,
    RunOrWeights,
    SamplingSteps,
    Seed,
    ShardCases,
    ShardOfCases,
    Solver,
    Workers,
)
from medsmith.cli.pasting import PastingOptions
from medsmith.cli.steering import SteeringOptions
from medsmith.cli.terminal import terminal

if TYPE_CHECKING:
    from medsmith.synthesis import Summary


def _requested(
    file: Path | None, *options: InsertionOptions | SteeringOptions | LabelMapOptions | PastingOptions
) -> dict[str, Any]:
    """The request: the file, updated by the options."""
    from medsmith.formats.json_file import read_json

    request: dict[str, Any] = dict(read_json(file)) if file else {}
    for each in options:
        request |= each.entries(request)
    return request


def _cohort_of(templates: object) -> Path | None:
    """The folder of the template cohort; None where the entry is malformed, which the method reports."""
    folder = templates.get("cohort") if isinstance(templates, Mapping) else templates
    return Path(folder) if isinstance(folder, str) else None


@app.command()
def synthesize(  # noqa: PLR0913
    run: RunOrWeights,
    out: NewCohortOrShards,
    count: CaseCount = 100,
    seed: Seed = 0,
    templates: insertion.TemplatesOption = None,
    template: insertion.TemplateOption = None,
    report: insertion.ReportOption = None,
    lenient: insertion.LenientOption = False,
    lesion_type: insertion.LesionTypeOption = None,
    organ_map: insertion.OrganMapOption = None,
    label_as: insertion.LabelAsOption = None,
    keep_missed: insertion.KeepMissedOption = False,
    anatomy: steering.AnatomyOption = None,
    texture: steering.TextureOption = None,
    pathology: steering.PathologyOption = None,
    at: steering.AtOption = None,
    scale: steering.ScaleOption = None,
    rotate: steering.RotateOption = None,
    within: steering.WithinOption = None,
    lesion_label: steering.LesionLabelOption = None,
    labels: label_maps.LabelsOption = None,
    maps: label_maps.MapsOption = None,
    augment_labels: label_maps.AugmentLabelsOption = False,
    structure: pasting.StructureOption = None,
    per_image: pasting.PerImageOption = None,
    organ: pasting.OrganOption = None,
    request: RequestFile = None,
    solver: Solver = None,
    steps: SamplingSteps = None,
    workers: Workers = None,
    attempts: Attempts = 50,
    device: Devices = None,
    batch: BatchOfCases = 1,
    shard: ShardOfCases = None,
    executor: ExecutorName = "processes",
    address: ClusterAddress = None,
    dataset_id: DatasetId = None,
    format_: OutputFormat = "folder",
    shard_cases: ShardCases = 100,
    dry_run: DryRun = False,
    method_file: MethodFiles = None,  # noqa: ARG001
) -> None:
    """Generate synthetic cases; each is checked before it is written. Run again to continue or to add cases."""
    steered = SteeringOptions(anatomy, texture, pathology, at, scale, rotate, within, lesion_label)
    inserted = InsertionOptions(templates, template, report, lesion_type, organ_map, lenient, label_as, keep_missed)
    given = LabelMapOptions(labels, maps, augment_labels)
    requested = _requested(request, steered, inserted, given, PastingOptions(structure, per_image, organ))
    insertion.check_organs(requested)
    made_by = executor_of(executor, address, workers)
    options = synthesis_options(device, attempts, batch, shard, made_by, shard_cases)
    made = {"count": count, "seed": seed, "request": requested, "solver": solver, "steps": steps}
    asked = {**made, "workers": workers, "options": options}
    place = _place(out, format_, dataset_id, executor)
    _warn(run, _cohort_of(requested.get("templates")), batch)
    make = _forecast if dry_run else _make_shards if format_ == "shards" else _make_cases
    make(run, place, asked, format_)


def _make_shards(run: str, place: Path | str, asked: dict[str, Any], _format: str) -> None:
    from medsmith.synthesis import synthesize_shards

    shards = synthesize_shards(run, place, **asked, progress=terminal().progress)
    terminal().result(shards.as_json(), [shards.line])


def _make_cases(run: str, place: Path | str, asked: dict[str, Any], _format: str) -> None:
    from medsmith.synthesis import synthesize as synthesize_cases

    requested = asked["request"]
    cohort = _cohort_of(requested.get("templates"))
    with _page_of_what_is_made(Path(place), cohort):
        summary = synthesize_cases(run, place, **asked, progress=terminal().progress)
    _tell(summary, cohort, requested)


def _place(out: str, format_: str, dataset_id: int | None, executor: str) -> Path | str:
    """Where the cases go: a folder, or for shards a URL as well.

    Raises:
        RequestError: a URL or an option does not go with the format or the executor.
    """
    from medsmith.errors import RequestError
    from medsmith.formats.storage import is_url

    if format_ == "folder":
        if is_url(out):
            raise RequestError(out, "a URL", "a cohort is a folder of this machine", "add --format shards")
        return named_for_nnunet(Path(out), dataset_id)
    if dataset_id is not None:
        cure = "give it to medsmith unpack"
        raise RequestError("--dataset-id", f"{dataset_id}", "shards are no folder for nnU-Net", cure)
    if is_url(out) and executor != "processes":
        limit = "the cases of shards in work lie beside them, where all nodes reach them"
        raise RequestError(out, "a URL", limit, "name a folder that the nodes share, or leave out --executor")
    return out if is_url(out) else Path(out)


def _warn(run: str, cohort: Path | None, batch: int) -> None:
    """Says what is known of the run and of the memory before anything is made."""
    from medsmith.insertion.memory import memory_needed
    from medsmith.runs.method_version import changed_method_warnings
    from medsmith.runs.steps import few_steps_warnings

    for warning in (*few_steps_warnings(run), *changed_method_warnings(run)):
        terminal().note(warning)
    if cohort and (needed := memory_needed(cohort)):
        terminal().note(f"memory: at most {batch * needed / 2**30:.1f} GiB per worker")


def _forecast(run: str, place: Path | str, asked: dict[str, Any], format_: str) -> None:
    """What the call would make and take."""
    from medsmith.synthesis.forecast import forecast, forecast_shards

    found = (forecast_shards if format_ == "shards" else forecast)(run, place, **asked)
    terminal().result(found.as_json(), found.lines)


@contextmanager
def _page_of_what_is_made(out: Path, templates: Path | None) -> Iterator[None]:
    """Writes the page of lesions where a call ends with fewer cases than it was asked for."""
    from medsmith.cases.nnunet_folder import DATASET
    from medsmith.errors import SynthesisError
    from medsmith.synthesis import write_lesions_page

    try:
        yield
    except SynthesisError as error:
        ended = error.subject == str(out) and (out / DATASET).exists()
        page = write_lesions_page(out, templates) if templates and ended else None
        if page:
            terminal().note(f"requested and measured: {page}")
        raise


def _tell(summary: "Summary", templates: Path | None, request: Mapping[str, Any]) -> None:
    """What was made, and how far it is as asked, in lines and as a page."""
    from medsmith.synthesis import lesions_line, pasted_line, write_lesions_page

    out = summary.out
    lesions, pasted = lesions_line(out) if templates else "", pasted_line(out)
    page = write_lesions_page(out, templates) if templates else _page_of_guides(out, request)
    last = [f"requested and measured: {page}"] if page else []
    facts = {**summary.as_json(), "lesions": lesions or None, "pasted": pasted or None}
    facts["requested_and_measured"] = page
    terminal().result(facts, [summary.line, *filter(None, [lesions, pasted]), *last])


def _page_of_guides(out: Path, request: Mapping[str, Any]) -> Path | None:
    """The page of guidance images, where the request names some; it loads the method, so only then."""
    if not request.keys() & {"guides", "anatomy", "pathologies"}:
        return None
    from medsmith.synthesis import write_steering_page

    return write_steering_page(out)


@app.command()
def unpack(
    shards: Annotated[str, typer.Argument(help="Folder or URL of the shards that synthesize --format shards wrote.")],
    out: NewCohort,
    dataset_id: DatasetId = None,
) -> None:
    """Turn tar shards into the cohort that synthesize writes; hashes are checked. Run again to continue."""
    from medsmith.errors import counted
    from medsmith.synthesis import unpack as unpack_shards

    cohort = unpack_shards(shards, named_for_nnunet(out, dataset_id), progress=terminal().progress)
    terminal().result(cohort_facts(cohort), [f"{cohort.root}: {counted(len(cohort), 'case')}"])


@app.command()
def regenerate(
    out: Annotated[Path, typer.Argument(help="Synthetic cohort.")],
    case: Annotated[str, typer.Argument(help="Id of the case to regenerate.")],
    run: Annotated[Path | None, typer.Option(help="Run folder, if it has moved.")] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", help="New location of a moved input, such as templates=SCANS. Repeatable."),
    ] = None,
    method_file: MethodFiles = None,  # noqa: ARG001
) -> None:
    """Regenerate a case from its provenance and verify that every byte is identical."""
    from medsmith.synthesis import regenerate as regenerate_case

    inputs = pairs("--input", input_ or [])
    files = regenerate_case(out, case, run=run, inputs=inputs, progress=terminal().progress)
    line = f"{case}: {', '.join(files)} regenerated, identical byte for byte"
    terminal().result({"case": case, "files": files, "identical": True}, [line])


@app.command()
def sweep(  # noqa: PLR0913
    run: Annotated[str, typer.Argument(help="Run folder of mddpm, or mddpm for the shipped weights.")],
    out: Annotated[Path, typer.Argument(help="Output folder for the images and sweep.png.")],
    anatomy: steering.AnatomyOption = None,
    texture: steering.TextureOption = None,
    pathology: steering.PathologyOption = None,
    at: steering.AtOption = None,
    scale: steering.ScaleOption = None,
    rotate: steering.RotateOption = None,
    within: steering.WithinOption = None,
    lesion_label: steering.LesionLabelOption = None,
    request: RequestFile = None,
    guide: Annotated[
        str | None, typer.Option(help="Guide to vary: anatomy, guides.0 or pathologies.0; default: the first of these.")
    ] = None,
    factors: Annotated[str, typer.Option(help="Relative factors, separated by commas.")] = "0.25,0.125,0.0625,0.03125",
    untils: Annotated[str, typer.Option(help="Shares of the schedule without guidance at the end.")] = "0,0.2,0.4,0.6",
    seed: Seed = 0,
    solver: Solver = None,
    steps: SamplingSteps = None,
) -> None:
    """Vary how strongly and how long one guide acts, for one request and seed, and draw the results as one picture."""
    from medsmith.runs.method_version import changed_method_warnings
    from medsmith.runs.steps import few_steps_warnings
    from medsmith.synthesis import SweepGrid
    from medsmith.synthesis import sweep as sweep_guide

    steered = SteeringOptions(anatomy, texture, pathology, at, scale, rotate, within, lesion_label)
    requested = _requested(request, steered)
    grid = SweepGrid(guide, all_numbers("--factors", factors), all_numbers("--untils", untils))
    for warning in (*few_steps_warnings(run), *changed_method_warnings(run)):
        terminal().note(warning)
    picture = sweep_guide(
        run, out, grid, request=requested, seed=seed, solver=solver, steps=steps, progress=terminal().progress
    )
    terminal().result({"picture": picture}, [f"{picture}"])
