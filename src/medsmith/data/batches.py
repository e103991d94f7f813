"""Batches as a pure function of (seed, step): nothing to save, nothing to lose."""

from collections.abc import Callable, Mapping, Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from medsmith.diffusion import derive_seed

Example = Mapping[str, Tensor]
Batch = Mapping[str, Tensor]
Mirrored = Callable[[int, tuple[int, ...]], Example]
"""(index, axes of space) -> the example mirrored along these axes."""


@final
class Batches:
    """Random batches over a cohort, each case once per pass.

    Args:
        count: number of examples.
        mirrored: gives one of them, mirrored.
        size: cases per batch.
        seed: of the order and the mirroring.
        flips: axes of space along which a case is mirrored half of the time.
    """

    def __init__(self, count: int, mirrored: Mirrored, size: int, seed: int, flips: tuple[int, ...] = ()) -> None:
        self._count, self.mirrored, self._size, self._seed, self._flips = count, mirrored, size, seed, flips

    def indices(self, step: int) -> list[int]:
        """Cases of the batch at ``step``; passes follow each other without a gap."""
        places = [divmod(place, self._count) for place in range(step * self._size, (step + 1) * self._size)]
        orders = {number: self._order(number) for number, _ in places}
        return [int(orders[number][place]) for number, place in places]

    def __call__(self, step: int) -> Batch:
        """The batch at ``step``: each tensor with a leading batch axis."""
        rng = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "flip", step)))
        chosen = [self.mirrored(index, self._axes(rng)) for index in self.indices(step)]
        return {key: torch.stack([example[key] for example in chosen]) for key in chosen[0]}

    def _order(self, number: int) -> Int[np.ndarray, " cases"]:
        """The order of the cases in one pass."""
        order = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "order", number)))
        return order.permutation(self._count)

    def _axes(self, rng: np.random.Generator) -> tuple[int, ...]:
        return tuple(axis for axis in self._flips if rng.random() < 0.5)


def mirrored(example: Example, axes: tuple[int, ...]) -> Example:
    """An example mirrored along axes of space; tensors of fewer axes (vectors of words) have no place in space.

    Args:
        example: tensors c *space, and others.
        axes: of space.
    """
    if not axes:
        return example
    rank = max(tensor.ndim for tensor in example.values())
    turned = [1 + axis for axis in axes]
    return {key: tensor.flip(turned) if tensor.ndim == rank else tensor for key, tensor in example.items()}


def batches_of(examples: Sequence[Example], size: int, seed: int, flips: tuple[int, ...] = ()) -> Batches:
    """Batches of examples that are mirrored as they are read."""
    return Batches(len(examples), lambda index, axes: mirrored(examples[index], axes), size, seed, flips)
