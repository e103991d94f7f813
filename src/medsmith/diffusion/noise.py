"""Noise that belongs to a case, not to a batch."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor


def derive_seed(*parts: int | np.integer[Any] | str) -> int:
    """A 127-bit seed that depends on every part: the same parts give the same seed on every machine.

    Args:
        parts: whole numbers and texts; 1 and "1" are different parts.
    """
    text = json.dumps([part if isinstance(part, str) else int(part) for part in parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16]) >> 1


@final
class SeededNoise:
    """Standard normal draws, one stream per case of a batch, float32 on the CPU.

    A case's noise depends on its own seed and on how often it was drawn: not on the batch it sits in, the order, the
    worker, or the device it moves to. NumPy's PCG64 takes the whole seed; torch's CPU generator keeps 32 bits of it,
    so that two cases in ten thousand would meet at odds of 1 in 100.

    Args:
        seeds: of the cases.
        temperature: standard deviation of the draws. Below 1 a walk keeps nearer to the mean of what it could draw.
    """

    def __init__(self, seeds: Sequence[int], temperature: float = 1.0) -> None:
        self._temperature = np.float32(temperature)
        self._streams = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]

    def __call__(self, *shape: int) -> Float32[Tensor, "b ..."]:
        """The next draw of every stream: b × shape."""
        draws = [stream.standard_normal(shape, dtype=np.float32) for stream in self._streams]
        return torch.from_numpy(np.stack(draws) * self._temperature)
