"""The commands: thin, and quick to answer, since everything heavy is imported inside a command."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from medsmith import __version__
from medsmith.errors import MedsmithError

app = typer.Typer(
    name="medsmith",
    help="Makes annotated medical images from a few labelled ones. Synthetic research data, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_INTERRUPTED = 130
Seed = Annotated[int, typer.Option(min=0, help="Decides everything that is drawn by lot.")]


def _say(line: str) -> None:
    typer.echo(line)


def _pairs(option: str, assignments: Sequence[str]) -> dict[str, str]:
    from medsmith.errors import RequestError

    for assignment in assignments:
        if "=" not in assignment:
            raise RequestError(option, f"'{assignment}' has no '='", cure="write name=value")
    return dict(assignment.split("=", 1) for assignment in assignments)


@app.command()
def phantom(
    family: Annotated[str, typer.Argument(help="What to draw: breast, ct or ct-healthy.")],
    out: Annotated[Path, typer.Argument(help="Folder of the new cohort.")],
    count: Annotated[int, typer.Option(min=1, help="Number of cases.")] = 100,
    seed: Seed = 0,
    size: Annotated[int, typer.Option(help="Edge of the grid in pixels or voxels.")] = 128,
) -> None:
    """Write a cohort of procedural cases whose truth is known exactly."""
    from medsmith.phantoms.families import find_family
    from medsmith.phantoms.frame import write_phantom

    write_phantom(find_family(family), out, count, seed, size, _say)


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="nnU-Net, Decathlon, images/ + labels/, or PNG and NIfTI files.")],
    out: Annotated[Path, typer.Argument(help="Folder of the new cohort.")],
    channel: Annotated[list[str] | None, typer.Option(help="Channel name; once per channel.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="name=value of a label; once per label.")] = None,
    leave_out: Annotated[list[str] | None, typer.Option(help="Leave out cases that are: empty, unpaired.")] = None,
    hu_offset: Annotated[float, typer.Option(help="Added to CT values whose intercept was lost (-1024).")] = 0.0,
    assume_spacing: Annotated[
        bool, typer.Option("--assume-spacing", help="Take stored voxel sizes where a file gives no orientation.")
    ] = False,
    volume: Annotated[int | None, typer.Option(min=0, help="Volume to take of four-dimensional files.")] = None,
    nan_fill: Annotated[float | None, typer.Option(help="Stands in for NaN and infinite voxels.")] = None,
) -> None:
    """Turn a folder of annotated images into a cohort; says what it inferred and writes it down."""
    from medsmith.errors import RequestError
    from medsmith.preparation import PrepareOptions, ReadOptions
    from medsmith.preparation import prepare as prepare_cohort

    labels = _pairs("--label", label or [])
    if not all(value.isdigit() for value in labels.values()):
        raise RequestError("--label", f"{labels}", "values are whole numbers", "write name=value")
    options = PrepareOptions(
        channel_names=tuple(channel or ()),
        label_names={name: int(value) for name, value in labels.items()},
        leave_out=frozenset(leave_out or ()),
        hu_offset=hu_offset,
        read=ReadOptions(assume_spacing=assume_spacing, volume=volume, nan_fill=nan_fill),
    )
    prepare_cohort(source, out, options, say=_say)


@app.command()
def split(
    source: Annotated[Path, typer.Argument(help="A cohort.")],
    train: Annotated[Path, typer.Argument(help="Folder of the training cohort.")],
    test: Annotated[Path, typer.Argument(help="Folder of the test cohort.")],
    test_fraction: Annotated[float, typer.Option(help="Share of the cases that go to TEST.")] = 0.2,
    group: Annotated[str | None, typer.Option(help="Regular expression that finds the patient in a case id.")] = None,
    seed: Seed = 0,
) -> None:
    """Split a cohort in two, by case or by patient."""
    from medsmith.preparation import split as split_cohort

    split_cohort(source, train, test, test_fraction=test_fraction, seed=seed, group=group, say=_say)


@app.command()
def merge(
    out: Annotated[Path, typer.Argument(help="Folder of the merged cohort.")],
    sources: Annotated[list[Path], typer.Argument(help="Cohorts to join.")],
) -> None:
    """Join cohorts into one; labels of one name become one label."""
    from medsmith.preparation import merge as merge_cohorts

    merge_cohorts(sources, out, say=_say)


@app.command()
def describe(
    cohort: Annotated[Path, typer.Argument(help="Annotated CT, or masks alone, with labels of lesions.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the reports; the cohort's own if not given.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write reports anew that are there.")] = False,
) -> None:
    """Measure every lesion and write its report, words and numbers; the same command again continues."""
    from medsmith.cohort import Cohort
    from medsmith.measuring.reports import describe_cohort
    from medsmith.progress import Shown

    for line in describe_cohort(Cohort.open(cohort), out, replace=replace, progress=Shown()).lines:
        _say(line)


@app.command()
def train(
    method: Annotated[str, typer.Argument(help="ddpm, pig or segguided.")],
    cohort: Annotated[Path, typer.Argument(help="Annotated images to learn from.")],
    run: Annotated[Path, typer.Option(help="Run folder; the same command again continues.")],
    preset: Annotated[str, typer.Option(help="paper, released, best or tiny.")] = "tiny",
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value of the config: training.batch=8.")] = None,
    stage: Annotated[str | None, typer.Option(help="Train one stage; all in order if not given.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Steps of each stage.")] = None,
    max_minutes: Annotated[float | None, typer.Option(min=0, help="Minutes over all stages and calls.")] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes, one per GPU where there are GPUs.")] = 1,
    seed: Seed = 0,
) -> None:
    """Train a method on a cohort."""
    from medsmith.cohort import Cohort
    from medsmith.progress import Shown
    from medsmith.training import Budget
    from medsmith.training import train as train_method

    budget = Budget(steps=max_steps, minutes=max_minutes, stage=stage)
    cases = Cohort.open(cohort)
    train_method(
        method,
        cases,
        run,
        preset=preset,
        settings=set_ or (),
        seed=seed,
        budget=budget,
        devices=devices,
        progress=Shown(),
    )
    _say(f"{run}: trained; next: medsmith synthesize {run} OUT --count 100")


@app.command()
def synthesize(
    run: Annotated[str, typer.Argument(help="A run folder, or the name of shipped weights: pig.")],
    out: Annotated[Path, typer.Argument(help="Folder of the synthetic cohort.")],
    count: Annotated[int, typer.Option(min=1, help="Cases the folder will hold.")] = 100,
    seed: Seed = 0,
    request: Annotated[Path | None, typer.Option(help="JSON file of what is asked of each case.")] = None,
    solver: Annotated[str | None, typer.Option(help="ddpm, ddim, dpm++2m or euler; the method's if not given.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps; the method's if not given.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core if not given.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda; bytes are the same again on the same kind only.")] = "cpu",
) -> None:
    """Make synthetic cases, each checked before it is written; the same command again continues."""
    from medsmith.progress import Shown
    from medsmith.synthesis import Conditions
    from medsmith.synthesis import synthesize as make_cases

    summary = make_cases(
        run,
        out,
        count=count,
        seed=seed,
        request=request,
        solver=solver,
        steps=steps,
        workers=workers,
        conditions=Conditions(device=device),
        progress=Shown(),
    )
    _say(summary.line)


@app.command()
def regenerate(
    out: Annotated[Path, typer.Argument(help="A synthetic cohort.")],
    case: Annotated[str, typer.Argument(help="Case to make again.")],
    run: Annotated[Path | None, typer.Option(help="Run folder, where it has moved.")] = None,
) -> None:
    """Make a case again from its provenance; succeeds only if every byte is the same."""
    from medsmith.synthesis import regenerate as make_again

    files = make_again(out, case, run=run)
    _say(f"{case}: {', '.join(files)} made again, byte for byte")


@app.command()
def evaluate(
    real: Annotated[Path, typer.Argument(help="Real cohort, best one the generator never saw.")],
    synthetic: Annotated[Path, typer.Argument(help="Synthetic cohort.")],
    out: Annotated[Path, typer.Option(help="Folder of the report.")],
    training: Annotated[Path | None, typer.Option(help="What the generator learnt from, for the copy check.")] = None,
    size: Annotated[int | None, typer.Option(min=16, help="Edge of the common grid.")] = None,
) -> None:
    """Compare a synthetic cohort with a real one: distances with floors, copies, masks, pictures."""
    from medsmith.cohort import Cohort
    from medsmith.evaluation import evaluate as compare
    from medsmith.evaluation import summary_lines
    from medsmith.progress import Shown

    learnt_from = Cohort.open(training) if training else None
    result = compare(Cohort.open(real), Cohort.open(synthetic), out, training=learnt_from, size=size, progress=Shown())
    for line in summary_lines(result):
        _say(line)
    _say(f"report: {out / 'evaluation.html'}")


@app.command()
def utility(
    real: Annotated[Path, typer.Argument(help="Real cases to train a segmentation network on.")],
    synthetic: Annotated[Path, typer.Argument(help="Synthetic cases, made without sight of TEST.")],
    test: Annotated[Path, typer.Option(help="Real cases that only test.")],
    out: Annotated[Path, typer.Option(help="Folder of the results; the same command again continues.")],
    ratio: Annotated[list[float] | None, typer.Option(help="Synthetic per real case; once per ratio.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Networks per mixture.")] = 3,
    size: Annotated[int | None, typer.Option(min=16, help="Edge of the grid, a multiple of 8.")] = None,
) -> None:
    """Train a segmentation network on real, synthetic and both, with equal steps; compare Dice on TEST."""
    from medsmith.cohort import Cohort
    from medsmith.progress import Shown
    from medsmith.utility import summary_lines
    from medsmith.utility import utility as try_out

    cohorts = (Cohort.open(real), Cohort.open(synthetic), Cohort.open(test))
    result = try_out(*cohorts, out, ratios=ratio, seeds=seeds, size=size, progress=Shown())
    for line in summary_lines(result):
        _say(line)
    _say(f"report: {out / 'utility.html'}")


def _version(wanted: bool | None) -> None:
    if wanted:
        _say(f"medsmith {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = None,
) -> None:
    """Makes annotated medical images from a few labelled ones. Synthetic research data, not for diagnosis."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake is one line on standard error and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(list(sys.argv[1:] if arguments is None else arguments), standalone_mode=True)
    except MedsmithError as error:
        print(error.line, file=sys.stderr)
        return error.exit_code
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # typer leaves silently
            print("interrupted; the same command again continues", file=sys.stderr)
        raise
    return 0
