"""The command that lists what a DICOM folder holds."""

from pathlib import Path
from typing import Annotated

import typer

from medsmith.cli.app import app
from medsmith.cli.terminal import terminal


@app.command()
def series(
    folder: Annotated[Path, typer.Argument(help="Folder of DICOM files, nested in any way.")],
    file: Annotated[
        int | None, typer.Option(min=1, help="Print only the path of this file, as an error numbers it.")
    ] = None,
) -> None:
    """List the series, segments and ROIs of a DICOM folder, for --series and --label of prepare.

    Descriptions, labels and UIDs are shown as the files have them and may identify patients. Nothing is written.
    """
    from medsmith.preparation.dicom.listing import list_series, nth_file

    if file is not None:
        path = nth_file(folder, file, terminal().progress)
        terminal().result({"file": path}, [str(path)])
        return
    lines = list(list_series(folder, terminal().progress))
    terminal().result(lines, lines)
