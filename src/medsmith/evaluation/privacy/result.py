"""Numerical results of the privacy check."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from medsmith.evaluation.pages.page import WARNING
from medsmith.evaluation.privacy.embedding import Nearness
from medsmith.evaluation.privacy.label_copies import LabelCopies
from medsmith.evaluation.privacy.membership import Membership, corrected
from medsmith.evaluation.privacy.nearest_neighbors import NearestNeighbors, similarities_of
from medsmith.evaluation.privacy.threshold import Threshold

Ids = tuple[str, ...]


@final
@dataclass(frozen=True, eq=False)
class ImageCopies:
    """Copies of whole images or of lesion regions.

    Attributes:
        found: the nearest training case of every synthetic case.
        synthetic: ids of the synthetic cases.
        training: ids of the training cases.
        membership: inferred from the similarity to the most similar synthetic case; None of fewer than ``LEAST``
            training or held-out cases, or patients.
    """

    found: NearestNeighbors
    synthetic: Ids
    training: Ids
    membership: Membership | None

    @property
    def exact(self) -> list[tuple[str, str]]:
        """Ids of the synthetic cases that are exact copies, each with that of its training case."""
        return [(self.synthetic[row], self.training[self.found.matches[row].index]) for row in self.found.exact]

    def pairs(self) -> list[Mapping[str, object]]:
        """Every synthetic case with its nearest training case, most similar first."""
        order = (-similarities_of(self.found.matches)).argsort(kind="stable")
        return [self._pair(int(row)) for row in order]

    def _pair(self, row: int) -> Mapping[str, object]:
        match = self.found.matches[row]
        values = {name: value for name, value in match.as_json().items() if name != "index"}
        ids = {"synthetic": self.synthetic[row], "training": self.training[match.index]}
        return {**ids, **values, "copy": match.similarity > self.found.limit, "exact": match.is_exact}

    def as_json(self) -> Mapping[str, object]:
        """The results as JSON values."""
        membership = self.membership.as_json() if self.membership else None
        return {**self.found.as_json(), "membership": membership, "pairs": self.pairs()}


@final
@dataclass(frozen=True, eq=False)
class MapCopies:
    """Copies of label maps.

    Attributes:
        found: the nearest training map of every synthetic one.
        synthetic: ids of the synthetic cases.
        training: ids of the training cases.
    """

    found: LabelCopies
    synthetic: Ids
    training: Ids

    def as_json(self) -> Mapping[str, object]:
        """The results as JSON values."""
        pairs = [
            {
                "synthetic": self.synthetic[row],
                "training": self.training[int(self.found.index[row])],
                "dice": float(self.found.dice[row]),
                "copy": bool(self.found.dice[row] > self.found.threshold.limit.value),
            }
            for row in (-self.found.dice).argsort(kind="stable").tolist()
        ]
        return {**self.found.as_json(), "pairs": pairs}


@final
@dataclass(frozen=True, eq=False)
class Privacy:
    """What a synthetic cohort gives away of the training cohort, as far as these measures see it.

    Attributes:
        images: copies of whole images; None if a cohort has none.
        lesions: copies of lesion regions; None if a cohort has too few.
        labels: copies of label maps; None likewise.
        nearness: extractor name -> distances between features of whole images.
        facts: hashes, counts, versions.
        left_out: one sentence on each part that could not be measured.
        notes: one sentence on each thing about the cohorts that limits or explains the results.
    """

    images: ImageCopies | None
    lesions: ImageCopies | None
    labels: MapCopies | None
    nearness: Mapping[str, Nearness]
    facts: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def thresholds(self) -> dict[str, Threshold]:
        """What is compared -> threshold for copies."""
        images = {"whole images": self.images, "lesion regions": self.lesions}
        found = {what: each.found.threshold for what, each in images.items() if each is not None}
        return found | ({"label maps": self.labels.found.threshold} if self.labels else {})

    @property
    def membership(self) -> dict[str, Membership]:
        """What membership is inferred from -> result, with p values corrected for their number."""
        images = {"similarity of whole images": self.images, "similarity of lesion regions": self.lesions}
        found = {what: each.membership for what, each in images.items() if each is not None}
        found |= {name: each.membership for name, each in self.nearness.items()}
        return corrected({what: each for what, each in found.items() if each is not None})

    def as_json(self) -> Mapping[str, object]:
        """All results as JSON values."""
        parts = {"images": self.images, "lesion_regions": self.lesions, "label_maps": self.labels}
        return {
            "warning": WARNING,
            "facts": dict(self.facts),
            **{name: None if part is None else part.as_json() for name, part in parts.items()},
            "nearness": {name: found.as_json() for name, found in self.nearness.items()},
            "membership_p_holm": {what: found.corrected for what, found in self.membership.items()},
            "left_out": list(self.left_out),
            "notes": list(self.notes),
        }
