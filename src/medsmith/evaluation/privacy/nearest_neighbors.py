"""Copy detection: similarity of each synthetic case to its nearest training case, against that among real cases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Int

from medsmith.data.similarity import NEAR_DUPLICATE, find_scenes, nearest
from medsmith.evaluation.fidelity.bootstrap import Estimate, proportion

MAX_SHOWN = 10


@final
@dataclass(frozen=True, eq=False)
class NearestNeighbors:
    """The nearest training case of every synthetic case.

    Attributes:
        threshold: similarity above which a case counts as a copy: the 99th percentile between training cases of
            different scenes.
        flagged: proportion of synthetic cases above the threshold.
        held_out: proportion of held-out real cases above the threshold; None if none were given. Expected near 1 %,
            more if near-duplicates are on both sides of the split.
        near_duplicates: proportion of training cases with a near-duplicate among the others.
        similarity: of each synthetic case to its nearest training case.
        index: row of that training case.
    """

    threshold: float
    flagged: Estimate
    held_out: Estimate | None
    near_duplicates: Estimate
    similarity: Float32[np.ndarray, " m"]
    index: Int[np.ndarray, " m"]

    @property
    def worst(self) -> list[int]:
        """Rows of the synthetic cases most similar to a training case, most similar first."""
        return [int(row) for row in np.argsort(-self.similarity, kind="stable")[:MAX_SHOWN]]

    def as_json(self) -> Mapping[str, object]:
        """The results as JSON values."""
        return {
            "threshold": self.threshold,
            "near_duplicate_level": NEAR_DUPLICATE,
            "flagged": self.flagged.as_json(),
            "held_out": self.held_out.as_json() if self.held_out else None,
            "near_duplicates_in_training": self.near_duplicates.as_json(),
        }


def find_nearest_neighbors(
    synthetic: Float32[np.ndarray, "m ex ey ez"],
    training: Float32[np.ndarray, "n ex ey ez"],
    held_out: Float32[np.ndarray, "h ex ey ez"] | None,
) -> NearestNeighbors:
    """Find the nearest training case of every synthetic case.

    Args:
        synthetic: thumbnails of the synthetic cases.
        training: thumbnails of the training cohort of the generator.
        held_out: thumbnails of real cases outside the training cohort, to estimate the false-alarm rate.
    """
    scenes = find_scenes(training)
    threshold, duplicated = scenes.threshold, int((np.bincount(scenes.groups)[scenes.groups] > 1).sum())
    similarity, index = nearest(synthetic, training)
    unseen = None
    if held_out is not None:
        unseen = proportion(int((nearest(held_out, training)[0] > threshold).sum()), len(held_out))
    return NearestNeighbors(
        threshold=threshold,
        flagged=proportion(int((similarity > threshold).sum()), len(synthetic)),
        held_out=unseen,
        near_duplicates=proportion(duplicated, len(training)),
        similarity=similarity,
        index=index,
    )
