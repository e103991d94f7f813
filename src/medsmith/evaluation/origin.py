"""What a synthetic cohort says of where it comes from: the run, and real cases that its own were made from.

Axes: e edges of a thumbnail.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32

from medsmith.cases.case_io import read_records
from medsmith.cases.cohort import Cohort
from medsmith.cases.damaged_records import refusing_damaged
from medsmith.cases.integrity import first_of
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.same_images import same_images
from medsmith.data.similarity import thumbnails
from medsmith.errors import MedsmithError
from medsmith.formats.json_file import read_json
from medsmith.runs.checkpoints import read_record, read_tensors
from medsmith.runs.location import find_run

_PLAN, _MEMORY, _THUMBNAILS = "synthesis.json", "memory.safetensors", "thumbnails"
_NO_TEST = (
    "they are no new patients, distances to them are too small, and thresholds for copies and tests of membership that "
    "rest on them are void. Give cases that the generator has not seen."
)
_PASTED = (
    "from given images and structures of other cases: copies of images, lesions and masks are by design, and the cases "
    "are data of those patients."
)
_INSERTED = "in given images: outside of what was put in they are copies by design, and data of those patients."
Thumbnails = Float32[np.ndarray, "_ ex ey ez"]


@final
@dataclass(frozen=True)
class Generator:
    """The run that made a synthetic cohort.

    Attributes:
        folder: of the run.
        learned: of the cohort that it was trained on.
    """

    folder: Path
    learned: Fingerprint

    @classmethod
    def of(cls, synthetic: Cohort) -> "Generator | None":
        """That of a cohort; None where its files name none, or the run is not there."""
        try:
            run = str(read_json(synthetic.root / _PLAN)["run"])
            beside = synthetic.root / run
            folder = find_run(beside if beside.is_dir() else run)
            return cls(folder, read_record(folder).fingerprint)
        except (MedsmithError, KeyError):
            return None

    @property
    def thumbnails(self) -> Thumbnails | None:
        """Of the images that it was trained on; None where the run keeps none."""
        try:
            kept = read_tensors(self.folder / _MEMORY).get(_THUMBNAILS)
        except MedsmithError:
            return None
        return None if kept is None else np.asarray(kept.float().numpy(), np.float32)


def origin_notes(
    what: str, cohort: Cohort, images: tuple[Sequence[str], Thumbnails], training: Thumbnails | None, synthetic: Cohort
) -> tuple[str, ...]:
    """What makes real cases no new ones, and synthetic cases copies by design, one sentence each; else nothing.

    Args:
        what: the real cases are: "real" or "held-out".
        cohort: of them.
        images: ids and thumbnails of its images.
        training: thumbnails of the cohort that is given as that of the generator, made alike.
        synthetic: the cohort whose run and provenance are looked at.
    """
    made = _made_from(synthetic)
    seen = _seen(cohort, images, training, synthetic)
    named = made.ids & {*cohort.ids}
    found = []
    if seen:
        found.append(
            f"Caution: {len(seen)} of {len(cohort)} {what} cases were in the training cohort of the generator "
            f"({first_of(sorted(seen))}): {_NO_TEST}"
        )
    elif named:
        found.append(
            f"Caution: {len(named)} of {len(cohort)} {what} cases have the ids of cases that synthetic ones were made "
            f"from ({first_of(sorted(named))}). If these are the same cases: {_NO_TEST}"
        )
    return (*found, *made.notes)


def made_from_notes(synthetic: Cohort) -> tuple[str, ...]:
    """One sentence for each method whose cases are made from given ones, as their provenance says."""
    return _made_from(synthetic).notes


def _seen(
    cohort: Cohort, images: tuple[Sequence[str], Thumbnails], training: Thumbnails | None, synthetic: Cohort
) -> set[str]:
    """Ids of the cases whose images are among those that the generator was trained on."""
    ids, small = images
    seen = set[str]() if training is None else _among(ids, small, training)
    generator = Generator.of(synthetic)
    if generator is None:
        return seen
    if generator.learned.cohort_hash == cohort.content_hash():
        return {*cohort.ids}
    kept = generator.thumbnails
    return seen if kept is None else seen | _among(ids, thumbnails(cohort[id].require_image() for id in ids), kept)


def _among(ids: Sequence[str], small: Thumbnails, others: Thumbnails) -> set[str]:
    """The ids whose images are among others."""
    if not len(small) or not len(others) or small.shape[1:] != others.shape[1:]:
        return set()
    return {ids[row] for row in np.flatnonzero(same_images(small, others)).tolist()}


@final
@dataclass(frozen=True)
class _MadeFrom:
    """What synthetic cases were made from.

    Attributes:
        notes: one sentence for each method whose cases are made from given ones.
        ids: of the cases that the provenance names.
    """

    notes: tuple[str, ...]
    ids: frozenset[str]


def _made_from(synthetic: Cohort) -> _MadeFrom:
    pasted, inserted, ids = Counter[str](), Counter[str](), set[str]()
    for case_id in synthetic.ids:
        provenance = read_records(synthetic.root, case_id)[1] or {}
        if "template" in provenance:
            with refusing_damaged(synthetic.root / PROVENANCE / f"{case_id}.json"):
                donors = [str(structure["donor"]) for structure in provenance.get("pasted", ())]
            (pasted if donors else inserted)[str(provenance.get("method"))] += 1
            ids |= {str(provenance["template"]), *donors}
    by_design = [
        f"{number} of {len(synthetic)} synthetic cases were made by {method} {how}"
        for counts, how in ((pasted, _PASTED), (inserted, _INSERTED))
        for method, number in sorted(counts.items())
    ]
    return _MadeFrom(tuple(by_design), frozenset(ids))
