"""What a command says, and on which stream.

=========  ===============  ======  =====================  ==============
what       usually          -q      -v                     --json
=========  ===============  ======  =====================  ==============
result     stdout           stdout  stdout                 stdout, as JSON
note       stdout           none    stdout                 stderr
remark     stderr           none    stderr                 stderr
progress   stderr           none    stderr, with seconds   stderr
detail     none             none    stderr                 none
=========  ===============  ======  =====================  ==============
"""

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import typer

from medsmith.cases.case_files import NO_IMAGE, NO_LABELS
from medsmith.errors import printable
from medsmith.progress import ConsoleProgress, NullProgress, Progress, TimedProgress


@final
@dataclass(frozen=True)
class Terminal:
    """How much a command says, and in which form.

    Its methods can be sent to other processes, which say as much.

    Attributes:
        quiet: results and errors alone.
        verbose: details as well.
        as_json: the result is one JSON value.
    """

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False

    def result(self, value: Any, lines: Iterable[str]) -> None:
        """Says what came out, once per command: as lines, or as one JSON value.

        Args:
            value: of JSON's kinds, of arrays and of paths; numbers that are not finite become null.
            lines: the same for a reader.
        """
        if self.as_json:
            typer.echo(json.dumps(_plain(value), allow_nan=False))
            return
        for line in lines:
            typer.echo(printable(line))

    def results(self, values: Iterable[Any], line_of: Callable[[Any], str]) -> None:
        """Says several results instead of one: each line as soon as it is known, or one JSON list.

        Args:
            values: of JSON's kinds.
            line_of: the line of a value.
        """
        if self.as_json:
            self.result(list(values), ())
        for value in () if self.as_json else values:
            typer.echo(printable(line_of(value)))

    def note(self, line: str) -> None:
        """Says something to know besides the result."""
        if not self.quiet:
            typer.echo(printable(line), err=self.as_json)

    def remark(self, line: str) -> None:
        """Says how the input was understood."""
        if not self.quiet:
            typer.echo(printable(line), err=True)

    def detail(self, line: str) -> None:
        """Says what only a search for a fault needs."""
        if self.verbose:
            typer.echo(printable(line), err=True)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Shows on a terminal that libraries are loaded, which takes seconds; a log gets nothing."""
        if self.quiet:
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status("loading"):
            yield

    @property
    def progress(self) -> Progress:
        """The display of long work."""
        if self.quiet:
            return NullProgress()
        return TimedProgress(ConsoleProgress(), self.detail) if self.verbose else ConsoleProgress()


_CURRENT: ContextVar[Terminal] = ContextVar("terminal")


def terminal() -> Terminal:
    """That of the command that runs."""
    return _CURRENT.get(Terminal())


@contextmanager
def speaking(chosen: Terminal) -> Iterator[None]:
    """A context in which commands say as much as chosen; warnings of the library are no results."""
    log = logging.getLogger("medsmith")
    before, token = log.level, _CURRENT.set(chosen)
    once = _SaidOnce()
    log.setLevel(logging.ERROR if chosen.quiet else before)
    log.addFilter(once)
    try:
        yield
    finally:
        log.removeFilter(once)
        log.setLevel(before)
        _CURRENT.reset(token)


@final
class _SaidOnce(logging.Filter):
    """Of several folders without any labels, or images, the first alone is named: the result counts those of all."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is new."""
        found = {note for note in (NO_LABELS, NO_IMAGE) if record.getMessage().endswith(f": {note}")}
        new = not found & self._said
        self._said |= found
        return new


def _plain(value: Any) -> Any:
    """The value in JSON's kinds."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # an array or a scalar of NumPy, which is not imported for this
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
