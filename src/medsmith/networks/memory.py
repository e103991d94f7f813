"""What is done where the memory of a device is exhausted: the same in smaller pieces.

Synthesis records the pieces in the provenance of the case. Encoding for training takes them without a record: they
change latents by float32 rounding.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

from medsmith.errors import is_out_of_memory

_Made = TypeVar("_Made")
_smaller: ContextVar[list[int] | None] = ContextVar("smaller", default=None)
"""Sizes of the pieces that are noted within ``noting_smaller_pieces``."""


@contextmanager
def noting_smaller_pieces() -> Iterator[list[int]]:
    """Collects the sizes of the pieces that ``made_in_pieces`` had to take within."""
    found: list[int] = []
    token = _smaller.set(found)
    try:
        yield found
    finally:
        _smaller.reset(token)


def made_in_pieces(make: Callable[[int], _Made], size: int, smallest: int) -> _Made:
    """What is made in pieces of a size, or of half of it, and so on, where memory is exhausted.

    Args:
        make: makes it in pieces of a size.
        size: the first that is tried.
        smallest: size at which the error is raised.
    """
    while (made := _made(make, size, smallest)) is None:
        free_memory()
        size = max(size // 2, smallest)
        if (noted := _smaller.get()) is not None:
            noted.append(size)
    return made


def free_memory() -> None:
    """Gives back what a pass that failed has held; to be called when its error is gone, which holds its tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _made(make: Callable[[int], _Made], size: int, smallest: int) -> _Made | None:
    """What is made in pieces of a size; None if they do not fit and smaller ones may."""
    try:
        return make(size)
    except Exception as error:
        if size <= smallest or not is_out_of_memory(error):
            raise
    return None
