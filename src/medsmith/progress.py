"""Progress reporting: a progress bar on a terminal, periodic lines in a log, or nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, final, runtime_checkable

Advance = Callable[[int, str], None]
LOG_SECONDS = 30.0


@runtime_checkable
class Progress(Protocol):
    """Reports the progress of a task."""

    def task(self, name: str, total: int, done: int = 0) -> AbstractContextManager[Advance]:
        """A context that yields ``advance(steps, note)``."""
        ...


@final
class NullProgress:
    """Reports nothing."""

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Advance]:  # noqa: ARG002
        """A context whose ``advance`` does nothing."""
        yield _nothing


def _nothing(_steps: int, _note: str) -> None:
    """Ignores a step."""


@final
class ConsoleProgress:
    """A bar on a terminal; otherwise one line every 30 s. Both go to standard error."""

    def task(self, name: str, total: int, done: int = 0) -> AbstractContextManager[Advance]:
        """A context that yields ``advance(steps, note)``."""
        return _bar(name, total, done) if sys.stderr.isatty() else _lines(name, total, done)


@contextmanager
def _bar(name: str, total: int, done: int) -> Iterator[Advance]:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}"),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total, completed=done, note="")
        yield lambda steps, note: bar.update(task, advance=steps, note=note)


@contextmanager
def _lines(name: str, total: int, done: int) -> Iterator[Advance]:
    started = reported = time.monotonic()
    reached = done

    def advance(steps: int, note: str) -> None:
        nonlocal reached, reported
        reached += steps
        now = time.monotonic()
        if now - reported < LOG_SECONDS and reached < total:
            return
        reported = now
        left = (now - started) / max(reached - done, 1) * (total - reached)
        print(f"{name}: {reached} of {total}, {left / 60:.1f} min left {note}", file=sys.stderr, flush=True)

    yield advance
