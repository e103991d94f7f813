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


def in_turn(
    ids: Sequence[str], size: int, parts: int, number: int
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The subsets of a cross-validation, each with the cases that it tests; together these are all cases, once each.

    Args:
        ids: of all cases, each a patient.
        size: cases of a subset, drawn from those that are not tested.
        parts: of the cases, tested in turn.
        number: of the partition, from 0.

    Raises:
        RequestError: fewer cases than that are left beside a part.
    """
    folds = np.array_split(np.random.default_rng([size, number]).permutation(len(ids)), parts)
    least = len(ids) - max(map(len, folds))
    if not 0 < size <= least:
        raise RequestError("--sizes", f"{size}", f"{least} of {len(ids)} cases are left beside a part", "take fewer")
    for part, fold in enumerate(folds):
        others = np.setdiff1d(np.arange(len(ids)), fold)
        chosen = np.random.default_rng([size, number, part]).permutation(others)[:size]
        yield tuple(ids[row] for row in sorted(chosen)), tuple(ids[row] for row in sorted(fold))


def tested_on(real: LoadedCohort, subset: Subset, tested: Sequence[str]) -> Part:
    """A subset that is tested on these cases."""
    return Part(subset, only_cases(real, list(tested)))


def sharing(draws: Sequence[Draw]) -> float:
    """Mean over pairs of draws of the share of real cases that their subsets have in common; 0 for one draw."""
    pairs = (pair for one, other in combinations(draws, 2) for pair in product(one, other))
    shares = [shared_cases([part.subset.ids for part in pair]) for pair in pairs]
    return float(np.mean(shares)) if shares else 0.0
