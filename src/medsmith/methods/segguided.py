"""Segmentation-guided diffusion: an image for a given mask, the strongest baseline of PIG's table 2.

Konz et al. 2024, Anatomically-controllable medical image generation with segmentation-guided diffusion models. The
mask enters as channels beside the noisy image. Training hides the whole mask of some cases (Konz et al. hide single
classes), which also allows classifier-free guidance.

Axes: b batch, k mask channels (one per label), c image channels, ``*space`` = x y or x y z; all in [-1, 1].
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, Field
from torch import Tensor

from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef, load_case, open_cohort
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model, labels_to_model
from medsmith.diffusion import Denoiser, Observe, Sampling, derive_seed
from medsmith.errors import RequestError
from medsmith.methods.base import Method, Stage, assemble, evenly_chosen
from medsmith.methods.config import DiffusionConfig, TrainingConfig
from medsmith.methods.guides import GuidedRequest, guide_corrections
from medsmith.methods.one_network import OneNetworkConfig
from medsmith.networks import NetworkConfig, UNet

HIDDEN = 0.0  # in every mask channel: neither inside (1) nor outside (-1)
BANK_BYTES = 64 * 2**20
"""Largest size of the masks that a run keeps of its training cohort."""


@final
class SegGuidedConfig(OneNetworkConfig):
    """Settings of segmentation-guided diffusion.

    Attributes:
        mask_dropout: share of training cases whose mask is hidden.
        guidance: weight of classifier-free guidance; 1 is the conditional network alone.
    """

    mask_dropout: float = Field(default=0.1, ge=0, le=1)
    guidance: float = Field(default=1.0, ge=0)


@final
class SegGuidedRequest(GuidedRequest):
    """A request for one case; guides act besides the mask.

    Attributes:
        masks: a case whose label map guides the image, or a cohort from which the seed chooses one; None takes the
            masks of the training cohort.
    """

    masks: CaseRef | None = None


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
        return (Stage("image", parts=("network",)),)

    def prepare(self, case: Case) -> Example:
        """Image and mask channels on the network's grid; masks as int8 signs, a quarter of the size of floats."""
        size = self.config.size
        return {
            "image": image_to_model(case, self.fingerprint, size),
            "mask": labels_to_model(case.require_labels(), self.fingerprint, size).to(torch.int8),
        }

    def begin(self, stage: str, examples: Sequence[Example]) -> Mapping[str, Tensor]:  # noqa: ARG002
        """The masks of the training cohort as int8 signs; an even selection where all are too large to keep."""
        kept = evenly_chosen(examples, max(1, BANK_BYTES // examples[0]["mask"].numel()))
        return {"masks": torch.stack([example["mask"] for example in kept])}

    def loss(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:  # noqa: ARG002
        """Konz et al. 2024, eq. 3, the mask hidden from some cases."""
        noised, mask = self.process.noised(batch["image"], rng), batch["mask"].float()
        hidden = torch.rand(len(mask), generator=rng).to(mask.device) < self.config.mask_dropout
        mask = torch.where(hidden.reshape((-1,) + (1,) * (mask.ndim - 1)), torch.full_like(mask, HIDDEN), mask)
        return self.process.loss(self._predict(mask, noised.x, noised.t), noised)

    def synthesize(
        self, request: SegGuidedRequest, seed: int, sampling: Sampling, *, observe: Observe | None = None
    ) -> Case:
        """An image for one mask.

        Raises:
            RequestError: the requested case or its cohort does not fit.
        """
        mask = self._chosen_mask(request, seed)
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
        return assemble(image, mask, self.fingerprint)

    def _denoiser(self, mask: Float[Tensor, "1 k *space"]) -> Denoiser:
        hidden = torch.full_like(mask, HIDDEN)
        conditional = partial(self._predict, mask), self.config.guidance
        return self.process.denoiser(partial(self._predict, hidden), conditional)

    def _chosen_mask(self, request: SegGuidedRequest, seed: int) -> Float[Tensor, "k *space"]:
        index = derive_seed(seed, "mask")
        if request.masks is None:
            masks = self.memory["masks"]
            return masks[index % len(masks)].float()
        case = self._template(request.masks, index)
        return labels_to_model(case.require_labels(), self.fingerprint, self.config.size)

    def _template(self, masks: CaseRef, index: int) -> Case:
        """A case of another cohort, by its name or by an index."""
        found, needed = dict(open_cohort(masks).label_names), dict(self.fingerprint.label_names)
        if found != needed:
            raise RequestError("request", f"labels of {masks.cohort} are {found}", f"trained on {needed}")
        case = load_case(masks, index, "labels")
        if case.geometry.dimensions != self.fingerprint.dimensions:
            fact = f"case '{case.id}' of {masks.cohort} is {case.geometry.dimensions}-D"
            raise RequestError("request", fact, f"trained on {self.fingerprint.dimensions}-D")
        return case

    def _predict(
        self, mask: Tensor, x: Float[Tensor, "b c *space"], t: Int[Tensor, "b"]
    ) -> Float[Tensor, "b c *space"]:
        predicted: Tensor = self.network(torch.cat([mask.expand(len(x), *mask.shape[1:]), x], dim=1), t)
        return predicted
