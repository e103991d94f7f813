"""Copies of label maps: the largest Dice over shifts and flips, against what held-out real maps reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64, Int, UInt8

from medsmith.data.label_agreement import dice_of, moved_agreements
from medsmith.evaluation.fidelity.bootstrap import Estimate, proportion
from medsmith.evaluation.privacy.batches import Keep
from medsmith.evaluation.privacy.chance import against_chance
from medsmith.evaluation.privacy.nearest_neighbors import MAX_COMPARED, MAX_SHOWN
from medsmith.evaluation.privacy.threshold import MAPS, Threshold
from medsmith.progress import Advance

Maps = UInt8[np.ndarray, "_ ex ey ez"]
_BATCH = 16


@final
@dataclass(frozen=True, eq=False)
class LabelCopies:
    """The nearest training map of every synthetic label map.

    Attributes:
        threshold: Dice above which a map counts as a copy.
        flagged: proportion of synthetic maps above it.
        copied: proportion of training maps that are the nearest one of a flagged map.
        dice: of each synthetic map with its nearest training map.
        index: rows of these training maps.
        held_out_given: whether held-out maps set the threshold.
    """

    threshold: Threshold
    flagged: Estimate
    copied: Estimate
    dice: Float64[np.ndarray, " m"]
    index: Int[np.ndarray, " m"]
    held_out_given: bool

    @property
    def worst(self) -> list[int]:
        """Rows of the synthetic maps most like a training map, most alike first."""
        return [int(row) for row in np.argsort(-self.dice, kind="stable")[:MAX_SHOWN]]

    def as_json(self) -> Mapping[str, object]:
        """The results as JSON values."""
        return {
            "threshold": self.threshold.as_json(),
            "flagged": self.flagged.as_json(),
            "against_chance": against_chance(self.flagged, self.threshold).value,
            "training_maps_copied": self.copied.as_json(),
        }


def find_label_copies(
    synthetic: Maps, training: Maps, held_out: Maps | None, keep: Keep, advance: Advance, seed: int = 0
) -> LabelCopies:
    """Find the nearest training map of every synthetic one.

    Args:
        synthetic: centered maps (``label_agreement.centered_map``), at least one.
        training: likewise, at least two.
        held_out: maps of real cases outside the training cohort, which set the threshold; None takes the training maps.
        keep: keeps the result of each batch.
        advance: called after every batch.
        seed: of the bootstrap.
    """
    dice, index = _nearest("labels-synthetic", synthetic, training, keep, advance)
    if held_out is not None:
        reference, _ = _nearest("labels-held-out", held_out, training, keep, advance)
    else:
        rows = np.unique(np.linspace(0, len(training) - 1, min(len(training), MAX_COMPARED)).round().astype(int))
        reference, _ = _nearest("labels-training", training[rows], training, keep, advance, rows.tolist())
    threshold = Threshold.of(reference, MAPS, seed)
    flagged = dice > threshold.limit.value
    hit = len(set(index[flagged].tolist()))
    shares = proportion(int(flagged.sum()), len(dice)), proportion(hit, len(training))
    return LabelCopies(threshold, *shares, dice, index, held_out is not None)


def _nearest(
    name: str, maps: Maps, training: Maps, keep: Keep, advance: Advance, own: list[int] | None = None
) -> tuple[Float64[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Dice and row of the nearest training map of each map; ``own`` rows are left out."""
    dice: list[float] = []
    index: list[int] = []
    for start in range(0, len(maps), _BATCH):
        rows = range(start, min(start + _BATCH, len(maps)))

        def make(rows: range = rows) -> Mapping[str, object]:
            found = np.stack([moved_agreements(maps[row], training) for row in rows])
            if own is not None:
                found[np.arange(len(rows)), own[rows.start : rows.stop]] = -1
            return {"agreement": found.max(axis=1).tolist(), "index": found.argmax(axis=1).tolist()}

        part = keep(f"{name}-{start:06d}", make)
        dice += [dice_of(agreement) for agreement in part["agreement"]]
        index += part["index"]
        advance(len(rows), "")
    return np.array(dice), np.array(index, int)
