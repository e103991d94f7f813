"""Is a synthetic case a copy? The nearest training case of each, against how alike real cases are among themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Int

from medsmith.data.similarity import NEAR_DUPLICATE, find_scenes, nearest
from medsmith.evaluation.fidelity.bootstrap import Estimate, share

WORST = 10


@final
@dataclass(frozen=True, eq=False)
class Neighbours:
    """Nearest training case of every synthetic one.

    Attributes:
        threshold: similarity above which a case counts as a copy: the 99th percentile between training cases of
            different scenes.
        flagged: share of synthetic cases above it.
        held_out: share of real cases that the generator never saw above it; None where none were given. Real twins
            across the split raise it, a sound measure alone keeps it near 1 %.
        twins: share of training cases that have a near-duplicate among the others.
        similarity: of each synthetic case to its nearest training case.
        index: of that training case.
    """

    threshold: float
    flagged: Estimate
    held_out: Estimate | None
    twins: Estimate
    similarity: Float32[np.ndarray, " m"]
    index: Int[np.ndarray, " m"]

    @property
    def worst(self) -> list[int]:
        """The synthetic cases most like a training case, most alike first."""
        return [int(row) for row in np.argsort(-self.similarity, kind="stable")[:WORST]]

    def as_json(self) -> Mapping[str, object]:
        """Plain numbers for a JSON file."""
        return {
            "threshold": self.threshold,
            "twin_level": NEAR_DUPLICATE,
            "flagged": self.flagged.as_json(),
            "held_out": self.held_out.as_json() if self.held_out else None,
            "twins_in_training": self.twins.as_json(),
        }


def find_neighbours(
    synthetic: Float32[np.ndarray, "m ex ey ez"],
    training: Float32[np.ndarray, "n ex ey ez"],
    held_out: Float32[np.ndarray, "h ex ey ez"] | None,
) -> Neighbours:
    """Looks every synthetic case up among the training cases.

    Args:
        synthetic: thumbnails of the synthetic cases.
        training: thumbnails of what the generator learnt from.
        held_out: thumbnails of real cases it never saw, as a check on false alarms.
    """
    scenes = find_scenes(training)
    threshold, with_twin = scenes.threshold, int((np.bincount(scenes.groups)[scenes.groups] > 1).sum())
    similarity, index = nearest(synthetic, training)
    unseen = None
    if held_out is not None:
        unseen = share(int((nearest(held_out, training)[0] > threshold).sum()), len(held_out))
    return Neighbours(
        threshold=threshold,
        flagged=share(int((similarity > threshold).sum()), len(synthetic)),
        held_out=unseen,
        twins=share(with_twin, len(training)),
        similarity=similarity,
        index=index,
    )
