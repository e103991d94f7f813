"""Which cases are learned from, and which are then tested."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import final

import numpy as np
from recipe_sources import Subset

from medsmith.errors import RequestError
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort
from medsmith.evaluation.downstream.separation import only_cases
from medsmith.evaluation.downstream.subsets import draw_subsets, shared_cases


@final
@dataclass(frozen=True, eq=False)
class Part:
    """A subset, and the cases that its networks are tested on.

    Attributes:
        subset: what is learned from.
        test: none of its cases is in the subset, nor was learned from by its generators.
    """

    subset: Subset
    test: LoadedCohort


Draw = tuple[Part, ...]
"""The parts of a draw have as many real cases, and together test each case once."""


def by_scene(scenes: Mapping[str, int], size: int, count: int) -> list[tuple[str, ...]]:
    """Subsets of whole scenes or patients, as disjoint as possible.

    Args:
        scenes: id -> scene or patient.
        size: cases of a subset.
        count: subsets.
    """
    groups: dict[int, list[str]] = {}
    for id, scene in sorted(scenes.items()):
        groups.setdefault(scene, []).append(id)
    return draw_subsets(list(groups.values()), size, count)


def in_turn(ids: Sequence[str], size: int, number: int) -> Iterator[tuple[str, ...]]:
    """The subsets of a cross-validation, in which each case is left out once.

    Args:
        ids: of all cases, each a patient.
        size: cases of a subset; what it leaves out must divide all.
        number: of the partition, from 0.

    Raises:
        RequestError: the size leaves no equal parts.
    """
    left_out = len(ids) - size
    if left_out < 1 or len(ids) % left_out:
        limit = f"what a subset leaves out divides the {len(ids)} cases"
        raise RequestError("--sizes", f"{size}", limit, f"for example {len(ids) - 1}")
    order = np.random.default_rng([size, number]).permutation(len(ids))
    for fold in np.split(order, len(ids) // left_out):
        yield tuple(id for row, id in enumerate(ids) if row not in fold)


def left_out_of(real: LoadedCohort, subset: Subset) -> Part:
    """A subset that is tested on all other cases."""
    return Part(subset, only_cases(real, [id for id in real.ids if id not in subset.ids]))


def sharing(draws: Sequence[Draw]) -> float:
    """Mean over pairs of draws of the share of real cases that their subsets have in common; 0 for one draw."""
    pairs = (pair for one, other in combinations(draws, 2) for pair in product(one, other))
    shares = [shared_cases([part.subset.ids for part in pair]) for pair in pairs]
    return float(np.mean(shares)) if shares else 0.0
