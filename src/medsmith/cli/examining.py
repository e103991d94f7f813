"""The command that examines the environment."""

from pathlib import Path
from typing import Annotated

import typer

from medsmith.cli.app import app
from medsmith.cli.terminal import terminal


@app.command()
def doctor(
    install_nnunet: Annotated[
        bool,
        typer.Option(
            "--install-nnunet",
            help="Make a Python environment with nnU-Net v2 for the command nnunet, or complete one that was begun.",
        ),
    ] = False,
    at: Annotated[
        Path | None,
        typer.Option(
            help="Its folder; default: the one that MEDSMITH_NNUNET names, else medsmith/nnunet in your cache folder."
        ),
    ] = None,
) -> None:
    """Show versions, devices, memory, disk, weights and optional packages, and how to install what is missing."""
    from medsmith.doctor import examine
    from medsmith.nnunet_environment.environment import VARIABLE, nnunet_environment

    if install_nnunet:
        from medsmith.nnunet_environment.installation import install

        made = install(at or nnunet_environment().folder, terminal().progress)
        if made.folder != nnunet_environment().folder.absolute():
            terminal().note(f"nnunet uses it where {VARIABLE}={made.folder} is set")
    findings = tuple(examine())
    terminal().result([finding.as_json() for finding in findings], [finding.line for finding in findings])
