"""The label maps of the training cohort that a run keeps, compressed: a map takes kilobytes, not megabytes."""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from medsmith.data.batches import Example
from medsmith.errors import RunError
from medsmith.methods.base import evenly_chosen
from medsmith.methods.label_maps import Map

BANK_BYTES = 16 * 2**20
"""Largest size of all kept maps, compressed."""
_MAPS, _ENDS, _EXTENTS = "label_maps", "label_maps.ends", "label_maps.extents"


def kept_maps(examples: Sequence[Example], most: int) -> dict[str, Tensor]:
    """Label maps with their fields of view for the memory of a run; an even selection where there are too many.

    Args:
        examples: with labels.
        most: largest number of maps to keep; 0 keeps none.
    """
    if not most:
        return {}
    chosen = evenly_chosen(examples, most)
    packed = [zlib.compress(each["labels"][0].numpy().tobytes(), 9) for each in chosen]
    fits = max(1, BANK_BYTES * len(packed) // max(sum(map(len, packed)), 1))
    rows = [number * len(packed) // min(len(packed), fits) for number in range(min(len(packed), fits))]
    packed, chosen = [packed[row] for row in rows], [chosen[row] for row in rows]
    return {
        _MAPS: torch.frombuffer(bytearray(b"".join(packed)), dtype=torch.uint8),
        _ENDS: torch.tensor([len(each) for each in packed]).cumsum(0),
        _EXTENTS: torch.stack([each["extent"] for each in chosen]),
    }


def number_kept(memory: Mapping[str, Tensor]) -> int:
    """How many maps the memory of a run has."""
    return len(memory[_ENDS]) if _ENDS in memory else 0


def kept_map(
    memory: Mapping[str, Tensor], index: int, size: tuple[int, ...], classes: int
) -> tuple[Map, Float32[Tensor, "axes"]]:
    """A map and its field of view (``label_maps.extent_of``).

    Args:
        memory: of a run that keeps maps.
        index: from 0.
        size: grid of the maps.
        classes: with the background.

    Raises:
        RunError: the memory is damaged.
    """
    try:
        ends = [0, *memory[_ENDS].tolist()]
        packed = memory[_MAPS][ends[index] : ends[index + 1]].cpu().numpy().tobytes()
        voxels = zlib.decompressobj().decompress(packed, math.prod(size))
        labels = np.frombuffer(voxels, np.uint8).reshape(size).copy()
        extent = memory[_EXTENTS][index].cpu().float()
        if labels.max() < classes and len(extent) == len(size) and bool(extent.isfinite().all()):
            return labels, extent
    except (zlib.error, KeyError, IndexError, TypeError, ValueError):
        pass
    raise RunError("memory.safetensors", f"label map {index} is damaged", cure="copy the run again, or train again")
