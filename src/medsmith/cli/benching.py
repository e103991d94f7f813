"""The command that makes the tables of a paper in shape."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medsmith.cli.app import app
from medsmith.cli.options import PatientGroup
from medsmith.cli.terminal import terminal

PaperName = Literal["lesiondiffusion", "mddpm", "lldm", "pig"]
ScaleName = Literal["smoke", "cpu", "gpu"]


@app.command()
def bench(
    paper: Annotated[PaperName, typer.Argument(help="The paper whose tables are made.")],
    out: Annotated[Path, typer.Argument(help="Folder of cases, runs and results; run again to continue.")],
    scale: Annotated[
        ScaleName,
        typer.Option(help="smoke: minutes, to see that it runs; cpu: hours; gpu: hours on a GPU, larger images."),
    ] = "smoke",
    real: Annotated[
        Path | None, typer.Option(help="Labeled cohort to learn from, together with --test; default: phantoms.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Labeled cohort of other patients, used only for testing.")] = None,
    templates: Annotated[
        Path | None,
        typer.Option(help="Cohort of scans without lesions, for lesiondiffusion; default: phantoms."),
    ] = None,
    group: PatientGroup = None,
) -> None:
    """Make tables like a paper's: every row trained alike, made and measured; the paper's figures beside ours."""
    from medsmith.lazy_imports import import_monai

    import_monai()
    from medsmith.benchmarks import bench as run
    from medsmith.benchmarks.page import summary_lines
    from medsmith.benchmarks.running import PAGE

    result = run(
        paper,
        out,
        scale=scale,
        real=real,
        test=test,
        templates=templates,
        group=group,
        progress=terminal().progress,
        report=terminal().note,
    )
    page = out / PAGE
    terminal().result({**result.as_json(), "page": page}, [*summary_lines(result), f"report: {page}"])
