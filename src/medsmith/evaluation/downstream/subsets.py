"""Subsets of the real cases, drawn again, to see what depends on the choice of training cases."""

from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np

from medsmith.errors import RequestError, counted

ALL = 0
"""Size that stands for all real cases."""


def draw_subsets(groups: Sequence[Sequence[str]], size: int, count: int) -> list[tuple[str, ...]]:
    """Subsets of whole groups, as disjoint as possible: groups that were drawn least often come first.

    The first subsets do not depend on how many are drawn.

    Args:
        groups: ids of the cases of each patient or scene.
        size: cases of a subset; it may have fewer where whole groups do not fill it. ``ALL`` gives one subset of all.
        count: number of subsets, at least 1; fewer are returned where whole groups leave no further choice.

    Raises:
        RequestError: there are not more cases than asked for, or no group is as small.
    """
    check_size(groups, size)
    if size == ALL:
        return [tuple(sorted(case_id for group in groups for case_id in group))]
    drawn = np.zeros(len(groups), np.int64)
    found = [_draw(groups, size, np.random.default_rng([size, number]), drawn) for number in range(count)]
    return list(dict.fromkeys(found))


def check_size(groups: Collection[Sequence[str]], size: int) -> None:
    """Refuses a size of which no subset can be drawn.

    Args:
        groups: ids of the cases of each patient or scene; what is refused for patients is so for their scenes, too.
        size: cases of a subset, or ``ALL``.

    Raises:
        RequestError: there are not more cases than asked for, or no group is as small.
    """
    total, smallest = sum(map(len, groups)), min(map(len, groups))
    if size != ALL and not smallest <= size < total:
        limit = f"{counted(total, 'real case')}, the smallest patient or scene with {smallest}"
        raise RequestError("cases", f"{size}", limit, "ask for fewer than there are, or for 0, which takes all")


def _draw(groups: Sequence[Sequence[str]], size: int, rng: np.random.Generator, drawn: np.ndarray) -> tuple[str, ...]:
    """One subset; counts in ``drawn`` how often each group was drawn."""
    chosen: list[str] = []
    for row in np.lexsort((rng.random(len(groups)), drawn)):
        if len(chosen) + len(groups[row]) <= size:
            chosen += groups[row]
            drawn[row] += 1
    return tuple(sorted(chosen))


def shared_cases(subsets: Sequence[Collection[str]]) -> float:
    """Mean over pairs of subsets of the share of cases that they have in common; 0 for one subset."""
    shares = [len(set(one) & set(other)) / np.sqrt(len(one) * len(other)) for one, other in combinations(subsets, 2)]
    return float(np.mean(shares)) if shares else 0.0
