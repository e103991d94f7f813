"""Copy-paste: structures of one patient put into the image of another, the rival of every generator.

Ghiasi et al. 2021, Simple copy-paste is a strong data augmentation method for instance segmentation; here with
deformation, soft edges, gray values matched to the surroundings, and places where structures may lie. No network is
trained: a run keeps structures and templates of its cohort.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor

from medsmith.cases.case import Case
from medsmith.data.batches import Batch, Example
from medsmith.data.case_cache import exact_dtype
from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import Observe, Sampling, derive_seed
from medsmith.errors import RequestError, TrainingError
from medsmith.methods.base import Method, Stage
from medsmith.methods.copypaste.config import CopyPasteConfig
from medsmith.methods.copypaste.paste import Pasting
from medsmith.methods.copypaste.records import Records, as_tensor, joined
from medsmith.methods.copypaste.request import CopyPasteRequest
from medsmith.methods.copypaste.structures import find_structures, parsed_facts, patient_of
from medsmith.methods.copypaste.synthesis import TEMPLATES_TRIED, Donors, paste_into
from medsmith.methods.copypaste.templates import TEMPLATE, Templates, fingerprint_of, packed_template, template_bank

_STRUCTURES, _FACTS = "structures", "structure_facts"
_DEFAULT = CopyPasteConfig()


@final
class CopyPaste(Method):
    """Structures of other patients in real images, in 2-D and 3-D.

    Args:
        config: settings.
        fingerprint: of the training cohort.
    """

    checks: ClassVar[tuple[str, ...]] = ("labels_declared", "mask_not_empty", "image_finite")
    presets: ClassVar[Mapping[str, BaseModel]] = {"paper": _DEFAULT, "best": _DEFAULT, "tiny": _DEFAULT}
    Config = CopyPasteConfig
    Request = CopyPasteRequest

    def __init__(self, config: CopyPasteConfig, fingerprint: Fingerprint) -> None:
        super().__init__()
        self.config: CopyPasteConfig = config
        self.fingerprint, self.memory = fingerprint, {}

    def stages(self) -> tuple[Stage, ...]:
        """One pass over the cohort that keeps structures and templates; nothing is trained."""
        return (Stage("structures", parts=()),)

    def prepare(self, case: Case) -> Example:
        """The case as bytes, and each of its structures.

        Raises:
            RequestError: which labels are pasted is unclear, or the patient of the case.
        """
        found, dtype = list(find_structures(case, self.config)), exact_dtype(case)
        return {
            TEMPLATE: as_tensor(packed_template(case)),
            **joined(_STRUCTURES, [structure.packed(dtype) for structure in found]),
            **joined(_FACTS, [structure.facts.model_dump_json().encode() for structure in found]),
        }

    def begin(self, stage: str, examples: Sequence[Example]) -> Mapping[str, Tensor]:
        """All structures of the cohort, and its images as templates.

        Raises:
            TrainingError: no case has a structure.
        """
        kept: dict[str, list[bytes]] = {_STRUCTURES: [], _FACTS: []}
        for example in examples:
            for name, records in kept.items():
                records += Records(example, name)
        if not kept[_STRUCTURES]:
            limit = f"each has {self.config.least_voxels} voxels at least"
            raise TrainingError(f"stage '{stage}'", "no case has a structure to paste", limit, "add such cases")
        structures = {key: tensor for name, records in kept.items() for key, tensor in joined(name, records).items()}
        return {**structures, **template_bank(examples, self.config.kept_templates)}

    def loss(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:
        """Never called: the only stage has no parts."""
        raise NotImplementedError(f"copypaste has no network, so no loss of '{part}'")

    def output_fingerprint(self, request: CopyPasteRequest) -> Fingerprint:
        """That of the training cohort, or of the templates with the labels of what is pasted."""
        if request.templates is None:
            return self.fingerprint
        return fingerprint_of(request.templates, self.fingerprint, self._donors.labels)

    def synthesize(
        self,
        request: CopyPasteRequest,
        seed: int,
        sampling: Sampling,  # noqa: ARG002
        *,
        observe: Observe | None = None,  # noqa: ARG002
    ) -> Case:
        """A template with structures of other patients, which its provenance names with their transforms.

        Raises:
            RequestError: a template or label does not exist, no structure is of another patient, or none fits.
        """
        donors, facts = self._donors.wanted(request.structures), self.output_fingerprint(request)
        density = self._donors.density if request.places == "as_in_training" else None
        pasting = Pasting(request, self._donors.labels, density)
        templates = Templates(self.fingerprint, self.memory, self.config, request.templates)
        order = np.random.Generator(np.random.PCG64(derive_seed(seed, "template")))
        tried = 0
        for number, template in enumerate(islice(templates.in_turn(order), TEMPLATES_TRIED)):
            tried += 1
            made = paste_into(template, self._patient(template), donors, pasting, facts, derive_seed(seed, number))
            if made is not None:
                return made
        found = f"no room for {request.per_image[0]} of those that were tried in {tried} templates"
        raise RequestError("structures", found, cure="lower scale or per_image, name more labels within, or others")

    def _patient(self, template: Case) -> str:
        """Of a template; one of another cohort, whose ids the expression may not match, is a patient of its own."""
        try:
            return patient_of(template.id, self.config.group)
        except RequestError:
            return template.id

    @cached_property
    def _donors(self) -> Donors:
        facts = parsed_facts(Records(self.memory, _FACTS))
        return Donors(Records(self.memory, _STRUCTURES), facts, range(len(facts)))
