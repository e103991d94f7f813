"""Draws contours from a shape space and rejects illegal ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import final

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import ndtr, ndtri

from medsmith.anatomy.contours import Contour
from medsmith.anatomy.legality import JUDGED, crosses_itself
from medsmith.anatomy.record import PatternRecord, RejectionRecord, SpaceArrays, SpaceRecord
from medsmith.anatomy.splines import OVERSAMPLING, curve_points

SPREAD = 2.0
_MEASURED_DRAWS = 200


class Verdict(Enum):
    """Whether an anatomy is legal."""

    LEGAL = auto()
    CROSSING = auto()
    OVERLAPPING = auto()


@final
@dataclass(frozen=True, eq=False)
class Draw:
    """Slots and their contours.

    Attributes:
        slots: indices of the slots that are present.
        control: their control points.
    """

    slots: Int64[np.ndarray, "present"]
    control: Float64[np.ndarray, "present points 2"]


def truncated_normal(uniform: Float64[np.ndarray, "n"], spread: float) -> Float64[np.ndarray, "n"]:
    """Standard normal numbers truncated at +-spread, by inversion of the distribution function.

    Args:
        uniform: numbers in [0, 1).
        spread: largest magnitude; 0 gives zeros.
    """
    low, high = ndtr(-spread), ndtr(spread)
    return np.clip(ndtri(low + uniform * (high - low)), -spread, spread)


def draw_slots(patterns: Sequence[PatternRecord], rng: np.random.Generator) -> Int64[np.ndarray, "present"]:
    """The slots that are present, by the frequency of their pattern in training; takes one uniform number."""
    counts = np.cumsum([pattern.slices for pattern in patterns])
    pattern = patterns[int(np.searchsorted(counts, rng.random() * counts[-1], side="right"))]
    return np.array(pattern.slots, dtype=np.int64)


def draw_contours(
    arrays: SpaceArrays, slots: Int64[np.ndarray, "present"], rng: np.random.Generator, spread: float
) -> Draw:
    """An anatomy, legal or not, by a truncated normal score per component; takes a uniform number for each.

    Args:
        arrays: of the space.
        slots: that are present.
        rng: of the uniform numbers.
        spread: largest magnitude of a score, in standard deviations.
    """
    return decode(arrays, slots, truncated_normal(rng.random(len(arrays.components)), spread))


def decode(arrays: SpaceArrays, slots: Int64[np.ndarray, "present"], scores: Float64[np.ndarray, "components"]) -> Draw:
    """The anatomy of some scores, in standard deviations; bytes do not depend on the number of threads."""
    moved = np.einsum("k,kspd->spd", scores, arrays.components[:, slots])
    return Draw(slots, arrays.mean[slots] + moved)


def judge(arrays: SpaceArrays, drawn: Draw) -> Verdict:
    """Whether an anatomy is legal."""
    if not len(drawn.slots):
        return Verdict.LEGAL
    curves = curve_points(drawn.control, JUDGED * drawn.control.shape[1])
    if any(crosses_itself(curve) for curve in curves):
        return Verdict.CROSSING
    present = np.zeros(len(arrays.mean), dtype=bool)
    present[drawn.slots] = True
    return Verdict.OVERLAPPING if arrays.relations.of(present).broken(curves) else Verdict.LEGAL


def contours_of(record: SpaceRecord, drawn: Draw) -> tuple[Contour, ...]:
    """The contours of an anatomy with their classes."""
    curves = curve_points(drawn.control, OVERSAMPLING * record.points)
    kinds = (record.slots[slot] for slot in drawn.slots)
    return tuple(Contour(kind.value, kind.hole, curve) for kind, curve in zip(kinds, curves, strict=True))


def measure_rejection(patterns: Sequence[PatternRecord], arrays: SpaceArrays) -> RejectionRecord:
    """How many of 200 anatomies are illegal, drawn from fixed seeds."""
    rng = np.random.Generator(np.random.PCG64(0))
    draws = (draw_contours(arrays, draw_slots(patterns, rng), rng, SPREAD) for _ in range(_MEASURED_DRAWS))
    verdicts = [judge(arrays, drawn) for drawn in draws]
    crossing, overlapping = (verdicts.count(kind) for kind in (Verdict.CROSSING, Verdict.OVERLAPPING))
    return RejectionRecord(drawn=_MEASURED_DRAWS, crossing=crossing, overlapping=overlapping)
