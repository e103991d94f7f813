"""The command that writes a viewer."""

from pathlib import Path
from typing import Annotated

import typer

from medsmith.cli.app import app
from medsmith.cli.terminal import terminal


@app.command()
def view(
    cohort: Annotated[Path, typer.Argument(help="Cohort to look at.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the viewer; default: COHORT-view, beside the cohort.")
    ] = None,
    cases: Annotated[
        str | None, typer.Option(metavar="ID,...", help="Ids of the cases to show, separated by commas; default: all.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Show the first cases only, as many as this.")] = None,
    templates: Annotated[
        Path | None,
        typer.Option(help="Cohort of the scans that lesions were inserted into; default: as synthesis.json says."),
    ] = None,
) -> None:
    """Write a viewer of a cohort: a folder that opens in a browser, offline. Run again to continue or to update."""
    from medsmith.cases.cohort import Cohort
    from medsmith.errors import RequestError
    from medsmith.viewer import write_view

    chosen = [id.strip() for id in (cases or "").split(",") if id.strip()]
    if cases is not None and not chosen:
        raise RequestError("--cases", f"'{cases}' names no case", "ids separated by commas", "name one")
    scans = Cohort.open(templates) if templates else None
    written = write_view(
        Cohort.open(cohort), out, cases=chosen, count=count, templates=scans, progress=terminal().progress
    )
    terminal().result(written.as_json(), written.lines)
