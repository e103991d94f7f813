"""The order of the trials: random, both kinds mixed, repeats far from the first showing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from medsmith.evaluation.reader_study.plan import REAL, SYNTHETIC, Mode
from medsmith.evaluation.reader_study.selection import ShownCase

_LEAST_GAP = 3


@final
@dataclass(frozen=True)
class Trial:
    """What is shown at once.

    Attributes:
        cases: one, or the left and the right one of a pair.
        repeat_of: index of the trial that this one repeats; None for a first showing.
    """

    cases: tuple[ShownCase, ...]
    repeat_of: int | None = None

    @property
    def answer(self) -> str:
        """The right call: ``real`` or ``synthetic``; of a pair the side of the synthetic image."""
        if len(self.cases) == 1:
            return self.cases[0].kind
        return "left" if self.cases[0].kind == SYNTHETIC else "right"

    def as_json(self) -> Mapping[str, Any]:
        """The trial as JSON values."""
        cases = [{"id": case.id, "kind": case.kind, "patient": case.patient} for case in self.cases]
        return {"answer": self.answer, "cases": cases, "repeat_of": self.repeat_of}


def order_trials(cases: Sequence[ShownCase], mode: Mode, repeats: float, rng: np.random.Generator) -> tuple[Trial, ...]:
    """All cases once and some a second time, in random order.

    Args:
        cases: to show.
        mode: pairs are drawn at random, and the synthetic image is on either side equally often (odd counts: but one).
        repeats: share of the trials shown again, rounded up; a repeated pair changes sides.
        rng: draws order, pairs, sides and repeats.
    """
    single = mode is Mode.SINGLE
    units = [(cases[i],) for i in rng.permutation(len(cases))] if single else _pairs(cases, rng)
    count = min(int(np.ceil(repeats * len(units))), max(0, len(units) - _LEAST_GAP))
    trials = [Trial(unit) for unit in units]
    gap = max(_LEAST_GAP, len(units) // 4)
    # Early trials are repeated, so that a quarter of all lies between the showings, unless too many are asked for.
    chosen = rng.permutation(max(len(units) - gap, count))[:count]
    order: list[tuple[float, int, bool]] = [(float(i), i, False) for i in range(len(trials))]
    for first in chosen:
        place = rng.uniform(min(first + gap, len(units)), len(units) + 1)
        order.append((place, int(first), True))
    order.sort()
    position = {first: place for place, (_, first, again) in enumerate(order) if not again}
    return tuple(
        Trial(trials[first].cases[::-1], position[first]) if again else trials[first] for _, first, again in order
    )


def _pairs(cases: Sequence[ShownCase], rng: np.random.Generator) -> list[tuple[ShownCase, ...]]:
    of_kind = {kind: [case for case in cases if case.kind == kind] for kind in (REAL, SYNTHETIC)}
    real, synthetic = ([members[i] for i in rng.permutation(len(members))] for members in of_kind.values())
    swapped = rng.permutation(len(real)) % 2 == 0
    return [(s, r) if swap else (r, s) for r, s, swap in zip(real, synthetic, swapped, strict=True)]
