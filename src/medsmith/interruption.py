"""Ctrl-C and polite kills that wait until a step is done, so that what is saved is whole."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A terminal and a parent process may both pass on one Ctrl-C: what comes this soon after the first is the same wish.
SECONDS_BETWEEN = 1.0


@final
class _Wish:
    """Whether an end was asked for; asked for again, it comes at once."""

    def __init__(self) -> None:
        self._since: float | None = None

    def __call__(self) -> bool:
        return self._since is not None

    def take(self, _number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        elif now - self._since > SECONDS_BETWEEN:
            raise KeyboardInterrupt


@contextmanager
def held_back() -> Iterator[Callable[[], bool]]:
    """Inside, SIGINT and SIGTERM are only noted; a second one, a second later, interrupts at once.

    Yields:
        Whether one has come. Outside the main thread, which alone may handle signals, it says no.
    """
    wish = _Wish()
    try:
        earlier = [(number, signal.signal(number, wish.take)) for number in SIGNALS]
    except ValueError:  # not the main thread
        yield wish
        return
    try:
        yield wish
    finally:
        for number, handler in earlier:
            signal.signal(number, handler)


@contextmanager
def interrupting_children() -> Iterator[None]:
    """An interrupt of this process alone reaches those that it started to train."""
    earlier = multiprocessing.active_children()
    try:
        yield
    except KeyboardInterrupt:
        started = [child for child in multiprocessing.active_children() if child not in earlier]
        for child in started:
            os.kill(child.pid or os.getpid(), signal.SIGINT)
        for child in started:
            child.join()
        raise
