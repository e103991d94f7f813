"""Segmentation-guided diffusion: an image for a given mask, the strongest baseline of PIG's table 2.

Konz et al. 2024, Anatomically-controllable medical image generation with segmentation-guided diffusion models. The
mask enters as channels beside the noisy image. Training hides the whole mask of some cases (Konz et al. hide single
classes), which also allows classifier-free guidance, and lets the network learn from images without labels: their mask
is always hidden.

Axes: b batch, k mask channels (one per label), c image channels, ``*space`` = x y or x y z; all in [-1, 1].
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, Field
from torch import Tensor

from medsmith.cases.case import Case, Kind
from medsmith.cases.case_ref import CaseRef
from medsmith.data.batches import Batch, Example
from medsmith.data.deformation import DeformationConfig
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.label_facts import LabelFacts
from medsmith.data.scaling import image_to_model, labels_to_model
from medsmith.diffusion import Denoiser, Observe, Sampling, derive_seed
from medsmith.errors import TrainingError
from medsmith.methods.attributes import Draw
from medsmith.methods.base import IMAGE_AND_LABELS, Method, Stage, assemble, evenly_chosen
from medsmith.methods.config import DiffusionConfig, TrainingConfig
from medsmith.methods.given_labels import Unusual, augmented_map, given_map, record_of
from medsmith.methods.guides import GuidedRequest, guide_corrections
from medsmith.methods.label_maps import DrawnMap, indices_of_masks, masks_of_indices, over_given
from medsmith.methods.one_network import OneNetworkConfig
from medsmith.networks import NetworkConfig, UNet

HIDDEN = 0.0  # in every mask channel: neither inside (1) nor outside (-1)
BANK_BYTES = 64 * 2**20
"""Largest size of the masks that a run keeps of its training cohort."""


@final
class SegGuidedConfig(OneNetworkConfig):
    """Settings of segmentation-guided diffusion.

    Attributes:
        mask_dropout: share of labeled training cases whose mask is hidden.
        unlabeled: whether images without labels are learned from with a "hidden" mask, or "left_out".
        guidance: weight of classifier-free guidance; 1 is the conditional network alone.
    """

    mask_dropout: float = Field(default=0.1, ge=0, le=1)
    unlabeled: Literal["hidden", "left_out"] = "hidden"
    guidance: float = Field(default=1.0, ge=0)


@final
class SegGuidedRequest(GuidedRequest):
    """A request for one case; guides act besides the mask.

    Attributes:
        labels: a case whose label map the image follows, or a cohort from which the seed chooses one; None takes the
            maps of the training cohort.
        augment_labels: how far these maps are deformed; None takes them as they are.
        unusual: "refuse" given maps whose volumes lie outside the range of training, or "flag" them in the provenance.
        draws: largest number of deformations that are drawn until a map is legal.
    """

    labels: CaseRef | None = None
    augment_labels: DeformationConfig | None = None
    unusual: Unusual = "refuse"
    draws: int = Field(default=20, ge=1, le=1000, strict=True)


_PAPER = SegGuidedConfig(
    size=(256, 256),
    network=NetworkConfig(
        channels=(128, 128, 256, 256, 512, 512),
        attention=(False, False, False, False, True, False),
        residual_blocks=2,
        head_channels=8,
        groups=32,
        space_to_depth=1,
    ),
    diffusion=DiffusionConfig(schedule="linear", length=1000, prediction="noise", min_snr=None),
    mask_dropout=0.0,
    unlabeled="left_out",
    training=TrainingConfig(steps=100_000, batch=16, learning_rate=1e-4, warm_up=500, ema=0.0, precision="float32"),
    sampling=Sampling(solver="ddim", steps=50),
)
_BEST = SegGuidedConfig(
    size=(128, 128),
    network=NetworkConfig(channels=(96, 128, 192), residual_blocks=2),
    training=TrainingConfig(steps=40_000, ema=0.999),
)


@final
class SegGuided(Method):
    """Images for given masks, for any number of label classes, in 2-D and 3-D.

    Args:
        config: settings.
        fingerprint: of the training cohort.
    """

    checks: ClassVar[tuple[str, ...]] = (
        "labels_declared", "labels_legal", "mask_not_empty", "foreground_share", "components",
        "image_finite", "image_range", "image_spread", "image_noise", "not_a_copy",
    )  # fmt: skip
    presets: ClassVar[Mapping[str, BaseModel]] = {"paper": _PAPER, "best": _BEST, "tiny": SegGuidedConfig()}
    Config = SegGuidedConfig
    Request = SegGuidedRequest

    def __init__(self, config: SegGuidedConfig, fingerprint: Fingerprint) -> None:
        super().__init__()
        self.config: SegGuidedConfig = config
        self.fingerprint, self.memory = fingerprint, {}
        self._channels = len(fingerprint.channel_names)
        both = self._channels + len(fingerprint.foreground_labels)
        self.process = config.diffusion.process()
        self.network = UNet(config.network, fingerprint.dimensions, both, self._channels)

    def stages(self) -> tuple[Stage, ...]:
        """The only network."""
        images: frozenset[Kind] = frozenset(("image",))
        inputs = images if self.config.unlabeled == "hidden" else IMAGE_AND_LABELS
        return (Stage("image", parts=("network",), inputs=inputs),)

    def prepare(self, case: Case) -> Example:
        """Image and mask channels on the network's grid; masks as int8 signs, a quarter of the size of floats.

        The mask of a case without labels is hidden.
        """
        size = self.config.size
        hidden = torch.full((len(self.fingerprint.foreground_labels), *size), HIDDEN)
        mask = hidden if case.labels is None else labels_to_model(case.labels, self.fingerprint, size)
        return {"image": image_to_model(case, self.fingerprint, size), "mask": mask.to(torch.int8)}

    def begin(self, stage: str, examples: Sequence[Example]) -> Mapping[str, Tensor]:
        """The masks of the training cohort as int8 signs, and what they have in common.

        An even selection is kept where all are too large.

        Raises:
            TrainingError: no case has an image and labels.
        """
        labeled = [index for index in range(len(examples)) if not (examples[index]["mask"] == HIDDEN).all()]
        if not labeled:
            limit = "the mask conditions the image"
            raise TrainingError(f"stage '{stage}'", "no case has an image and labels", limit, "add such cases")
        first = examples[labeled[0]]["mask"]
        kept = evenly_chosen(labeled, max(1, BANK_BYTES // first.numel()))
        maps = (indices_of_masks(examples[index]["mask"]).numpy() for index in labeled)
        facts = LabelFacts.of(maps, 1 + len(first))
        return {"masks": torch.stack([examples[index]["mask"] for index in kept]), **facts.tensors()}

    def loss(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:  # noqa: ARG002
        """Konz et al. 2024, eq. 3, the mask hidden from some cases."""
        noised, mask = self.process.noised(batch["image"], rng), batch["mask"].float()
        hidden = torch.rand(len(mask), generator=rng).to(mask.device) < self.config.mask_dropout
        mask = torch.where(hidden.reshape((-1,) + (1,) * (mask.ndim - 1)), torch.full_like(mask, HIDDEN), mask)
        return self.process.loss(self._predict(mask, noised.x, noised.t), noised)

    def request_with_map(self, draw: Draw) -> SegGuidedRequest:
        """The maps of a cohort in turn, or those that the method was trained on."""
        return SegGuidedRequest(labels=draw.template("labels"))

    def synthesize(
        self, request: SegGuidedRequest, seed: int, sampling: Sampling, *, observe: Observe | None = None
    ) -> Case:
        """An image for one mask.

        Raises:
            RequestError: the requested case or its cohort does not fit.
        """
        drawn = self._drawn_map(request, seed)
        mask = masks_of_indices(drawn.labels, len(self.fingerprint.foreground_labels))
        denoise = self._denoiser(mask[None].to(self.device))
        shape = (self._channels, *self.config.size)
        image = self.process.sample_one(
            denoise,
            shape,
            seed,
            sampling,
            device=self.device,
            corrections=guide_corrections(request, self.process, self.fingerprint, self.config.size, seed, sampling),
            observe=observe,
        )
        case = over_given(assemble(image, mask, self.fingerprint), drawn)
        return replace(case, provenance=record_of(drawn, request, self.fingerprint))

    def _denoiser(self, mask: Float[Tensor, "1 k *space"]) -> Denoiser:
        hidden = torch.full_like(mask, HIDDEN)
        conditional = partial(self._predict, mask), self.config.guidance
        return self.process.denoiser(partial(self._predict, hidden), conditional)

    def _drawn_map(self, request: SegGuidedRequest, seed: int) -> DrawnMap:
        facts, drawn_by = LabelFacts.from_memory(self.memory), derive_seed(seed, "mask")
        if request.labels is not None:
            return given_map(request, self.fingerprint, self.config.size, facts, drawn_by)
        masks = self.memory["masks"]
        index = drawn_by % len(masks)
        chosen = DrawnMap(indices_of_masks(masks[index].cpu()).numpy(), origin={"training_map": index})
        return augmented_map(chosen, request, self.fingerprint, facts, drawn_by)

    def _predict(
        self, mask: Tensor, x: Float[Tensor, "b c *space"], t: Int[Tensor, "b"]
    ) -> Float[Tensor, "b c *space"]:
        predicted: Tensor = self.network(torch.cat([mask.expand(len(x), *mask.shape[1:]), x], dim=1), t)
        return predicted
