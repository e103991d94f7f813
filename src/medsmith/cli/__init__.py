"""The commands: thin, and quick to answer, since everything heavy is imported inside a command."""

import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from medsmith import __version__
from medsmith.cli import cohorts, comparing, generating, reports
from medsmith.cli.app import app, say
from medsmith.errors import MedsmithError

__all__ = ["app", "cohorts", "comparing", "generating", "main", "reports"]
_INTERRUPTED = 130


def _version(wanted: bool | None) -> None:
    if wanted:
        say(f"medsmith {__version__}")
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
