"""Copy detection: similarity of each synthetic case to its nearest training case, against that of real cases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int

from medsmith.data.copies import Found, Match, Searchable
from medsmith.data.similarity import NEAR_DUPLICATE
from medsmith.evaluation.fidelity.bootstrap import Estimate, proportion
from medsmith.evaluation.privacy.batches import Keep, compute, find_in_batches
from medsmith.evaluation.privacy.chance import against_chance
from medsmith.evaluation.privacy.threshold import IMAGES, Threshold
from medsmith.progress import Advance

MAX_SHOWN = 10
MAX_COMPARED = 200
"""Training cases, evenly chosen, that are compared with the others where no held-out cases are given."""


@final
@dataclass(frozen=True, eq=False)
class NearestNeighbors:
    """The nearest training case of every synthetic case.

    Attributes:
        threshold: similarity above which a case counts as a copy: the 99th percentile of held-out real cases, or
            between training cases where there are none, without near-duplicates.
        flagged: proportion of synthetic cases above the threshold.
        copied: proportion of training cases that are the nearest one of a flagged case, of all training cases.
        held_out: proportion of held-out real cases above a threshold found without them; None if none were given, or
            fewer than two that are no near-duplicates.
        held_out_given: whether held-out real cases were given.
        near_duplicates: proportion of the real cases behind the threshold that have a near-duplicate in training; None
            without such cases.
        matches: of each synthetic case.
        reached: largest similarity, in the search, of each training case to a synthetic one.
    """

    threshold: Threshold
    flagged: Estimate
    copied: Estimate
    held_out: Estimate | None
    held_out_given: bool
    near_duplicates: Estimate | None
    matches: tuple[Match, ...]
    reached: Float32[np.ndarray, " n"]

    @property
    def limit(self) -> float:
        """The threshold."""
        return self.threshold.limit.value

    @property
    def similarity(self) -> Float64[np.ndarray, " m"]:
        """Of each synthetic case to its nearest training case."""
        return similarities_of(self.matches)

    @property
    def index(self) -> Int[np.ndarray, " m"]:
        """Rows of these training cases."""
        return np.array([match.index for match in self.matches], int)

    @property
    def exact(self) -> list[int]:
        """Rows of the synthetic cases that are exact copies (similarity 1 within rounding), whatever the threshold."""
        return [row for row, match in enumerate(self.matches) if match.is_exact]

    @property
    def worst(self) -> list[int]:
        """Rows of the synthetic cases most similar to a training case, most similar first."""
        return [int(row) for row in np.argsort(-self.similarity, kind="stable")[:MAX_SHOWN]]

    def as_json(self) -> Mapping[str, object]:
        """The results as JSON values."""
        return {
            "threshold": self.limit,
            "threshold_from": self.threshold.as_json(),
            "near_duplicate_level": NEAR_DUPLICATE,
            "flagged": self.flagged.as_json(),
            "against_chance": against_chance(self.flagged, self.threshold).value,
            "exact_copies": len(self.exact),
            "training_cases_copied": self.copied.as_json(),
            "held_out": self.held_out.as_json() if self.held_out else None,
            "near_duplicates_in_training": self.near_duplicates.as_json() if self.near_duplicates else None,
        }


def similarities_of(matches: tuple[Match, ...]) -> Float64[np.ndarray, " m"]:
    """Similarity of each match."""
    return np.array([match.similarity for match in matches], np.float64)


def count_searches(synthetic: int, training: int, held_out: int) -> int:
    """Queries of ``find_nearest_neighbors``, for the progress."""
    return synthetic + (held_out or min(training, MAX_COMPARED))


def find_nearest_neighbors(
    synthetic: Searchable,
    training: Searchable,
    held_out: Searchable | None,
    *,
    name: str = "images",
    keep: Keep = compute,
    advance: Advance = lambda _steps, _note: None,
    seed: int = 0,
) -> NearestNeighbors:
    """Find the nearest training case of every synthetic case.

    Args:
        synthetic: the synthetic cases, at least one.
        training: the training cohort of the generator, at least one.
        held_out: real cases outside the training cohort, which set the threshold; None takes the training cases, each
            compared with all others.
        name: of the parts that are kept.
        keep: keeps the result of each batch of the searches.
        advance: called after every batch.
        seed: of the bootstrap.
    """
    found = find_in_batches(f"{name}-synthetic", synthetic, training, keep, advance)
    reference = _reference(training, held_out, name, keep, advance)
    threshold = Threshold.of(reference, IMAGES, seed)
    flagged = similarities_of(found.matches) > threshold.limit.value
    hit = {match.index for match, above in zip(found.matches, flagged, strict=True) if above}
    return NearestNeighbors(
        threshold=threshold,
        flagged=proportion(int(flagged.sum()), len(synthetic)),
        copied=proportion(len(hit), len(training)),
        held_out=None if held_out is None else threshold.false_alarms,
        held_out_given=held_out is not None,
        near_duplicates=threshold.near_duplicates,
        matches=found.matches,
        reached=found.reached,
    )


def _reference(
    training: Searchable, held_out: Searchable | None, name: str, keep: Keep, advance: Advance
) -> Float64[np.ndarray, " n"]:
    """Similarity of real cases to their nearest other training case."""
    if held_out is not None:
        found: Found = find_in_batches(f"{name}-held-out", held_out, training, keep, advance)
        return similarities_of(found.matches)
    if len(training) < 2:
        return np.empty(0)
    rows = np.unique(np.linspace(0, len(training) - 1, min(len(training), MAX_COMPARED)).round().astype(int)).tolist()
    found = find_in_batches(f"{name}-training", training.take(rows), training, keep, advance, own=rows)
    return similarities_of(found.matches)
