"""Slots: contours of different slices that show the same structure, and their alignment.

Each class has as many slots for outlines, and for holes, as its slices have contours; a number of contours that fewer
than three slices reach does not count. The contours of a slice are assigned to slots by the Hungarian algorithm (Kuhn
1955); the cost is the squared distance of centroids plus the squared difference of sizes (square roots of areas) from
the means of the slot. Assignment and means are iterated. Contours without a slot, and slots that fewer than three
slices fill, are left out and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64
from scipy.optimize import linear_sum_assignment

from medsmith.anatomy.contours import Contour
from medsmith.anatomy.rasterization import centroid

LEAST_SLICES = 3
"""A slot is filled in at least this many slices."""
_ROUNDS = 20
_ALIGNMENTS = 3
Curves = Float64[np.ndarray, "slices along 2"]


@final
@dataclass(frozen=True, eq=False)
class Slot:
    """A structure: one contour per slice in which it is present.

    Attributes:
        value: of its class.
        hole: whether it is cut out of its class.
        contours: index of a slice -> its contour.
    """

    value: int
    hole: bool
    contours: dict[int, Contour]

    @property
    def area(self) -> float:
        """Mean share of the field of view."""
        return float(np.mean([contour.area for contour in self.contours.values()]))


@final
@dataclass(frozen=True, eq=False)
class Matched:
    """Contours of all slices in slots.

    Attributes:
        slots: by class, outlines before holes, large before small.
        left_out: number of contours without a slot.
    """

    slots: tuple[Slot, ...]
    left_out: int

    def presence(self, slices: int) -> Bool[np.ndarray, "slices slots"]:
        """Which slots each slice fills."""
        return np.array([[index in slot.contours for slot in self.slots] for index in range(slices)], dtype=bool)


def match_contours(slices: Sequence[Sequence[Contour]]) -> Matched:
    """Assigns the contours of every slice to slots.

    Args:
        slices: contours per slice, in any order.
    """
    kinds = sorted({(contour.value, contour.hole) for contours in slices for contour in contours})
    slots: list[Slot] = []
    for value, hole in kinds:
        chosen = [[c for c in contours if (c.value, c.hole) == (value, hole)] for contours in slices]
        slots += _match(value, hole, chosen)
    kept = sum(len(slot.contours) for slot in slots)
    return Matched(tuple(slots), sum(map(len, slices)) - kept)


def _match(value: int, hole: bool, slices: Sequence[Sequence[Contour]]) -> list[Slot]:
    counts = sorted((len(contours) for contours in slices), reverse=True)
    wanted = counts[LEAST_SLICES - 1] if len(counts) >= LEAST_SLICES else 0
    if not wanted:
        return []
    features = [_features(contours) for contours in slices]
    first = next(rows for rows in features if len(rows) >= wanted)
    means = first[np.lexsort(first.T)[::-1]][:wanted]
    assigned: list[dict[int, int]] = []
    for _ in range(_ROUNDS):
        before, assigned = assigned, [_assign(rows, means) for rows in features]
        if assigned == before:
            break
        means = np.stack([_mean_of(slot, features, assigned, means[slot]) for slot in range(wanted)])
    found = [
        {index: slices[index][row] for index, rows in enumerate(assigned) for own, row in rows.items() if own == slot}
        for slot in range(wanted)
    ]
    slots = [Slot(value, hole, contours) for contours in found if len(contours) >= LEAST_SLICES]
    return sorted(slots, key=lambda slot: -slot.area)


def _features(contours: Sequence[Contour]) -> Float64[np.ndarray, "contours 3"]:
    """Centroid and size of each contour; the size is last."""
    rows = [[*centroid(contour.curve), np.sqrt(contour.area)] for contour in contours]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _assign(rows: Float64[np.ndarray, "contours 3"], means: Float64[np.ndarray, "slots 3"]) -> dict[int, int]:
    """Slot -> contour of one slice, at the least total cost."""
    cost = ((means[:, None] - rows[None]) ** 2).sum(axis=-1)
    return {int(slot): int(row) for slot, row in zip(*linear_sum_assignment(cost), strict=True)}


def _mean_of(
    slot: int,
    features: Sequence[Float64[np.ndarray, "_ 3"]],
    assigned: Sequence[dict[int, int]],
    otherwise: Float64[np.ndarray, "3"],
) -> Float64[np.ndarray, "3"]:
    rows = [features[index][match[slot]] for index, match in enumerate(assigned) if slot in match]
    return np.asarray(np.mean(rows, axis=0)) if rows else otherwise


def aligned_starts(curves: Curves) -> Curves:
    """The contours of one slot with their starts moved along them, so that corresponding points have one index.

    Each contour is shifted by the number of points that brings it nearest to the mean contour, both about their
    centers, and the mean is taken anew, three times. The shapes do not change.
    """
    for _ in range(_ALIGNMENTS):
        mean = curves.mean(axis=0)
        spectrum = np.fft.rfft(mean - mean.mean(axis=0), axis=0)
        own = np.fft.rfft(curves - curves.mean(axis=1, keepdims=True), axis=1)
        likeness = np.fft.irfft((np.conj(spectrum) * own).sum(axis=-1), n=curves.shape[1], axis=1)
        curves = np.stack(
            [np.roll(curve, -int(shift), axis=0) for curve, shift in zip(curves, likeness.argmax(axis=1), strict=True)]
        )
    return curves
