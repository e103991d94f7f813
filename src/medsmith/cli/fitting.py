"""Commands that fit methods to a cohort: train, plan, clean."""

import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsmith.cli.app import app
from medsmith.cli.options import ConfigValues, DryRun, MethodFiles, MethodName, Preset, Seed
from medsmith.cli.terminal import terminal
from medsmith.started_processes import is_first_process, started_processes, together

if TYPE_CHECKING:
    from medsmith.cases.cohort import Cohort

MaxMinutes = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        help="Minutes after which the command ends, with loading, reading, encoding and pictures; training of "
        "earlier calls counts too. What comes before the first step of a stage is finished first. Default: no "
        "limit.",
    ),
]
Devices = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of training processes; one per GPU on a machine with GPUs. Default: those that torchrun or srun "
        "started, or one.",
    ),
]


@app.command()
def train(  # noqa: PLR0913
    method: MethodName,
    cohort: Annotated[Path, typer.Argument(help="Cohort to train on; what its cases need depends on the method.")],
    run: Annotated[Path, typer.Option(help="Run folder for weights and checkpoints; run again to continue.")],
    preset: Preset = "tiny",
    plan: Annotated[
        Path | None, typer.Option(help="Plan with preset and settings (medsmith plan); --set overrides single values.")
    ] = None,
    set_: ConfigValues = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Run folder, or name of shipped weights, to train on from instead of random weights, with its "
            "preset and settings; --set changes them. Stages left out by --stage keep these weights.",
        ),
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Train only this stage; default: all stages in order.")] = None,
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps per stage; default: as configured.")
    ] = None,
    max_minutes: MaxMinutes = None,
    devices: Devices = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    method_file: MethodFiles = None,  # noqa: ARG001
) -> None:
    """Train a generative method on a cohort. Run the command again to continue after an interruption.

    At each quarter of the last stage, RUN/samples/step-STEP.png shows 8 cases that the method makes by then, if it
    makes any without a request: images and, where they have labels, the same to the right with the labels outlined.
    A stage to which --max-minutes leaves less than 5 minutes is shown at its end alone.
    """
    started = monotonic()
    with terminal().loading():
        from medsmith.cases.cohort import Cohort
        from medsmith.training import Budget

    budget = Budget(steps=max_steps, elapsed_minutes=max_minutes, stage=stage, started=started)
    preset, settings = _planned(plan, method, preset, set_ or [])
    asked = {"preset": preset, "settings": settings, "seed": seed, "budget": budget, "devices": devices}
    asked |= {"start_from": from_}
    call = _forecast if dry_run else _train
    call(method, Cohort.open(cohort), run, asked)


def _train(method: str, cases: "Cohort", run: Path, asked: dict[str, Any]) -> None:
    with terminal().loading():
        from medsmith.training.run import train_stages

    try:
        outcome = train_stages(method, cases, run, **asked, progress=terminal().progress, report=terminal().note)
    except KeyboardInterrupt:
        raise _interrupted(run) from None
    if is_first_process():
        terminal().result(outcome.as_json(), outcome.lines)


def _forecast(method: str, cases: "Cohort", run: Path, asked: dict[str, Any]) -> None:
    """The dry run, which the first process makes while the others wait."""
    with terminal().loading():
        from medsmith.training.dry_run import forecast

    group = started_processes()
    with together(group):
        if group and not group.is_first:
            group.told()
            return
        found = forecast(method, cases, run, **asked, progress=terminal().progress)
        terminal().result(found.as_json(), found.lines)
        if group:
            group.tell({})


def _interrupted(run: Path) -> Exception:
    """What an interrupted training leaves behind."""
    from medsmith.errors import InterruptionError

    again = "run the same command again to"
    if (run / "run.json").is_file():
        return InterruptionError(run, "interrupted", "what is finished is saved", f"{again} continue")
    return InterruptionError(run, "interrupted before anything was saved", cure=f"{again} begin anew")


def _planned(plan: Path | None, method: str, preset: str, settings: list[str]) -> tuple[str, list[str]]:
    """Preset and settings: those of the plan, if there is one, before those of the command."""
    from medsmith.training.plan import read_plan

    if plan is None:
        return preset, settings
    planned = read_plan(plan, method)
    return planned.preset, [*planned.settings, *settings]


@app.command("plan")
def make_plan(
    method: MethodName,
    cohort: Annotated[Path, typer.Argument(help="Cohort to train on.")],
    out: Annotated[Path, typer.Argument(help="Output file for the plan; edit it, then train with --plan.")],
    preset: Preset = "tiny",
    set_: ConfigValues = None,
    max_minutes: Annotated[float, typer.Option(min=0.1, help="Longest training, over all stages.")] = 480.0,
    max_gib: Annotated[
        float | None, typer.Option(min=0.1, help="Most memory in GiB; default: four fifths of what is free.")
    ] = None,
    planning_seconds: Annotated[
        float, typer.Option(min=1, help="Longest planning: with it the trials end, whatever they have found.")
    ] = 240.0,
    method_file: MethodFiles = None,  # noqa: ARG001
) -> None:
    """Choose settings for a cohort and this machine, by a few training steps of each stage.

    Of a method that trains nothing, one case is made to say what synthesis costs.
    """
    with terminal().loading():
        from medsmith.cases.cohort import Cohort
        from medsmith.errors import FileError
        from medsmith.formats.atomic import write_json
        from medsmith.formats.folders import check_outside
        from medsmith.training.planning import make_plan as make

    check_outside(out, (cohort,))
    if out.exists():
        raise FileError(out, "exists", cure="choose another file, or remove it")
    if not os.access(out.parent, os.W_OK):
        raise FileError(out, "cannot be written", "its folder exists and is yours", "choose another file")
    cases = Cohort.open(cohort)
    plan = make(
        method,
        cases,
        preset=preset,
        settings=set_ or (),
        max_minutes=max_minutes,
        max_gib=max_gib,
        planning_seconds=planning_seconds,
        report=terminal().note,
        progress=terminal().progress,
    )
    facts = {"plan": out, "minutes": plan.minutes, "memory_gib": plan.memory_gib, **plan.model_dump(mode="json")}
    lines = plan.lines
    if not plan.stages:
        from medsmith.cli.synthesis_cost import cost_line, synthesis_cost

        cost = synthesis_cost(method, cases, plan, terminal().progress)
        facts, lines = facts | {"synthesis": cost.cost_as_json()}, [*lines, cost_line(cost)]
    write_json(out, plan.model_dump(mode="json"))
    following = f"{out}: next: medsmith train {method} {cohort} --run RUN --plan {out}"
    terminal().result(facts, [*lines, following])


@app.command()
def clean(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Delete the cached training cases of a run. Weights and checkpoints are kept."""
    from medsmith.formats.opening import format_bytes
    from medsmith.runs.folder import clean as clean_run

    freed = clean_run(run)
    terminal().result({"run": run, "bytes_freed": freed}, [f"{run}: {format_bytes(freed)} freed"])
