"""Batches as a pure function of (seed, step), so that a data loader has no state to save."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import final

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from medsmith.diffusion import derive_seed

Example = Mapping[str, Tensor]
Batch = Mapping[str, Tensor]
Mirrored = Callable[[int, tuple[int, ...]], Example]
"""(index, axes of space) -> the example, mirrored along these axes."""


@final
class Batches:
    """Random batches over a cohort, each case once per epoch.

    Args:
        count: number of examples.
        mirrored: returns one of them, mirrored.
        size: cases per batch.
        seed: of the order and the mirroring.
        flips: axes of space along which a case is mirrored half of the time.
    """

    def __init__(self, count: int, mirrored: Mirrored, size: int, seed: int, flips: tuple[int, ...] = ()) -> None:
        self._count, self.mirrored, self._size, self._seed, self._flips = count, mirrored, size, seed, flips
        self._order_of = lru_cache(maxsize=2)(self._order)  # those of one batch: an order takes the time of all cases

    def indices(self, step: int) -> list[int]:
        """Indices of the batch at ``step``; a batch may span two epochs."""
        positions = [divmod(position, self._count) for position in range(step * self._size, (step + 1) * self._size)]
        return [int(self._order_of(epoch)[position]) for epoch, position in positions]

    def __call__(self, step: int, process: int = 0, processes: int = 1) -> Batch:
        """The batch at ``step``: each tensor with a leading batch axis.

        Args:
            step: of the stage.
            process: whose cases are read: every ``processes``-th from it on.
            processes: that share the batch.
        """
        rng = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "flip", step)))
        cases = [(index, self._axes(rng)) for index in self.indices(step)]
        chosen = [self.mirrored(index, axes) for index, axes in cases[process::processes]]
        return {key: torch.stack([example[key] for example in chosen]) for key in chosen[0]}

    def _order(self, epoch: int) -> Int[np.ndarray, " cases"]:
        """The order of the cases in one epoch."""
        order = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "order", epoch)))
        return order.permutation(self._count)

    def _axes(self, rng: np.random.Generator) -> tuple[int, ...]:
        return tuple(axis for axis in self._flips if rng.random() < 0.5)


def mirrored(example: Example, axes: tuple[int, ...]) -> Example:
    """An example mirrored along axes of space; tensors with fewer axes (vectors of words) are not spatial.

    Args:
        example: tensors c *space, and others.
        axes: of space.
    """
    if not axes:
        return example
    rank = max(tensor.ndim for tensor in example.values())
    flipped = [1 + axis for axis in axes]
    return {key: tensor.flip(flipped) if tensor.ndim == rank else tensor for key, tensor in example.items()}


def batches_of(examples: Sequence[Example], size: int, seed: int, flips: tuple[int, ...] = ()) -> Batches:
    """Batches of examples that are mirrored as they are read."""
    return Batches(len(examples), lambda index, axes: mirrored(examples[index], axes), size, seed, flips)
