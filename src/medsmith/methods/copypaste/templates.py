"""Templates: images that structures are pasted into, kept by the run or in a cohort.

Axes: c channels, x y z canonical.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef, candidate_ids, ids_with, open_cohort
from medsmith.cases.hounsfield import check_units
from medsmith.data.batches import Example
from medsmith.data.case_cache import exact_dtype
from medsmith.data.fingerprint import Fingerprint
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.methods.base import evenly_chosen
from medsmith.methods.copypaste.config import CopyPasteConfig
from medsmith.methods.copypaste.records import Records, as_bytes, joined, packed, unpacked
from medsmith.reports.lesion_label import MAX_LABEL

BANK_BYTES = 256 * 2**20
"""Largest size of all kept templates, compressed."""
_TEMPLATES = "templates"
TEMPLATE = "template"
"""Tensor of an example that holds the case as a template."""
Row = tuple[float, float, float, float]


@final
class TemplateFacts(BaseModel):
    """What a run knows of a kept image besides its voxels.

    Attributes:
        id: of its case.
        affine: voxel to patient, mm; the first three rows.
        codes: of NIfTI.
        spacing_known: whether the file stores a spacing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str
    affine: tuple[Row, Row, Row]
    codes: tuple[int, int]
    spacing_known: bool


def packed_template(case: Case) -> bytes:
    """A case with image and labels as bytes."""
    rows = [[float(value) for value in row] for row in case.geometry.affine[:3]]
    facts = TemplateFacts.model_validate(
        {"id": case.id, "affine": rows, "codes": case.geometry.codes, "spacing_known": case.geometry.spacing_known}
    )
    return packed(facts, {"image": case.require_image().astype(exact_dtype(case)), "labels": case.require_labels()})


def template_bank(examples: Sequence[Example], most: int) -> dict[str, Tensor]:
    """Templates for the memory of a run; an even selection where there are too many.

    Args:
        examples: with ``packed_template`` under ``TEMPLATE``; at least one.
        most: their largest number; 0 keeps none.
    """
    if not most:
        return {}
    mean = max(sum(example[TEMPLATE].numel() for example in examples) // len(examples), 1)
    chosen = evenly_chosen(examples, min(most, max(BANK_BYTES // mean, 1)))
    return joined(_TEMPLATES, [as_bytes(example[TEMPLATE]) for example in chosen])


@final
@dataclass(frozen=True, eq=False)
class Templates:
    """Where templates come from.

    Attributes:
        facts: of the training cohort.
        memory: of the run.
        config: of the run.
        ref: the cohort of a request; None takes the run's.
    """

    facts: Fingerprint
    memory: Mapping[str, Tensor]
    config: CopyPasteConfig
    ref: CaseRef | None

    def in_turn(self, rng: np.random.Generator) -> Iterator[Case]:
        """Templates in random order, with labels.

        Raises:
            RequestError: there is none, or they do not fit the training cohort.
            RunError: those of the run are damaged.
            ContentError: a channel named CT is not in Hounsfield units.
        """
        if self.ref is None:
            yield from self._kept(rng)
            return
        cohort = open_cohort(self.ref)
        ids = template_ids(self.ref)
        for index in rng.permutation(len(ids)).tolist():
            case = check_units(cohort[ids[index]])
            if case.geometry.dimensions != self.facts.dimensions:
                found = f"case '{case.id}' of {self.ref.cohort} is {case.geometry.dimensions}-D"
                raise RequestError("templates", found, f"trained on {self.facts.dimensions}-D")
            yield case

    def _kept(self, rng: np.random.Generator) -> Iterator[Case]:
        records = Records(self.memory, _TEMPLATES)
        if not len(records):
            found = "none are named, and this run keeps none (kept_templates = 0)"
            raise RequestError("templates", found, cure="name a cohort: --templates COHORT")
        for index in rng.permutation(len(records)).tolist():
            facts, arrays = unpacked(records[index], TemplateFacts)
            affine = np.array([*facts.affine, (0.0, 0.0, 0.0, 1.0)])
            shape = arrays["labels"].shape
            yield Case(
                id=facts.id,
                image=arrays["image"].astype(np.float32),
                labels=arrays["labels"],
                geometry=Geometry((shape[0], shape[1], shape[2]), affine, facts.codes, facts.spacing_known),
                channel_names=self.facts.channel_names,
                label_names=self.facts.label_names,
                stored=np.dtype(self.facts.stored),
            )


def template_ids(ref: CaseRef) -> tuple[str, ...]:
    """Ids of the templates of a request: of the cases with labels, where some have them; else of all with an image.

    Raises:
        RequestError: there is no such case, or none has an image.
    """
    labeled = ids_with(ref, "image", "labels")
    return candidate_ids(ref, "image", "labels") if labeled else candidate_ids(ref, "image")


def fingerprint_of(ref: CaseRef, training: Fingerprint, pasted: Sequence[str]) -> Fingerprint:
    """The fingerprint of cases made from templates of a cohort: that of its own labels, and of those pasted.

    Args:
        ref: of the templates.
        training: of the training cohort.
        pasted: names of the labels that are pasted.

    Raises:
        RequestError: there is no such case, its channels are others, or no label value is free.
    """
    template_ids(ref)
    cohort = open_cohort(ref)
    if cohort.channel_names != training.channel_names:
        found = f"{ref.cohort} has channels {', '.join(cohort.channel_names)}"
        raise RequestError("templates", found, f"trained on {', '.join(training.channel_names)}", "name another cohort")
    names = dict(cohort.label_names) or {"background": 0}
    for name in pasted:
        if name not in names:
            names[name] = max(names.values()) + 1
    if max(names.values()) > MAX_LABEL:
        raise RequestError("templates", f"{len(names)} labels", f"{MAX_LABEL} values at most", "name another cohort")
    return training.model_copy(
        update={"label_names": names, "file_ending": cohort.file_ending, "channel_names": cohort.channel_names}
    )
