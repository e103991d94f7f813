"""The commands: thin, and quick to answer, since everything heavy is imported inside a command."""

import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from medsmith import __version__
from medsmith.cli import cohorts, comparing, generating, reports
from medsmith.cli.app import app, echo
from medsmith.errors import MedsmithError

__all__ = ["app", "cohorts", "comparing", "generating", "main", "reports"]
_INTERRUPTED = 130
_UsageError: Any = typer.BadParameter.__bases__[0]  # click's, or the one that newer typers bring


def _version(wanted: bool | None) -> None:
    if wanted:
        echo(f"medsmith {__version__}")
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
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(words, prog_name="medsmith", standalone_mode=False) or 0
    except MedsmithError as error:
        print(error.line, file=sys.stderr)
        return error.exit_code
    except _UsageError as error:
        print(_misused(error), file=sys.stderr)
        return int(error.exit_code)
    if code == _INTERRUPTED:  # typer leaves silently
        print("interrupted; the same command again continues", file=sys.stderr)
    sys.exit(code)


def _misused(error: Any) -> str:
    """A command that was written wrongly, in one line; the help where nothing was asked for."""
    said = error.format_message()
    if type(error).show is not _UsageError.show:
        return str(said)
    command = error.ctx.command_path if error.ctx else "medsmith"
    return f"{command}: {' '.join(said.split()).removesuffix('.')}; see {command} --help"
