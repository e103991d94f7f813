"""Progress reporting: a progress bar on a terminal, periodic lines in a log, or nothing."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar, final, runtime_checkable

from medsmith.errors import printable

Advance = Callable[[int, str], None]
SecondsLeft = Callable[[], float]
FIRST_LOG_SECONDS, LOG_SECONDS = 5.0, 30.0
_HOURS = 2 * 60 * 60
"""Until the first line of a task in a log, and between lines at most; each wait is twice the one before."""
_Result = TypeVar("_Result")


def unlimited() -> float:
    """The seconds that are left where there is no limit."""
    return math.inf


def silent(_line: str) -> None:
    """Takes a line that nobody wants to read."""


def ignored(_steps: int, _note: str) -> None:
    """Takes a step that nobody watches."""


@runtime_checkable
class Progress(Protocol):
    """Reports the progress of a task."""

    def task(
        self, name: str, total: int, done: int = 0, limit: SecondsLeft = unlimited
    ) -> AbstractContextManager[Advance]:
        """A context that yields ``advance(steps, note)``.

        Args:
            name: of the task.
            total: its steps.
            done: steps that are done already.
            limit: seconds after which the task ends, whatever its steps; asked whenever the time left is shown.
        """
        ...


def clock_after(seconds: float, now: datetime) -> str:
    """The time of day that comes after so many seconds, with the date if it is on another day."""
    end = now + timedelta(seconds=seconds)
    return end.strftime("%H:%M" if end.date() == now.date() else "%d %b %H:%M")


def two_digits(seconds: float) -> str:
    """Seconds of a step, to two digits."""
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"


@final
class NullProgress:
    """Reports nothing."""

    @contextmanager
    def task(self, name: str, total: int, done: int = 0, limit: SecondsLeft = unlimited) -> Iterator[Advance]:  # noqa: ARG002
        """A context whose ``advance`` does nothing."""
        yield ignored


def advancing(function: Callable[[str], _Result], advance: Advance) -> Callable[[str], _Result]:
    """The same function of a case's id, which advances a task by one step whenever it is called."""

    def called(case_id: str) -> _Result:
        try:
            return function(case_id)
        finally:
            advance(1, case_id)

    return called


@final
class ConsoleProgress:
    """A bar on a terminal; otherwise a line after 5, 15 and 35 s, then every 30 s. Both go to standard error."""

    def task(
        self, name: str, total: int, done: int = 0, limit: SecondsLeft = unlimited
    ) -> AbstractContextManager[Advance]:
        """A context that yields ``advance(steps, note)``; the time left that it shows is never above the limit's."""
        return _bar(name, total, done, limit) if sys.stderr.isatty() else _lines(name, total, done, limit)


@contextmanager
def _bar(name: str, total: int, done: int, limit: SecondsLeft) -> Iterator[Advance]:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[left]}", style="progress.remaining"),
        progress.TextColumn("{task.fields[note]}", markup=False),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total, completed=done, note="", left=_clock(limit()))

        def advance(steps: int, note: str) -> None:
            bar.update(task, advance=steps, note=printable(note))
            estimate = bar.tasks[0].time_remaining
            bar.update(task, left=_clock(limit() if estimate is None else min(estimate, limit())))

        yield advance


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds; dashes where it is unknown."""
    return str(timedelta(seconds=int(max(seconds, 0)))) if math.isfinite(seconds) else "-:--:--"


def _duration(seconds: float) -> str:
    """In minutes, from two hours on in hours."""
    return f"{seconds / 60:.1f} min" if seconds < _HOURS else f"{seconds / 3600:.1f} h"


@contextmanager
def _lines(name: str, total: int, done: int, limit: SecondsLeft) -> Iterator[Advance]:
    started = reported = time.monotonic()
    reached, wait = done, FIRST_LOG_SECONDS

    def advance(steps: int, note: str) -> None:
        nonlocal reached, reported, wait
        reached += steps
        now = time.monotonic()
        if now - reported < wait and reached < total:
            return
        reported, wait = now, min(2 * wait, LOG_SECONDS)
        left = min((now - started) / max(reached - done, 1) * (total - reached), max(limit(), 0.0))
        line = f"{name}: {reached} of {total}, {_duration(left)} left {printable(note)}"
        print(line.rstrip(), file=sys.stderr, flush=True)

    yield advance


@final
@dataclass(frozen=True)
class TimedProgress:
    """Another display, and one line on what each task took.

    Attributes:
        shown: the display.
        report: receives a line at the end of every task, finished or not.
    """

    shown: Progress
    report: Callable[[str], None]

    @contextmanager
    def task(self, name: str, total: int, done: int = 0, limit: SecondsLeft = unlimited) -> Iterator[Advance]:
        """A context that yields ``advance(steps, note)`` of the display."""
        started, reached = time.monotonic(), done
        try:
            with self.shown.task(name, total, done, limit) as shown:

                def advance(steps: int, note: str) -> None:
                    nonlocal reached
                    reached += steps
                    shown(steps, note)

                yield advance
        finally:
            seconds = time.monotonic() - started
            self.report(f"{name}: {reached} of {total}, {reached - done} of them in {seconds:.2f} s")
