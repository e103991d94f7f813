"""A process that is killed, or a disk that is full, at the n-th change of the file system."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

REMOVALS = ("unlink", "rmdir")
CHANGES = ("replace", "mkdir", "open", *REMOVALS)
"""Every change that a writer makes is one of these, but for the bytes of its temporary files."""


class Killed(BaseException):
    """The process is dead."""


class Struck(list[str]):
    """The change that failed, if any."""


@contextmanager
def killed_at(number: int) -> Iterator[Struck]:
    """The n-th change, from 1, raises ``Killed``; nothing that would clean up changes the disk afterwards."""
    with _faulty(number, Killed(), REMOVALS, counted=CHANGES) as struck:
        yield struck


@contextmanager
def full_at(number: int) -> Iterator[Struck]:
    """The n-th change, from 1, finds no space; removals and later changes succeed."""
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with _faulty(number, error, (), counted=("replace", "mkdir", "open")) as struck:
        yield struck


@contextmanager
def _faulty(
    number: int, error: BaseException, idle_after: tuple[str, ...], counted: tuple[str, ...]
) -> Iterator[Struck]:
    true = {name: getattr(os, name) for name in CHANGES}
    count, struck = 0, Struck()

    def failing(name: str) -> Any:
        def change(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            if name == "open" and not arguments[1] & os.O_CREAT:
                return true[name](*arguments, **options)
            if struck and name in idle_after:
                return None
            count += name in counted
            if count == number and not struck:
                struck.append(name)
                raise error
            return true[name](*arguments, **options)

        return change

    for name in CHANGES:
        setattr(os, name, failing(name))
    try:
        yield struck
    finally:
        for name, function in true.items():
            setattr(os, name, function)
