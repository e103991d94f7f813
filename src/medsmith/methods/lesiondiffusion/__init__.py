"""LesionDiffusion: LMNet generates the mask of a lesion from its report, LINet inpaints it into a CT.

Tian et al. 2025, LesionDiffusion: Towards Text-controlled General Lesion Synthesis. The steps of inference (section
2.3): report, box, mask, inpainting. Each network works in a cube around the lesion's box; the scan outside it
does not change.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor

from medsmith.cases.case import Case, Kind
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import Observe, Sampling
from medsmith.insertion.asked_organs import AskedOrgans
from medsmith.methods.attributes import Attribute
from medsmith.methods.base import Method, Stage
from medsmith.methods.lesiondiffusion.attributes import lesion_attributes
from medsmith.methods.lesiondiffusion.config import PRESETS, LesionDiffusionConfig, MaskConfig, PaintConfig
from medsmith.methods.lesiondiffusion.generator import EllipsoidSampler, LesionGenerator, LINetSampler, LMNetSampler
from medsmith.methods.lesiondiffusion.linet import LINet
from medsmith.methods.lesiondiffusion.lmnet import LMNet
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.methods.lesiondiffusion.synthesis import synthesize_from_bank, synthesize_from_template
from medsmith.methods.lesiondiffusion.template_bank import check_without_templates, template_bank_of, template_from_bank
from medsmith.methods.lesiondiffusion.templates import fingerprint_of, label_of_lesions
from medsmith.methods.lesiondiffusion.training_example import training_example
from medsmith.networks.autoencoder_losses import vqgan_discriminator_loss, vqgan_loss
from medsmith.networks.discriminator import Discriminators
from medsmith.networks.latent import LatentSpace, VoxelSpace, on_latent_grid
from medsmith.networks.vqgan import VQGAN
from medsmith.reports.collection import read_reports
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import attributes_for
from medsmith.text.encoded_vocabulary import Consumer, EncodedVocabulary, load_vocabulary, vocabulary_tensors


@final
class LesionDiffusion(Method):
    """Lesions of any kind and organ, in 3-D CT.

    Args:
        config: settings.
        fingerprint: of the training cohort.
    """

    dimensions: ClassVar[tuple[int, ...]] = (3,)
    inputs: ClassVar[frozenset[Kind]] = frozenset(("labels",))
    checks: ClassVar[tuple[str, ...]] = (
        "labels_declared", "mask_not_empty", "image_finite", "lesions_visible", "lesions_as_requested",
    )  # fmt: skip
    presets: ClassVar[Mapping[str, BaseModel]] = PRESETS
    Config = LesionDiffusionConfig
    Request = LesionDiffusionRequest

    def __init__(self, config: LesionDiffusionConfig, fingerprint: Fingerprint) -> None:
        super().__init__()
        self.config: LesionDiffusionConfig = config
        self.fingerprint, self.memory = fingerprint, {}
        self._vocabularies: dict[tuple[Consumer, bool], EncodedVocabulary] = {}
        mask_attributes, image_attributes = len(attributes_for("mask")), len(attributes_for("image"))
        self.lmnet = LMNet(config.mask, mask_attributes)
        if config.paint.space == "latent":
            self.vqgan, self.discriminators = VQGAN(config.vqgan), Discriminators(config.discriminator)
        self.linet = LINet(config.paint, self._space.channels, image_attributes)

    def stages(self) -> tuple[Stage, ...]:
        """LMNet and LINet are trained independently; LINet in a latent space needs the trained autoencoder."""
        mask = Stage("mask", parts=("lmnet",), inputs=frozenset(("labels",)))
        if self.config.paint.space == "voxels":
            return mask, Stage("paint", parts=("linet",))
        autoencoder = Stage("autoencoder", parts=("vqgan", "discriminators"))
        return mask, autoencoder, Stage("paint", parts=("linet",), needs=("autoencoder",), encoded=True)

    def prepare(self, case: Case) -> Example:
        """Cubes around the largest lesion of a case, and its report as vectors (``training_example``).

        Raises:
            ContentError: no lesion is labeled.
        """
        return training_example(case, self.config, (self.vocabulary("mask").table, self.vocabulary("image").table))

    def begin(self, stage: str, examples: Sequence[Example]) -> Mapping[str, Tensor]:
        """The encoded vocabulary, which replaces the text encoder, and the template bank."""
        if stage == "mask":
            return vocabulary_tensors("mask", self.config.mask.words)
        if stage == "paint":
            return {**vocabulary_tensors("image", self.config.paint.words), **template_bank_of(examples)}
        return {}

    def encode(self, stage: str, example: Example) -> Example:  # noqa: ARG002
        """LINet's example in latent space: the image's latent, and the masks on its grid."""
        with torch.no_grad():
            masks = {
                key: on_latent_grid(example[key][None].float(), self._space.factor)[0] for key in ("lesion", "region")
            }
            state = self._space.encode(example["image"][None].float().to(self.device))[0].cpu()
        return {**masks, "state": state, "image_words": example["image_words"]}

    def loss(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:
        """Equation 2 for LMNet, 3 for VQGAN and discriminators, 4 and 5 for LINet."""
        match part:
            case "lmnet":
                return self.lmnet.loss(batch, self._null("mask"), rng)
            case "linet":
                clean = batch["state"] if "state" in batch else self._space.encode(batch["image"].float())
                lesion, region = batch["lesion"].float(), batch["region"].float()
                return self.linet.loss(clean, lesion, region, batch["image_words"], self._null("image"), rng)
        loss_of = vqgan_loss if part == "vqgan" else vqgan_discriminator_loss
        return loss_of(self.vqgan, self.discriminators, batch["image"].float(), self.config.autoencoding, rng)

    def output_fingerprint(self, request: LesionDiffusionRequest) -> Fingerprint:
        """The fingerprint of the templates, with a label for lesions.

        Raises:
            RequestError: no organ map of the request's source has an organ that it names; or there are no templates,
                and their stand-in cannot hold the lesions as asked.
        """
        AskedOrgans.model_validate(request, from_attributes=True).check()
        if request.templates is None:
            check_without_templates(_asked(request), self.config.paint.frame.size)
        return fingerprint_of(request, self.fingerprint)

    def checks_of(self, request: LesionDiffusionRequest) -> tuple[str, ...]:
        """All of ``checks``; not of the lesions' attributes where the request keeps those that miss one."""
        return tuple(name for name in self.checks if not (request.keep_missed and name == "lesions_as_requested"))

    def request_of_case(self, request: LesionDiffusionRequest, index: int) -> LesionDiffusionRequest:
        """The request with the case's own report, where it names several."""
        if request.reports is None:
            return request
        reports = read_reports(request.reports)
        own = reports[index % len(reports)]
        said = {"lesions": own.lesions, "without": own.without, "remarks": own.remarks}
        return request.model_copy(update={**said, "reports": None})

    def attributes(self) -> Sequence[Attribute]:
        """Attributes of the report; they need templates."""
        return lesion_attributes()

    def synthesize(
        self, request: LesionDiffusionRequest, seed: int, sampling: Sampling, *, observe: Observe | None = None
    ) -> Case:
        """A template with lesions inserted. The report is measured; the provenance has requested and measured.

        Raises:
            RequestError: a template or an organ does not exist, or there is no room for the lesions.
        """
        generator = self._generator(request, sampling, observe)
        label = label_of_lesions(request, self.fingerprint)
        if request.templates is None:
            template = template_from_bank(self.memory, self.fingerprint, seed)
            return synthesize_from_bank(request, template, label, generator, seed)
        return synthesize_from_template(request, (self.fingerprint.label_names, label), generator, seed)

    def _generator(
        self, request: LesionDiffusionRequest, sampling: Sampling, observe: Observe | None
    ) -> LesionGenerator:
        mask, paint = self.config.mask, self.config.paint
        weights = (_weight(request, request.mask_guidance, mask), _weight(request, request.paint_guidance, paint))
        lmnet = LMNetSampler(self.lmnet, self.vocabulary("mask"), weights[0], sampling, observe)
        return LesionGenerator(
            sample_mask=lmnet if request.mask_source == "lmnet" else EllipsoidSampler(),
            sample_intensities=LINetSampler(
                self.linet, self._space, self.vocabulary("image"), weights[1], sampling, observe
            ),
            cubes=(mask.frame, paint.frame),
            levels=mask.levels if request.mask_source == "lmnet" else (0.0,),
        )

    def _null(self, consumer: Consumer) -> Float[Tensor, "n d"]:
        return self.vocabulary(consumer).null[0].to(self.device)

    @property
    def _space(self) -> LatentSpace:
        return self.vqgan if self.config.paint.space == "latent" else VoxelSpace(self.config.paint.amplitude)

    def vocabulary(self, consumer: Consumer) -> EncodedVocabulary:
        """The encoded vocabulary of LMNet ("mask") or LINet ("image"): the one it was trained with, once trained.

        Raises:
            FileError: there is no such table.
            RequestError: its vectors are not as long as the config says.
        """
        words = self.config.mask.words if consumer == "mask" else self.config.paint.words
        found = (consumer, f"{consumer}_phrases.null" in self.memory)
        if found not in self._vocabularies:
            self._vocabularies[found] = load_vocabulary(words, consumer, self.memory)
        return self._vocabularies[found]


def _asked(request: LesionDiffusionRequest) -> Iterator[LesionReport]:
    """All reports of lesions that a request names."""
    yield from request.lesions
    for scan in read_reports(request.reports) if request.reports else ():
        yield from scan.lesions
    if request.lesion_type:
        yield LesionReport(organ=LESION_TYPES[request.lesion_type].organ)


def _weight(request: LesionDiffusionRequest, requested: float | None, config: MaskConfig | PaintConfig) -> float:
    """Weight of classifier-free guidance; 0 uses the null text alone."""
    if request.words == "ignored":
        return 0.0
    return config.guidance if requested is None else requested
