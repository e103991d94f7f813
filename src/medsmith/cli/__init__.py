"""The command-line interface. Heavy modules are imported inside the commands, so that --help stays fast."""

import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsmith import __version__
from medsmith.cli import (
    anatomy,
    annotation,
    benching,
    cohorts,
    comparing,
    dicom,
    evaluating,
    examining,
    exporting,
    fitting,
    obeying,
    reading,
    reports,
    segmenting,
    synthesizing,
    viewing,
)
from medsmith.cli.app import app
from medsmith.cli.shared_options import AsJson, Quiet, Verbose, chosen, share_options
from medsmith.cli.streams import open_closed_streams, outlive_readers
from medsmith.cli.terminal import Terminal, speaking
from medsmith.errors import MedsmithError, is_out_of_memory, printable
from medsmith.interruption import heeded_signals
from medsmith.started_processes import StartedProcesses, started_processes

__all__ = [
    "anatomy", "annotation", "app", "benching", "cohorts", "comparing", "dicom", "evaluating", "examining", "exporting",
    "fitting", "main", "obeying", "reading", "reports", "segmenting", "synthesizing", "viewing",
]  # fmt: skip
_INTERRUPTED = 130
_MEMORY = MedsmithError("medsmith", "out of memory", cure="free memory, or use smaller settings or fewer workers")
_OPTIONS_LIKE_IT = re.compile(r" \(Possible options: (?P<options>[^)]*)\)")
if TYPE_CHECKING:
    from typer import Context as _Context
else:
    _Context = typer.Context.__bases__[0]  # what commands are called with; typer's own class is for annotations alone
_UsageError: Any = typer.BadParameter.__bases__[0]  # click's class, or the one vendored by newer typer versions


def _version(requested: bool | None) -> None:
    if requested:
        typer.echo(f"medsmith {__version__}")
        raise typer.Exit


share_options(app)


@app.callback()
def _common(
    context: _Context,
    version: Annotated[  # noqa: ARG001
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Generate annotated medical images from a few labeled ones. Synthetic research data, not for diagnosis.

    A cohort is a folder of cases, each an image, a label map or both (nnU-Net's raw format). The usual order: prepare,
    split, train, synthesize, evaluate.
    """
    context.with_resource(speaking(chosen(Terminal(), quiet=quiet, verbose=verbose, as_json=as_json)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code. A user error prints one line to standard error and returns 2."""
    for number in heeded_signals():
        signal.signal(number, signal.default_int_handler)
    open_closed_streams()
    outlive_readers()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    group = None
    try:
        group = _processes_of(argv)
        with _silent_unless_first(group):
            code = app(argv, prog_name="medsmith", standalone_mode=False) or 0
    except Exception as error:
        if group:
            group.tell_error(error)
        ended = _line_and_code(error)
        if ended is None and (group is None or group.speaks()):
            raise
        line, code = ended or ("", MedsmithError.exit_code)
        _say_why(line, group)
        return code
    if code == _INTERRUPTED:  # typer exits without a message
        _say_why("interrupted; run the same command again", group)
    sys.exit(code)


def _processes_of(argv: Sequence[str]) -> StartedProcesses | None:
    """The processes that train together, of which this is one."""
    trains = next((each for each in argv if not each.startswith("-")), "") == "train"
    return started_processes() if trains else None


@contextmanager
def _silent_unless_first(group: StartedProcesses | None) -> Iterator[None]:
    """Inside, a process that others lead prints nothing."""
    if group is None or group.is_first:
        yield
        return
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):  # noqa: PTH123
        yield


def _say_why(line: str, group: StartedProcesses | None) -> None:
    """Prints the line of an error; where several processes end together, one of them does."""
    if line and (group is None or group.speaks()):
        print(line, file=sys.stderr, flush=True)
    if group:
        group.linger()


def _line_and_code(error: Exception) -> tuple[str, int] | None:
    """What is printed of an error, and the exit code; None for a fault of the program."""
    if isinstance(error, MedsmithError):
        return error.line, error.exit_code
    if isinstance(error, OSError):  # whatever no command has foreseen: a path too long, a full disk, no permission
        return _system_message(error), MedsmithError.exit_code
    if isinstance(error, _UsageError):
        return printable(_usage_message(error)), int(error.exit_code)
    if is_out_of_memory(error):
        return _MEMORY.line, MedsmithError.exit_code
    return None


def _system_message(error: OSError) -> str:
    return MedsmithError(error.filename or "medsmith", error.strerror or str(error), cure="check path and disk").line


def _meant(found: re.Match[str]) -> str:
    return f"; did you mean {' or '.join(found['options'].split(', '))}?"


def _usage_message(error: Any) -> str:
    """The message for a usage error, on one line; the full help where no command was given."""
    message = _OPTIONS_LIKE_IT.sub(_meant, error.format_message())
    if type(error).show is not _UsageError.show:
        return str(message)
    command = error.ctx.command_path if error.ctx else "medsmith"
    return f"{command}: {' '.join(message.split()).removesuffix('.')}{_setting(error)}; see {command} --help"


def _setting(error: Any) -> str:
    """For an unknown option that is a value of the configuration: how that is given, where the command takes one."""
    options = [option for parameter in error.ctx.command.params for option in parameter.opts] if error.ctx else []
    name = str(getattr(error, "option_name", None) or "").lstrip("-").replace("-", "_")
    if not name or "--set" not in options:
        return ""
    from medsmith.methods.config import TrainingConfig

    key = {"size": "size"}.get(name, f"training.{name}" if name in TrainingConfig.model_fields else "")
    return f"; the configuration has --set {key}=VALUE" if key else ""
