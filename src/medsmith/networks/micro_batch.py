"""Joint network passes of several cases that are sampled at once, each by a thread of its own.

A case has a fixed row of a batch of fixed size. What the other rows hold, other cases or zeros, does not reach it: no
network here takes means over a batch. So the bytes of a case depend on the size of the batch, which changes the
rounding, and not on the cases beside it.

Axes: b rows of one case, B = size x b of the batch.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from medsmith.networks.controlnet import ControlNet
from medsmith.networks.unet import UNet

_JOINED = (UNet, ControlNet)
"""Networks that are called in every step of sampling."""
_PATIENCE = 8
"""Passes of another kind that a row waits for at most: with networks of several sizes one could wait for ever."""


@final
@dataclass(eq=False)
class _Pass:
    """A pass that a row waits for.

    Attributes:
        kind: what is equal in passes that can be joined: network, shapes, types and plain values.
        compute: the pass for a batch.
        inputs: tensors with b rows, and plain values.
        passed_over: number of passes of other kinds that were computed while it waited.
        output: with b rows, as soon as it is there.
        error: what the pass raised.
    """

    kind: tuple[Any, ...]
    compute: Callable[..., Any]
    inputs: tuple[Any, ...]
    passed_over: int = 0
    output: Any = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.output is not None or self.error is not None


@final
class MicroBatch:
    """Rows whose network passes are joined.

    A pass starts when every row that is being sampled waits for one: so rows in the same step of sampling share it.

    Args:
        size: number of rows.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._changed = threading.Condition()
        self._sampling: set[int] = set()
        self._waiting: dict[int, _Pass] = {}

    @contextmanager
    def row(self, number: int) -> Iterator[None]:
        """The passes of this thread belong to a row; a context manager for the sampling of one case.

        Args:
            number: of the row, from 0.
        """
        token = _ROW.set((self, number))
        with self._changed:
            self._sampling.add(number)
        try:
            yield
        finally:
            with self._changed:
                self._sampling.discard(number)
                self._changed.notify_all()
            _ROW.reset(token)

    def passed(self, number: int, asked: _Pass) -> Any:
        """The output of a pass of a row, computed when all rows wait.

        Args:
            number: of the row.
            asked: the pass.
        """
        with self._changed:
            self._waiting[number] = asked
            self._changed.notify_all()
            while not asked.done:
                if len(self._waiting) == len(self._sampling) and asked.kind == (chosen := self._chosen()):
                    self._compute(chosen)
                else:
                    self._changed.wait()
        if asked.error is not None:
            raise asked.error
        return asked.output

    def _chosen(self) -> tuple[Any, ...]:
        """The kind of pass that most rows wait for, of several that of the lowest row; one often passed over first."""
        longest = max(self._waiting.values(), key=lambda asked: asked.passed_over)
        if longest.passed_over >= _PATIENCE:
            return longest.kind
        kinds = [self._waiting[number].kind for number in sorted(self._waiting)]
        return max(kinds, key=kinds.count)

    def _compute(self, chosen: tuple[Any, ...]) -> None:
        """Computes the passes of a kind, in a thread that waits for one: autocast is a setting of the thread."""
        rows = {number: asked for number, asked in self._waiting.items() if asked.kind == chosen}
        for number in rows:
            del self._waiting[number]
        for asked in self._waiting.values():
            asked.passed_over += 1
        first = next(iter(rows.values()))
        try:
            places = range(len(first.inputs))
            joined = [self._joined({row: asked.inputs[place] for row, asked in rows.items()}) for place in places]
            output = first.compute(*joined)
            for number, asked in rows.items():
                asked.output = _row_of(output, number, self._size)
        except BaseException as error:
            for asked in rows.values():
                asked.error = error
        self._changed.notify_all()

    def _joined(self, values: Mapping[int, Any]) -> Any:
        """The values of the rows as one; rows that do not take part are zeros."""
        some = next(iter(values.values()))
        if isinstance(some, Tensor):
            empty = torch.zeros_like(some)
            return torch.cat([values.get(number, empty) for number in range(self._size)])
        if isinstance(some, tuple):
            return tuple(
                self._joined({row: value[place] for row, value in values.items()}) for place in range(len(some))
            )
        if _holds_tensors(some):
            parts = {
                each.name: {row: getattr(value, each.name) for row, value in values.items()} for each in fields(some)
            }
            return type(some)(**{name: self._joined(part) for name, part in parts.items()})
        return some


_ROW: ContextVar[tuple[MicroBatch, int] | None] = ContextVar("row", default=None)
"""Batch and row of what this thread samples."""


def let_join(module: nn.Module) -> None:
    """Lets the networks in a module join their passes within ``MicroBatch.row``; elsewhere they compute as before.

    Args:
        module: changed in place; a second call changes nothing.
    """
    for network in module.modules():
        if isinstance(network, _JOINED) and "forward" not in vars(network):
            network.forward = _joining(network, network.forward)  # type: ignore[method-assign]


def _joining(network: nn.Module, compute: Callable[..., Any]) -> Callable[..., Any]:
    """The pass of a network, joined with those of other rows."""

    def forward(*inputs: Any, **named: Any) -> Any:
        if (found := _ROW.get()) is None:
            return compute(*inputs, **named)
        batch, row = found
        names = tuple(sorted(named))
        values = (*inputs, *(named[name] for name in names))

        def of_all(*joined: Any) -> Any:
            return compute(*joined[: len(inputs)], **dict(zip(names, joined[len(inputs) :], strict=True)))

        return batch.passed(row, _Pass((id(network), names, *map(_kind_of, values)), of_all, values))

    return forward


def _kind_of(value: Any) -> Any:
    """What must be equal in values of rows that are joined."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype, value.device
    if isinstance(value, tuple):
        return tuple(map(_kind_of, value))
    if _holds_tensors(value):
        return type(value), *(_kind_of(getattr(value, each.name)) for each in fields(value))
    return value


def _row_of(output: Any, number: int, size: int) -> Any:
    """The part of an output that belongs to a row."""
    if isinstance(output, Tensor):
        return output.tensor_split(size)[number]
    if isinstance(output, Sequence):
        return tuple(_row_of(each, number, size) for each in output)
    assert _holds_tensors(output), f"a network returns {type(output).__name__}"
    return type(output)(**{each.name: _row_of(getattr(output, each.name), number, size) for each in fields(output)})


def _holds_tensors(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)
