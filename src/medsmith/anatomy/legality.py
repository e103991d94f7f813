"""Which contours may overlap, learned from the training maps, and contours that cross themselves.

For each ordered pair of slots, the share of the second that lies inside the first has a lowest and a highest value over
the training slices that fill both: a part of an organ lies inside it (share 1), neighbors lie apart (share 0), and some
pairs overlap at times. A drawn anatomy is legal if each share stays between these values, a tolerance aside; if each
contour stays in the field of view as far as in training; and if no contour crosses itself.

The tolerance is 3 % of a region that leaves another, 10 % of one that enters another, and 30 % where a label covers
context: context lies below the labels, so that its hidden part does not show.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64

from medsmith.anatomy.rasterization import rasterize, signed_area

Curves = Float64[np.ndarray, "slots along 2"]
GRID = 256
"""Edge in pixels of the grid on which overlaps are measured."""
LEAVING, ENTERING, COVERING = 0.03, 0.1, 0.3
"""Tolerances, see above."""
_FEW_PIXELS = 2.0
JUDGED = 2
"""Points per control point with which contours are judged; with 48 a smaller loop is no larger than a pixel or two."""


@final
@dataclass(frozen=True, eq=False)
class Relations:
    """Limits of overlap between slots.

    Attributes:
        low: [a, b] lowest share of b inside a; 0 where no slice has both.
        high: [a, b] highest share; 1 where no slice has both.
        in_view: lowest share of each slot in the field of view.
        excess: [a, b] by how much the highest share may be exceeded.
    """

    low: Float64[np.ndarray, "slots slots"]
    high: Float64[np.ndarray, "slots slots"]
    in_view: Float64[np.ndarray, "slots"]
    excess: Float64[np.ndarray, "slots slots"]

    def broken(self, curves: Curves) -> bool:
        """Whether contours break a limit.

        Args:
            curves: of the slots that are present; the relations must be those of these slots.
        """
        shares, in_view, few = overlap_shares(curves)
        leaving = np.maximum(LEAVING, few)
        broken = (shares < self.low - leaving) | (shares > self.high + np.maximum(self.excess, few))
        return bool(broken.any() or (in_view < self.in_view - leaving).any())

    def of(self, slots: Bool[np.ndarray, "slots"]) -> "Relations":
        """The relations among some of the slots."""
        pairs = np.ix_(slots, slots)
        return Relations(self.low[pairs], self.high[pairs], self.in_view[slots], self.excess[pairs])


def overlap_shares(
    curves: Curves,
) -> tuple[Float64[np.ndarray, "slots slots"], Float64[np.ndarray, "slots"], Float64[np.ndarray, "slots"]]:
    """How far the regions of contours overlap.

    Returns:
        [a, b] the share of b inside a; the share of each in the field of view; and two pixels of the grid as a share
        of each, below which no tolerance lies.
    """
    masks = np.stack([rasterize(curve, (GRID, GRID)) for curve in curves]).reshape(len(curves), -1)
    counts = masks.sum(axis=1).astype(np.float64)
    common = masks.astype(np.float32) @ masks.astype(np.float32).T  # whole numbers below 2^24, exact in any order
    areas = np.array([abs(signed_area(curve)) for curve in curves]) * GRID**2
    shares = common / np.maximum(counts, 1)
    # Exact where a contour is wholly in view: the pixels of a small one are too few to measure its area.
    inside = ((curves >= 0) & (curves <= 1)).all(axis=(1, 2))
    in_view = np.where(inside, 1.0, np.minimum(counts / np.maximum(areas, 1e-9), 1))
    return shares, in_view, _FEW_PIXELS / np.maximum(counts, 1)


def learn_relations(
    slices: Float64[np.ndarray, "slices slots along 2"],
    present: Bool[np.ndarray, "slices slots"],
    context: Bool[np.ndarray, "slots"],
) -> Relations:
    """The limits that hold for all training slices.

    Args:
        slices: curves of the fitted splines; those of absent slots are ignored.
        present: which slots each slice fills.
        context: which slots are of context classes.
    """
    slots = present.shape[1]
    low, high, in_view = np.ones((slots, slots)), np.zeros((slots, slots)), np.ones(slots)
    for curves, there in zip(slices, present, strict=True):
        if not there.any():
            continue
        pairs = np.ix_(there, there)
        shares, seen, _ = overlap_shares(curves[there])
        low[pairs], high[pairs] = np.minimum(low[pairs], shares), np.maximum(high[pairs], shares)
        in_view[there] = np.minimum(in_view[there], seen)
    together = present.astype(np.int64).T @ present.astype(np.int64) > 0
    excess = np.where(context[:, None] != context[None, :], COVERING, ENTERING)
    return Relations(np.where(together, low, 0.0), np.where(together, high, 1.0), in_view, excess)


def crosses_itself(curve: Float64[np.ndarray, "along 2"]) -> bool:
    """Whether two edges of a closed polygon cross; edges that only touch do not."""
    after = np.roll(curve, -1, axis=0)
    step = after - curve
    # side[i, j]: on which side of edge i point j lies
    offset = curve[None, :, :] - curve[:, None, :]
    side = step[:, None, 0] * offset[:, :, 1] - step[:, None, 1] * offset[:, :, 0]
    side_after = np.roll(side, -1, axis=1)
    parted = side * side_after < 0
    crossing = parted & parted.T
    count = len(curve)
    index = np.arange(count)
    for shift in (0, 1, -1):  # an edge and its neighbors
        crossing[index, (index + shift) % count] = False
    return bool(crossing.any())
