"""log.txt: what each call of training or synthesis did, and when. Every call appends to it; nothing reads it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import final

from medsmith import __version__
from medsmith.errors import MedsmithError, printable
from medsmith.machine import processor, usable_cores, versions
from medsmith.progress import LOG_SECONDS, Advance, Progress, SecondsLeft, unlimited

LOG = "log.txt"


@final
@dataclass(frozen=True)
class LogFile:
    """A log; it can be sent to other processes.

    Attributes:
        path: of the file.
    """

    path: Path

    def line(self, text: str) -> None:
        """Appends a line with the time, in UTC. A disk that does not take it stops nothing."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with suppress(OSError), self.path.open("a", encoding="utf-8") as file:
            file.write(f"{now} {printable(text)}\n")

    @contextmanager
    def call(self, what: str) -> Iterator[None]:
        """Lines at the beginning and the end of a call.

        Args:
            what: it does.
        """
        self.line(f"{what}; medsmith {__version__}, {versions()}; {processor()}, {usable_cores()} cores usable")
        started = time.monotonic()
        try:
            yield
        except MedsmithError as error:
            self.line(f"ended: {error.line}")
            raise
        except KeyboardInterrupt:
            self.line("interrupted")
            raise
        except Exception as error:
            self.line(f"ended: {type(error).__name__}: {error}")
            raise
        self.line(f"done in {time.monotonic() - started:.1f} s")

    def with_report(self, report: Callable[[str], None]) -> Callable[[str], None]:
        """A receiver of lines that also logs them."""
        return partial(_report_both, report, self)


def _report_both(report: Callable[[str], None], log: LogFile, text: str) -> None:
    log.line(text)
    report(text)


@final
@dataclass(frozen=True)
class LoggedProgress:
    """Another display, with lines in a log: at the beginning and end of each task, and every 30 s.

    Attributes:
        shown: the display.
        log: receives the lines.
    """

    shown: Progress
    log: LogFile

    @contextmanager
    def task(self, name: str, total: int, done: int = 0, limit: SecondsLeft = unlimited) -> Iterator[Advance]:
        """A context that yields ``advance(steps, note)`` of the display."""
        started = told = time.monotonic()
        reached = done
        self.log.line(f"{name}: {done} of {total}")
        try:
            with self.shown.task(name, total, done, limit) as shown:

                def advance(steps: int, note: str) -> None:
                    nonlocal reached, told
                    reached += steps
                    shown(steps, note)
                    if time.monotonic() - told >= LOG_SECONDS:
                        told = time.monotonic()
                        self.log.line(f"{name}: {reached} of {total} {note}".rstrip())

                yield advance
        finally:
            seconds = time.monotonic() - started
            self.log.line(f"{name}: {reached} of {total}, {reached - done} of them in {seconds:.1f} s")
