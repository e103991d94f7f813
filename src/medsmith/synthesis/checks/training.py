"""Statistics of the training cohort that the checks compare with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32
from torch import Tensor

from medsmith.data.fingerprint import Fingerprint

FIRST_MEASURE = 1


@final
@dataclass(frozen=True, eq=False)
class TrainingFacts:
    """Ranges, thumbnails and noise of the training cohort.

    Attributes:
        fingerprint: value ranges, label statistics and geometry of the cohort.
        thumbnails: of its images, computed by ``data.similarity``; None if the run stores none.
        copy_threshold: similarity above which an image counts as a copy; None if the run stores none.
        noise_levels: largest of each channel of its images on the network's grid, in model space; None likewise.
        copy_measure: of the threshold, in ``data.similarity.COPY_MEASURES``; older runs, which store none, have the
            first.
    """

    fingerprint: Fingerprint
    thumbnails: Float32[np.ndarray, "n ex ey ez"] | None = None
    copy_threshold: float | None = None
    noise_levels: Float32[np.ndarray, " c"] | None = None
    copy_measure: int = FIRST_MEASURE

    @classmethod
    def of(cls, fingerprint: Fingerprint, memory: Mapping[str, Tensor]) -> "TrainingFacts":
        """From a trained method's fingerprint and memory."""
        small, threshold, noise = (memory.get(name) for name in ("thumbnails", "copy_threshold", "noise_levels"))
        measure = memory.get("copy_measure")
        return cls(
            fingerprint,
            None if small is None or not len(small) else small.float().numpy(),
            None if threshold is None else float(threshold),
            None if noise is None else noise.float().numpy(),
            FIRST_MEASURE if measure is None else int(measure),
        )
