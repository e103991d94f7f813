"""Commands that train methods and synthesize cases."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsmith.cases.layouts import DATASET
from medsmith.cli import insertion, label_maps, pasting, steering
from medsmith.cli.app import all_numbers, app, named_for_nnunet, pairs
from medsmith.cli.executors import executor_of
from medsmith.cli.insertion import InsertionOptions
from medsmith.cli.label_maps import LabelMapOptions
from medsmith.cli.options import (
    Attempts,
    CaseCount,
    ClusterAddress,
    ConfigValues,
    DatasetId,
    Devices,
    ExecutorName,
    MethodFiles,
    NewCohort,
    Preset,
    RequestFile,
    RunOrWeights,
    SamplingSteps,
    Seed,
    ShardOfCases,
    Solver,
    Workers,
)
from medsmith.cli.pasting import PastingOptions
from medsmith.cli.steering import SteeringOptions
from medsmith.cli.terminal import terminal

if TYPE_CHECKING:
    from medsmith.synthesis import Summary


@app.command()
def train(  # noqa: PLR0913
    method: Annotated[
        str,
        typer.Argument(
            help="Method: copypaste, ddpm, lesiondiffusion, lldm, mddpm, pig, segguided, or one of your own."
        ),
    ],
    cohort: Annotated[Path, typer.Argument(help="Cohort to train on; what its cases need depends on the method.")],
    run: Annotated[Path, typer.Option(help="Run folder for weights and checkpoints; run again to continue.")],
    preset: Preset = "tiny",
    plan: Annotated[
        Path | None, typer.Option(help="Plan with preset and settings (medsmith plan); --set overrides single values.")
    ] = None,
    set_: ConfigValues = None,
    stage: Annotated[str | None, typer.Option(help="Train only this stage; default: all stages in order.")] = None,
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps per stage; default: as configured.")
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="Minutes after which the command ends, with reading, encoding and pictures; training of earlier calls "
            "counts too. What comes before the first step of a stage is finished first. Default: no limit.",
        ),
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, help="Number of training processes; one per GPU on a machine with GPUs.")
    ] = 1,
    seed: Seed = 0,
    method_file: MethodFiles = None,  # noqa: ARG001
) -> None:
    """Train a generative method on a cohort. Run the command again to continue after an interruption.

    At each quarter of the last stage, RUN/samples/step-STEP.png shows 8 cases that the method makes by then, if it
    makes any without a request: images and, where they have labels, the same to the right with the labels outlined.
    """
    from medsmith.cases.cohort import Cohort
    from medsmith.training import Budget
    from medsmith.training.run import train_stages

    budget = Budget(steps=max_steps, elapsed_minutes=max_minutes, stage=stage)
    preset, settings = _planned(plan, method, preset, set_ or [])
    cases = Cohort.open(cohort)
    outcome = train_stages(
        method,
        cases,
        run,
        preset=preset,
        settings=settings,
        seed=seed,
        budget=budget,
        devices=devices,
        progress=terminal().progress,
        report=terminal().note,
    )
    terminal().result(outcome.as_json(), outcome.lines)


def _planned(plan: Path | None, method: str, preset: str, settings: list[str]) -> tuple[str, list[str]]:
    """Preset and settings: those of the plan, if there is one, before those of the command."""
    from medsmith.training.plan import read_plan

    if plan is None:
        return preset, settings
    planned = read_plan(plan, method)
    return planned.preset, [*planned.settings, *settings]


@app.command("plan")
def make_plan(
    method: Annotated[
        str,
        typer.Argument(
            help="Method: copypaste, ddpm, lesiondiffusion, lldm, mddpm, pig, segguided, or one of your own."
        ),
    ],
    cohort: Annotated[Path, typer.Argument(help="Cohort to train on.")],
    out: Annotated[Path, typer.Argument(help="Output file for the plan; edit it, then train with --plan.")],
    preset: Preset = "tiny",
    set_: ConfigValues = None,
    max_minutes: Annotated[float, typer.Option(min=0.1, help="Longest training, over all stages.")] = 480.0,
    max_gib: Annotated[
        float | None, typer.Option(min=0.1, help="Most memory in GiB; default: four fifths of what is free.")
    ] = None,
    method_file: MethodFiles = None,  # noqa: ARG001
) -> None:
    """Choose settings for a cohort and this machine, by a few training steps of each stage."""
    from medsmith.cases.cohort import Cohort
    from medsmith.errors import FileError
    from medsmith.formats.atomic import write_json
    from medsmith.formats.folders import check_outside
    from medsmith.training.plan import make_plan as make

    check_outside(out, (cohort,))
    if out.exists():
        raise FileError(out, "exists", cure="choose another file, or remove it")
    if not os.access(out.parent, os.W_OK):
        raise FileError(out, "cannot be written", "its folder exists and is yours", "choose another file")
    plan = make(
        method,
        Cohort.open(cohort),
        preset=preset,
        settings=set_ or (),
        max_minutes=max_minutes,
        max_gib=max_gib,
        report=terminal().note,
        progress=terminal().progress,
    )
    write_json(out, plan.model_dump(mode="json"))
    following = f"{out}: next: medsmith train {method} {cohort} --run RUN --plan {out}"
    facts = {"plan": out, "minutes": plan.minutes, "memory_gib": plan.memory_gib, **plan.model_dump(mode="json")}
    terminal().result(facts, [*plan.lines, following])


@app.command()
def clean(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Delete the cached training cases of a run. Weights and checkpoints are kept."""
    from medsmith.runs.folder import clean as clean_run

    freed = clean_run(run)
    terminal().result({"run": run, "bytes_freed": freed}, [f"{run}: {freed / 2**20:.0f} MiB freed"])


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
    out: NewCohort,
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
    shard: ShardOfCases = None,
    executor: ExecutorName = "processes",
    address: ClusterAddress = None,
    dataset_id: DatasetId = None,
    method_file: MethodFiles = None,  # noqa: ARG001
) -> None:
    """Generate synthetic cases; each is checked before it is written. Run again to continue or to add cases."""
    steered = SteeringOptions(anatomy, texture, pathology, at, scale, rotate, within, lesion_label)
    inserted = InsertionOptions(templates, template, report, lesion_type, organ_map, lenient, label_as, keep_missed)
    given = LabelMapOptions(labels, maps, augment_labels)
    requested = _requested(request, steered, inserted, given, PastingOptions(structure, per_image, organ))
    out = named_for_nnunet(out, dataset_id)
    from medsmith.insertion.memory import memory_needed
    from medsmith.runs.method_version import changed_method_warnings
    from medsmith.runs.steps import few_steps_warnings
    from medsmith.synthesis import Limits, Shard, SynthesisOptions
    from medsmith.synthesis import synthesize as synthesize_cases

    for warning in (*few_steps_warnings(run), *changed_method_warnings(run)):
        terminal().note(warning)
    cohort = _cohort_of(requested.get("templates"))
    if cohort and (needed := memory_needed(cohort)):
        terminal().note(f"memory: at most {needed / 2**30:.1f} GiB per worker")
    with _page_of_what_is_made(out, cohort):
        summary = synthesize_cases(
            run,
            out,
            count=count,
            seed=seed,
            request=requested,
            solver=solver,
            steps=steps,
            workers=workers,
            options=SynthesisOptions(
                devices=tuple(device or ("cpu",)),
                limits=Limits(attempts=attempts),
                shard=None if shard is None else Shard.parse(shard),
                executor=executor_of(executor, address),
            ),
            progress=terminal().progress,
        )
    _tell(summary, cohort, requested)


@contextmanager
def _page_of_what_is_made(out: Path, templates: Path | None) -> Iterator[None]:
    """Writes the page of lesions where a call ends with fewer cases than it was asked for."""
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
    from medsmith.synthesis import lesions_line, write_lesions_page

    out = summary.out
    lesions = lesions_line(out) if templates else ""
    page = write_lesions_page(out, templates) if templates else _page_of_guides(out, request)
    last = [f"requested and measured: {page}"] if page else []
    facts = {**summary.as_json(), "lesions": lesions or None, "requested_and_measured": page}
    terminal().result(facts, [summary.line, *filter(None, [lesions]), *last])


def _page_of_guides(out: Path, request: Mapping[str, Any]) -> Path | None:
    """The page of guidance images, where the request names some; it loads the method, so only then."""
    if not request.keys() & {"guides", "anatomy", "pathologies"}:
        return None
    from medsmith.synthesis import write_steering_page

    return write_steering_page(out)


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
