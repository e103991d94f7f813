"""Seeds, and noise that depends on the case alone and not on its batch."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor


def derive_seed(*parts: int | np.integer[Any] | str) -> int:
    """A 127-bit seed that depends on every part; the same parts give the same seed on every machine.

    Args:
        parts: integers and strings; 1 and "1" give different seeds.
    """
    text = json.dumps([part if isinstance(part, str) else int(part) for part in parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16]) >> 1


@final
class SeededNoise:
    """Standard normal noise, one stream per case of a batch, float32 on the CPU.

    The noise of a case depends on its seed and on the number of earlier calls, not on batch, order, worker or device.
    NumPy's PCG64 uses the whole seed. Torch's CPU generator uses 32 bits of it, so that among ten thousand cases two
    would share their noise with a probability of 1 %.

    Args:
        seeds: of the cases.
        temperature: standard deviation of the noise. Below 1 samples are nearer to the mean of the distribution.
    """

    def __init__(self, seeds: Sequence[int], temperature: float = 1.0) -> None:
        self._temperature = np.float32(temperature)
        self._streams = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]

    def __call__(self, *shape: int) -> Float32[Tensor, "b ..."]:
        """The next noise of every stream: b × shape."""
        noise = [stream.standard_normal(shape, dtype=np.float32) for stream in self._streams]
        return torch.from_numpy(np.stack(noise) * self._temperature)
