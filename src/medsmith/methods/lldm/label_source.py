"""Where a label map comes from: noise, a deformed map of the training cohort, or a given case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from medsmith.data.batches import Example
from medsmith.data.deformation import DeformationConfig, deformed
from medsmith.data.label_facts import LabelFacts
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.methods.base import evenly_chosen

BANK_BYTES = 16 * 2**20
"""Largest size of the label maps that a run keeps of its training cohort."""
_BANK = "label_maps"
Map = UInt8[np.ndarray, "*space"]


@final
@dataclass(frozen=True, eq=False)
class DrawnMap:
    """A label map that was drawn.

    Attributes:
        labels: indices of classes on the network's grid.
        draws: how many were drawn.
        problems: what is not as in training; empty for a legal map.
        extent: field of view of a given map (``examples.extent_of``); None for drawn ones.
    """

    labels: Map
    draws: int
    problems: tuple[str, ...]
    extent: Float32[Tensor, "axes"] | None = None


def map_bank(examples: Sequence[Example], classes: int, most: int) -> dict[str, Tensor]:
    """Facts of the training maps and the maps themselves; an even selection where there are too many to keep.

    Args:
        examples: with labels.
        classes: with the background.
        most: largest number of maps to keep; 0 keeps none.
    """
    facts = LabelFacts.of((each["labels"][0].numpy() for each in examples), classes)
    if not most:
        return facts.tensors()
    kept = evenly_chosen(examples, min(most, max(1, BANK_BYTES // examples[0]["labels"].numel())))
    return {**facts.tensors(), _BANK: torch.stack([each["labels"][0] for each in kept])}


def deformed_map(memory: Mapping[str, Tensor], config: DeformationConfig, seed: int) -> Map:
    """A map of the training cohort, chosen and deformed by a seed.

    Raises:
        RequestError: the run keeps no maps.
    """
    if _BANK not in memory:
        found = "deformed, but this run keeps no label maps (kept_maps = 0)"
        raise RequestError("maps", found, "generated", "ask for these, or give label maps (labels)")
    bank = memory[_BANK]
    chosen = bank[derive_seed(seed, "map") % len(bank)].cpu().numpy()
    return deformed(chosen, config, derive_seed(seed, "deformation"))


def draw_legal(draw: Callable[[int], Map], facts: LabelFacts | None, seed: int, draws: int) -> DrawnMap:
    """The first map, without fragments, that is legal; if none is, the last with its problems.

    Args:
        draw: makes a map from a seed.
        facts: of the training maps; None takes the first map.
        seed: of all draws.
        draws: their largest number.
    """
    found = DrawnMap(np.zeros(0, np.uint8), 0, ())
    for number in range(1, draws + 1):
        labels = draw(derive_seed(seed, "draw", number))
        if facts is None:
            return DrawnMap(labels, number, ())
        labels = facts.without_fragments(labels)
        found = DrawnMap(labels, number, facts.problems(labels))
        if not found.problems:
            break
    return found
