"""Commands that write and change cohorts."""

from pathlib import Path
from typing import Annotated

import typer

from medsmith.cli.app import Seed, app, pairs, say


@app.command()
def phantom(
    family: Annotated[str, typer.Argument(help="What to draw: breast, ct, ct-healthy, ct-head or ct-head-healthy.")],
    out: Annotated[Path, typer.Argument(help="Folder of the new cohort.")],
    count: Annotated[int, typer.Option(min=1, help="Number of cases.")] = 100,
    seed: Seed = 0,
    size: Annotated[int, typer.Option(help="Edge of the grid in pixels or voxels.")] = 128,
) -> None:
    """Write a cohort of procedural cases whose truth is known exactly."""
    from medsmith.phantoms.families import find_family
    from medsmith.phantoms.family import write_phantom

    write_phantom(find_family(family), out, count, seed, size, say)


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="nnU-Net, Decathlon, images/ + labels/, or PNG and NIfTI files.")],
    out: Annotated[Path, typer.Argument(help="Folder of the new cohort.")],
    channel: Annotated[list[str] | None, typer.Option(help="Channel name; once per channel.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="name=value of a label; once per label.")] = None,
    leave_out: Annotated[list[str] | None, typer.Option(help="Leave out cases that are: empty, unpaired.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Keep cases that are: empty, unpaired.")] = None,
    hu_offset: Annotated[float, typer.Option(help="Added to CT values whose intercept was lost (-1024).")] = 0.0,
    assume_spacing: Annotated[
        bool, typer.Option("--assume-spacing", help="Take stored voxel sizes where a file gives no orientation.")
    ] = False,
    volume: Annotated[int | None, typer.Option(min=0, help="Volume to take of four-dimensional files.")] = None,
    nan_fill: Annotated[float | None, typer.Option(help="Stands in for NaN and infinite voxels.")] = None,
) -> None:
    """Turn a folder of images, label maps or both into a cohort; says what it inferred and writes it down."""
    from medsmith.errors import RequestError
    from medsmith.preparation import PrepareOptions, ReadOptions
    from medsmith.preparation import prepare as prepare_cohort

    labels = pairs("--label", label or [])
    if not all(value.isdigit() for value in labels.values()):
        raise RequestError("--label", f"{labels}", "values are whole numbers", "write name=value")
    options = PrepareOptions(
        channel_names=tuple(channel or ()),
        label_names={name: int(value) for name, value in labels.items()},
        leave_out=frozenset(leave_out or ()),
        keep=frozenset(keep or ()),
        hu_offset=hu_offset,
        read=ReadOptions(assume_spacing=assume_spacing, volume=volume, nan_fill=nan_fill),
    )
    prepare_cohort(source, out, options, say=say)


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

    split_cohort(source, train, test, test_fraction=test_fraction, seed=seed, group=group, say=say)


@app.command()
def merge(
    out: Annotated[Path, typer.Argument(help="Folder of the merged cohort.")],
    sources: Annotated[list[Path], typer.Argument(help="Cohorts to join.")],
) -> None:
    """Join cohorts into one; labels of one name become one label."""
    from medsmith.preparation import merge as merge_cohorts

    merge_cohorts(sources, out, say=say)


@app.command()
def describe(
    cohort: Annotated[Path, typer.Argument(help="Annotated CT, or masks alone, with labels of lesions.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the reports; the cohort's own if not given.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write reports anew that are there.")] = False,
) -> None:
    """Measure every lesion and write its report, words and numbers; the same command again continues."""
    from medsmith.cases.cohort import Cohort
    from medsmith.errors import CohortError, FileError
    from medsmith.measurement.reports import describe_cohort
    from medsmith.progress import Shown

    cases = Cohort.open(cohort)
    if not len(cases):
        raise CohortError(cohort, "has no cases", "at least one", "give the cohort that holds the scans")
    if out is not None and out.exists() and not out.is_dir():
        raise FileError(out, "a file, not a folder", cure="choose another folder: --out")
    for line in describe_cohort(cases, out, replace=replace, progress=Shown()).lines:
        say(line)
