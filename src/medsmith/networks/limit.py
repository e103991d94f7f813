"""Networks of a description from outside are not built larger than they can be."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)


@final
class TooManyNumbersError(Exception):
    """More numbers than allowed."""


@contextmanager
def limited_numbers(most: int) -> Iterator[None]:
    """Inside, the parameters and buffers of the modules that are built have a number of elements at most.

    A parameter is counted when it is registered: its memory is reserved then, and not yet filled.

    Args:
        most: elements of all of them.

    Raises:
        TooManyNumbersError: there are more.
    """
    count = 0

    def counted(_module: nn.Module, _name: str, tensor: Tensor | None) -> None:
        nonlocal count
        count += 0 if tensor is None else tensor.numel()
        if count > most:
            raise TooManyNumbersError

    hooks = [
        register_module_parameter_registration_hook(counted),
        register_module_buffer_registration_hook(counted),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
