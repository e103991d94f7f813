"""LesionDiffusion: a lesion described in words is shaped by LMNet and painted by LINet into a CT.

Tian et al. 2025, LesionDiffusion: Towards Text-controlled General Lesion Synthesis. The steps of inference (section
2.3): report, box, mask, painting. Every network works in a cube about the lesion's box; what lies outside the cube is
never touched.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar, final

import torch
from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor

from medsmith.case import Case
from medsmith.conditioning.vocabulary import attributes_for
from medsmith.config import SamplingConfig
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import Solver
from medsmith.method import Method
from medsmith.methods.lesiondiffusion.config import PRESETS, LesionDiffusionConfig, MaskConfig, PaintConfig
from medsmith.methods.lesiondiffusion.drawing import Artist, EllipsoidShaper, LinetPainter, LmnetShaper
from medsmith.methods.lesiondiffusion.examples import example_of
from medsmith.methods.lesiondiffusion.keepsakes import keepsakes_of, kept_scan
from medsmith.methods.lesiondiffusion.linet import LINet, paint_loss
from medsmith.methods.lesiondiffusion.lmnet import LMNet, mask_loss
from medsmith.methods.lesiondiffusion.making import make_case, make_small_case
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.methods.lesiondiffusion.shaping import levels_of
from medsmith.methods.lesiondiffusion.states import Latents, States, Voxels
from medsmith.methods.lesiondiffusion.templates import facts_of
from medsmith.methods.lesiondiffusion.vocabularies import Consumer, Vocabulary, kept_tables, vocabulary_of
from medsmith.networks.autoencoding import autoencoder_loss, critic_loss
from medsmith.networks.critic import Critics
from medsmith.networks.vqgan import VQGAN


@final
class LesionDiffusion(Method):
    """Lesions of any kind and organ, in 3-D CT.

    Args:
        config: settings.
        fingerprint: of the training cohort.
    """

    stages: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "mask": ("lmnet",),
        "autoencoder": ("vqgan", "critics"),
        "paint": ("linet",),
    }
    dimensions: ClassVar[tuple[int, ...]] = (3,)
    checks: ClassVar[tuple[str, ...]] = ("labels_declared", "mask_not_empty", "image_finite", "lesions_drawn")
    presets: ClassVar[Mapping[str, BaseModel]] = PRESETS
    Config = LesionDiffusionConfig
    Request = LesionDiffusionRequest

    def __init__(self, config: LesionDiffusionConfig, fingerprint: Fingerprint) -> None:
        super().__init__()
        self.config: LesionDiffusionConfig = config
        self.fingerprint, self.memory = fingerprint, {}
        self._vocabularies: dict[tuple[Consumer, bool], Vocabulary] = {}
        shaped, shown = len(attributes_for("mask")), len(attributes_for("image"))
        self.lmnet = LMNet(config.mask, shaped)
        if config.paint.space == "latent":
            self.vqgan, self.critics = VQGAN(config.vqgan), Critics(config.critic)
        channels = self._states.channels
        self.linet = LINet(config.paint, channels, shown)

    def planned_stages(self) -> tuple[str, ...]:
        """Without a latent there is no autoencoder to train."""
        return tuple(name for name in self.stages if name != "autoencoder" or self.config.paint.space == "latent")

    def needs(self, stage: str) -> tuple[str, ...]:
        """LMNet and LINet learn each for itself; LINet paints in the latents of an autoencoder that is trained."""
        return ("autoencoder",) if stage == "paint" and self.config.paint.space == "latent" else ()

    def uses(self, stage: str, example: Example) -> bool:
        """Masks that come without a scan teach LMNet alone."""
        return stage == "mask" or bool(example["painted"] > 0)

    def prepare(self, case: Case) -> Example:
        """Cubes about the largest lesion of a case, and its report as vectors (``examples.example_of``).

        Raises:
            ContentError: no lesion is labelled.
        """
        return example_of(case, self.config, (self.vocabulary("mask").table, self.vocabulary("image").table))

    def remember(self, examples: Sequence[Example]) -> Mapping[str, Tensor]:
        """The encoded vocabulary, so that no text network is needed, and a few cubes to draw into without templates."""
        return {
            **keepsakes_of([example for example in examples if example["painted"] > 0]),
            **kept_tables({"mask": self.config.mask.words, "image": self.config.paint.words}),
        }

    def loss(self, part: str, batch: Batch, draw: torch.Generator) -> Float[Tensor, ""]:
        """Equation 2 for LMNet, 3 for VQGAN and critics, 4 and 5 for LINet."""
        match part:
            case "lmnet":
                null = self.vocabulary("mask").null[0].to(batch["mask"].device)
                return mask_loss(self.lmnet, batch, null, self.config.mask, self.compute, draw)
            case "linet":
                return self._paint_loss(batch, draw)
        image = batch["image"].float()
        play = autoencoder_loss if part == "vqgan" else critic_loss
        with self.compute.passes(image.device.type):
            return play(self.vqgan, self.critics, image, self.config.autoencoding, draw)

    def makes(self, request: LesionDiffusionRequest) -> Fingerprint:
        """Cases are as their templates, with a label for lesions."""
        return facts_of(request.templates, self.fingerprint)

    def synthesize(self, request: LesionDiffusionRequest, seed: int, *, solver: Solver, steps: int) -> Case:
        """A template with lesions in it; its report is what was measured, its provenance what was asked and got.

        Raises:
            RequestError: a template, an organ or a place that is not there.
        """
        artist = self._artist(request, self.walk(solver, steps))
        if request.templates is None:
            return make_small_case(request, kept_scan(self.memory, self.fingerprint, seed), artist, seed)
        return make_case(request, artist, seed)

    def _paint_loss(self, batch: Batch, draw: torch.Generator) -> Float[Tensor, ""]:
        lesion, region = (self._states.masks(batch[key].float()) for key in ("lesion", "region"))
        with torch.no_grad():
            clean = self._states.of(batch["image"].float())
        null = self.vocabulary("image").null[0].to(clean.device)
        return paint_loss(
            self.linet, clean, lesion, region, batch["image_words"], null, self.config.paint, self.compute, draw
        )

    def _artist(self, request: LesionDiffusionRequest, sampling: SamplingConfig) -> Artist:
        mask, paint = self.config.mask, self.config.paint
        weights = (_weight(request, request.mask_guidance, mask), _weight(request, request.paint_guidance, paint))
        shape = LmnetShaper(self.lmnet, mask, self.vocabulary("mask"), weights[0], sampling, self.compute)
        words = self.vocabulary("image")
        return Artist(
            shape=shape if request.mask_source == "lmnet" else EllipsoidShaper(),
            paint=LinetPainter(self.linet, paint, self._states, words, weights[1], sampling, self.compute),
            cubes=(mask.frame, paint.frame),
            reach_mm=paint.reach_mm,
            levels=levels_of(mask) if request.mask_source == "lmnet" else (0.0,),
        )

    @cached_property
    def _states(self) -> States:
        return Latents(self.vqgan) if self.config.paint.space == "latent" else Voxels(self.config.paint.amplitude)

    def vocabulary(self, consumer: Consumer) -> Vocabulary:
        """The encoded words of LMNet ("mask") or LINet ("image"): those it was trained with, once it is trained.

        Raises:
            FileError: there is no such table.
            RequestError: its vectors are not as long as the config says.
        """
        words = self.config.mask.words if consumer == "mask" else self.config.paint.words
        found = (consumer, f"{consumer}_phrases.null" in self.memory)
        if found not in self._vocabularies:
            self._vocabularies[found] = vocabulary_of(words, consumer, self.memory)
        return self._vocabularies[found]


def _weight(request: LesionDiffusionRequest, asked: float | None, config: MaskConfig | PaintConfig) -> float:
    """Weight of guidance; 0 leaves the null text alone."""
    if request.words == "ignored":
        return 0.0
    return config.guidance if asked is None else asked
