"""Options of every command: how much it says, and in which form. They may stand before the command or after it."""

import inspect
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from medsmith import __version__
from medsmith.cli.terminal import Terminal, speaking, terminal
from medsmith.errors import MedsmithError

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and errors only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print versions, device, threads, options and timings as well.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON value; all else goes to stderr.")]
_FRAMES = 4
_SHARED: Mapping[str, Any] = {"quiet": Quiet, "verbose": Verbose, "as_json": AsJson}


def share_options(app: typer.Typer) -> None:
    """Adds the options to every command of an application and of its groups."""
    for command in app.registered_commands:
        assert command.callback is not None
        command.callback = _with_options(command.callback)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        share_options(group.typer_instance)


def chosen(before: Terminal, *, quiet: bool, verbose: bool, as_json: bool) -> Terminal:
    """What the options before and after a command ask for together.

    Raises:
        RequestError: both less and more than usual.
    """
    found = Terminal(before.quiet or quiet, before.verbose or verbose, before.as_json or as_json)
    if found.quiet and found.verbose:
        from medsmith.errors import RequestError

        raise RequestError("--quiet", "--verbose is given as well", "one of the two", "choose one")
    return found


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the options; its signature is what typer reads."""
    signature = inspect.signature(command)
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter(name, keyword, default=False, annotation=kind) for name, kind in _SHARED.items()]

    @wraps(command)
    def called(*arguments: Any, quiet: bool, verbose: bool, as_json: bool, **options: Any) -> Any:
        shown = chosen(terminal(), quiet=quiet, verbose=verbose, as_json=as_json)
        with speaking(shown), _detailed(options), _methods_named():
            return command(*arguments, **options)

    vars(called)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), *added])
    called.__annotations__ = {**command.__annotations__, **_SHARED}
    return called


@contextmanager
def _detailed(options: Mapping[str, Any]) -> Iterator[None]:
    """Details before and after a command: machine and versions, its options, what it took, and where an error arose."""
    shown = terminal()
    if not shown.verbose:
        yield
        return
    from medsmith.machine import processor, usable_cores, versions

    started = time.monotonic()
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    shown.detail(f"medsmith {__version__}, {versions()}")
    shown.detail(f"{processor()}, {usable_cores()} of {os.cpu_count()} cores usable, OMP_NUM_THREADS {threads}")
    given = (
        f"{name.strip('_')}={value}" for name, value in options.items() if value is not None and value is not False
    )
    shown.detail(f"options: {' '.join(given)}")
    try:
        yield
    except Exception as error:
        shown.detail(f"raised in {_place(error)}")
        for note in getattr(error, "__notes__", ()):
            for line in note.splitlines():
                shown.detail(line)
        raise
    finally:
        shown.detail(f"{_torch_line()}{time.monotonic() - started:.1f} s in all")


@contextmanager
def _methods_named() -> Iterator[None]:
    """What a method of the user's own raises becomes an error that names it."""
    try:
        yield
    except MedsmithError:
        raise
    except Exception as error:
        elsewhere = sys.modules.get("medsmith.methods.elsewhere")  # if it is not loaded, no such method is in use
        fault = elsewhere.fault_of(error) if elsewhere else None
        if fault is None:
            raise
        raise fault from None


def _place(error: BaseException) -> str:
    """Where in the code an error arose, from the inside out."""
    package, places = Path(__file__).parents[1], []
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(package) and file != Path(__file__):
            places.append(f"{file.relative_to(package.parent)}:{line} ({frame.f_code.co_name})")
    return ", called from ".join(reversed(places[-_FRAMES:]))


def _torch_line() -> str:
    """What PyTorch ran on, where it was used at all."""
    torch = sys.modules.get("torch")
    if torch is None:
        return ""
    device = "with CUDA" if torch.cuda.is_available() else "on the CPU"
    return f"PyTorch {device}, {torch.get_num_threads()} thread(s); "
