"""Batches as a pure function of (seed, step): nothing to save, nothing to lose."""

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from medsmith.diffusion import derive_seed

Example = Mapping[str, Tensor]
Batch = Mapping[str, Tensor]


@final
class Batches:
    """Random batches over a cohort, each case once per pass.

    Args:
        examples: prepared cases: tensors c *space; those of fewer axes (vectors of words) have no place in space and
            are never mirrored.
        size: cases per batch.
        seed: of the order and the mirroring.
        flips: axes of space along which a case is mirrored half of the time.
    """

    def __init__(self, examples: Sequence[Example], size: int, seed: int, flips: tuple[int, ...] = ()) -> None:
        self._examples, self._size, self._seed, self._flips = examples, size, seed, flips

    def indices(self, step: int) -> list[int]:
        """Cases of the batch at ``step``; passes follow each other without a gap."""
        places = [divmod(place, len(self._examples)) for place in range(step * self._size, (step + 1) * self._size)]
        orders = {number: self._order(number) for number, _ in places}
        return [int(orders[number][place]) for number, place in places]

    def __call__(self, step: int) -> Batch:
        """The batch at ``step``: each tensor with a leading batch axis."""
        flip = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "flip", step)))
        chosen = [self._mirrored(self._examples[index], flip) for index in self.indices(step)]
        return {key: torch.stack([example[key] for example in chosen]) for key in chosen[0]}

    def _order(self, number: int) -> Int[np.ndarray, " cases"]:
        """The order of the cases in one pass."""
        order = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "order", number)))
        return order.permutation(len(self._examples))

    def _mirrored(self, example: Example, draw: np.random.Generator) -> Example:
        axes = [1 + axis for axis in self._flips if draw.random() < 0.5]
        rank = max(tensor.ndim for tensor in example.values())
        return {key: tensor.flip(axes) if axes and tensor.ndim == rank else tensor for key, tensor in example.items()}
