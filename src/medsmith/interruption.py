"""SIGINT, SIGTERM and SIGHUP (a closed terminal), deferred until a step is complete and saved."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Windows has no SIGHUP."""
# Terminal and parent process may both deliver one Ctrl-C: a signal this soon after the first is the same request.
DUPLICATE_SECONDS = 1.0


@final
class _StopRequest:
    """Records the first signal; a second one interrupts at once."""

    def __init__(self) -> None:
        self._requested_at: float | None = None

    def __call__(self) -> bool:
        return self._requested_at is not None

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        now = time.monotonic()
        if self._requested_at is None:
            self._requested_at = now
        elif now - self._requested_at > DUPLICATE_SECONDS:
            raise KeyboardInterrupt


def heeded_signals() -> tuple[signal.Signals, ...]:
    """The signals that this process does not ignore."""
    return tuple(number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN)


@contextmanager
def defer_interrupts() -> Iterator[Callable[[], bool]]:
    """Inside, the signals are recorded; a second one, more than a second later, interrupts at once.

    What the caller ignores stays ignored, such as SIGHUP under nohup.

    Yields:
        A function that returns whether a signal has come. Outside the main thread, where Python handles no signals, it
        returns False.
    """
    request = _StopRequest()
    try:
        earlier = [(number, signal.signal(number, request.handle)) for number in heeded_signals()]
    except ValueError:  # not the main thread
        yield request
        return
    try:
        yield request
    finally:
        for number, handler in earlier:
            signal.signal(number, handler)


@contextmanager
def interrupting_children() -> Iterator[None]:
    """Pass a KeyboardInterrupt of this process on to the processes started inside, and wait for them."""
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
