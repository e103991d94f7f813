"""Standard streams that are closed, or whose reader is gone, do not stop a command; no line obeys a file's name."""

import errno
import io
import logging
import os
import sys
from typing import Any, TextIO, final

from medsmith.errors import printable

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
"""A pipe without a reader, a terminal that was closed, a stream that was."""
_STDERR = 2


def open_closed_streams() -> None:
    """Opens streams that the caller has closed (``2>&-``), lest the next file that is opened takes their place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: PTH123, SIM115


def outlive_readers() -> None:
    """What is written to a stream that nobody reads any more is dropped; log lines are escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:  # not what a notebook or a test put in its place
            stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, _Outliving(stream))
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_OneLine())


@final
class _OneLine(logging.Formatter):
    """A message on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The escaped message."""
        return printable(record.getMessage())


@final
class _Outliving:
    """A text stream that goes silent where its reader is gone; all else is that of the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes a text, or drops it."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Flushes what was written, or drops it."""
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        if error.errno not in _GONE and self._stream.fileno() != _STDERR:  # a full disk loses results, but no messages
            raise error
        # The buffer keeps what could not be written, and would be flushed to the same end when Python exits.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)
