"""A case by copy-paste: a template, structures of other patients, and a place for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import numpy as np
from jaxtyping import Bool

from medsmith.cases.case import Case
from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError, similar
from medsmith.methods.copypaste.paste import Canvas, Pasting
from medsmith.methods.copypaste.patch import Patch, Transform, transformed
from medsmith.methods.copypaste.places import Density
from medsmith.methods.copypaste.request import CopyPasteRequest
from medsmith.methods.copypaste.rings import WIDTH
from medsmith.methods.copypaste.structures import Structure, StructureFacts, Triple, edges_of

_LEAST_SHARE = 0.5
"""Of a structure's volume, that a deformation leaves at least."""
TEMPLATES_TRIED, STRUCTURES_TRIED = 12, 8
"""Templates that are tried for a case, and structures for each of those that it is to have."""


@final
@dataclass(frozen=True, eq=False)
class Donors:
    """The structures that a run keeps.

    Attributes:
        records: one for each.
        facts: likewise.
        rows: those that may be drawn.
    """

    records: Sequence[bytes]
    facts: Sequence[StructureFacts]
    rows: Sequence[int]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of all labels that structures have, sorted."""
        return tuple(sorted({name for each in self.facts for name in each.labels.values()}))

    @property
    def density(self) -> Density:
        """Where they lie."""
        return Density(np.array([each.at for each in self.facts]))

    def wanted(self, labels: Sequence[str]) -> "Donors":
        """Those with one of some labels; () takes all.

        Raises:
            RequestError: no structure has such a label.
        """
        unknown = [name for name in labels if name not in self.labels]
        if unknown:
            limit = f"there are {', '.join(self.labels)}"
            cure = similar(unknown[0], self.labels, "name one of these")
            raise RequestError("structures", f"no structure is labeled '{unknown[0]}'", limit, cure)
        rows = [row for row in self.rows if not labels or set(labels) & set(self.facts[row].labels.values())]
        return replace(self, rows=rows)

    def drawn(self, other_than: str, rng: np.random.Generator) -> Structure:
        """A structure of another patient, a whole one where there is any.

        Patients are equally likely, whatever number of structures they have.

        Raises:
            RequestError: all are of that patient.
            RunError: they are damaged.
        """
        rows = [row for row in self.rows if self.facts[row].patient != other_than]
        rows = [row for row in rows if not self.facts[row].cut] or rows
        if not rows:
            found = f"all structures are of patient '{other_than}', as the template"
            raise RequestError("templates", found, "structures are of other patients", "train on more, or name others")
        patients = sorted({self.facts[row].patient for row in rows})
        patient = patients[int(rng.integers(len(patients)))]
        own = [row for row in rows if self.facts[row].patient == patient]
        return Structure.unpacked(self.records[own[int(rng.integers(len(own)))]])


def paste_into(
    template: Case, patient: str, donors: Donors, pasting: Pasting, facts: Fingerprint, seed: int
) -> Case | None:
    """A template with structures of other patients; None where fewer fit than the request asks for.

    Args:
        template: canonical; it is not changed.
        patient: of the template.
        donors: those that the request allows.
        pasting: how they are put in.
        facts: of the resulting case.
        seed: of all that is drawn.

    Raises:
        RequestError: no structure is of another patient, or a label that must hold them is unknown.
    """
    request, rng = pasting.request, np.random.Generator(np.random.PCG64(derive_seed(seed, "structures")))
    canvas = _canvas(template, facts)
    _check_within(request, template)
    own = canvas.count(pasting.structures)
    least, most = request.per_image
    wanted = int(rng.integers(least, most + 1))
    records: list[Mapping[str, Any]] = []
    for number in range(wanted * STRUCTURES_TRIED):
        if len(records) == wanted:
            break
        structure = donors.drawn(patient, rng)
        # The more did not fit, the smaller is the largest factor on the size: large ones would fail again.
        refused = (number - len(records)) / (wanted * STRUCTURES_TRIED)
        record = _pasted(canvas, structure, pasting, refused, derive_seed(seed, "structure", number), rng)
        if record is not None:
            records.append(record)
    if len(records) < least:
        return None
    return Case(
        id="",
        image=canvas.image,
        labels=canvas.labels,
        geometry=template.geometry,
        channel_names=template.channel_names,
        label_names=facts.label_names,
        stored=template.stored,
        provenance={"template": template.id, "own_structures": own, "pasted": records},
    )


def _pasted(
    canvas: Canvas, structure: Structure, pasting: Pasting, refused: float, seed: int, rng: np.random.Generator
) -> Mapping[str, Any] | None:
    """Pastes one structure and records it; None where it does not fit."""
    low, high = (float(np.log(factor)) for factor in pasting.request.scale)
    scale = float(np.exp(rng.uniform(low, high - refused * (high - low))))
    facts = structure.facts
    within = pasting.within(facts.surroundings)
    tissue = canvas.tissue(within)
    if not pasting.request.within and not tissue.any():
        within, tissue = (), canvas.tissue(())
    if _is_too_large(structure, scale, tissue, canvas.spacing):
        return None
    patch = _patch(canvas, structure, pasting, scale, seed, rng)
    if patch.cut or not patch.inside.any():
        return None
    record = pasting.paste(canvas, patch, facts.labels, tissue, rng)
    if record is None:
        return None
    source = {"donor": facts.donor, "part": facts.part, "labels": sorted(facts.labels.values())}
    return {**source, "within": list(within), "transform": patch.record, **record}


def _is_too_large(structure: Structure, scale: float, tissue: Bool[np.ndarray, "x y z"], spacing: Triple) -> bool:
    """Whether a structure has more volume than the tissue, so that it need not be deformed to see that."""
    dimensions = 2 if tissue.shape[2] == 1 else 3
    own = (structure.labels > 0).sum() * np.prod(structure.facts.spacing[:dimensions]) * scale**dimensions
    return bool(_LEAST_SHARE * own > tissue.sum() * np.prod(spacing[:dimensions]))


def _patch(
    canvas: Canvas, structure: Structure, pasting: Pasting, scale: float, seed: int, rng: np.random.Generator
) -> Patch:
    transform = Transform(scale, bool(rng.random() < 0.5), pasting.request.deformation, derive_seed(seed, "shape"))
    reach = max(WIDTH * min(canvas.spacing), pasting.feather_mm(canvas.spacing)) + max(canvas.spacing)
    return transformed(structure, transform, canvas.spacing, reach)


def _canvas(template: Case, facts: Fingerprint) -> Canvas:
    """A copy of a template to paste into; label values become those of the result."""
    image = template.require_image().copy()
    labels = np.zeros(template.geometry.shape, np.uint8)
    if template.labels is not None:
        labels[:] = template.labels
    return Canvas(
        image=image,
        labels=labels,
        channel_names=template.channel_names,
        label_names=facts.label_names,
        spacing=edges_of(template.geometry),
        stored=template.stored,
    )


def _check_within(request: CopyPasteRequest, template: Case) -> None:
    unknown = [name for name in request.within if not template.label_names.get(name)]
    if unknown:
        known = [name for name, value in template.label_names.items() if value]
        limit, cure = f"there are {', '.join(known) or 'none'}", similar(unknown[0], known, "name these")
        raise RequestError("within", f"the templates have no label '{unknown[0]}'", limit, cure)
