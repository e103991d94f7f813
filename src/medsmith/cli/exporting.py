"""The command that writes a cohort in other formats."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medsmith.cli.app import app
from medsmith.cli.terminal import terminal


@app.command()
def export(
    cohort: Annotated[Path, typer.Argument(help="Cohort to export.")],
    out: Annotated[Path, typer.Argument(help="New folder; one folder per case.")],
    format: Annotated[
        Literal["dicom", "nrrd"],
        typer.Option(help="dicom: image series and segmentation; nrrd: for 3D Slicer, ITK-SNAP."),
    ] = "dicom",
    source: Annotated[
        Path | None, typer.Option(help="Folder of the DICOM series that the cases were made from, to refer to.")
    ] = None,
    keep_identity: Annotated[
        bool, typer.Option("--keep-identity", help="Take patient and study from the source series.")
    ] = False,
    rtstruct: Annotated[bool, typer.Option("--rtstruct", help="Write an RT structure set as well.")] = False,
    modality: Annotated[
        Literal["CT", "MR"] | None, typer.Option(help="CT or MR; default: by the names of the channels.")
    ] = None,
    date: Annotated[str | None, typer.Option(help="Date of the DICOM objects, YYYYMMDD; default: today.")] = None,
) -> None:
    """Write a cohort as DICOM or NRRD for other software. Run again to continue."""
    from medsmith.exporting import ExportOptions
    from medsmith.exporting import export as write

    options = ExportOptions(format, modality, rtstruct, keep_identity, date)
    exported = write(cohort, out, options, source=source, progress=terminal().progress)
    terminal().result(exported.as_json(), exported.lines)
