"""PIG: image and mask sampled together by two diffusion models that guide each other.

Zhang et al., Paired Image Generation with Diffusion-Guided Diffusion Models. In the paper x is the mask and y the
image. The guider (model_x) gets the noisy mask and the noisy image; the image network (model_y) gets the clean estimate
of the mask and the noisy image. Both are sampled together through one schedule (eq. 12), so that sampling is that of a
single denoiser of the stacked state [mask, image] (Algorithm 2).

Axes: b batch, k mask channels (one per label), c image channels, ``*space`` = x y or x y z; all in [-1, 1].
"""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d

from medsmith.cases.case import Case
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model, labels_to_model
from medsmith.diffusion import Observe, Sampling, on_channels
from medsmith.methods.base import Method, Stage, assemble
from medsmith.methods.config import DiffusionConfig, Size, TrainingConfig, check_settings
from medsmith.methods.guides import GuidedRequest, guide_corrections
from medsmith.networks import NetworkConfig, UNet

LOSS_WEIGHT_OF_MASK = torch.sigmoid  # released code: weight sigmoid(1) = .73 in the lesion, sigmoid(-1) = .27 elsewhere


@final
class PigConfig(BaseModel):
    """Settings of PIG.

    Attributes:
        size: grid of both networks, voxels along each axis of space.
        network: shape of both networks.
        diffusion: noise and prediction of both.
        estimates: share of training cases for which the image network gets the one-step estimate of the frozen guider
            instead of the true mask: 0 as in the paper, 1 as in the released code.
        lesion_weight: "sigmoid" weights the image error by the sigmoid of the mask channels, as the released code.
        binarize: how the mask estimate is binarized for the image network in sampling: "smoothed" is the 5-voxel mean
            and threshold at 3/4 of the range of the released code, "none" the estimate itself (clamped by
            diffusion.clamp).
        training: of each stage.
        sampling: default solver and steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Size = (64, 64)
    network: NetworkConfig = NetworkConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    estimates: float = Field(default=0.5, ge=0, le=1)
    lesion_weight: Literal["none", "sigmoid"] = "none"
    binarize: Literal["none", "smoothed"] = "none"
    training: TrainingConfig = TrainingConfig()
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _fits_together(self) -> "PigConfig":
        check_settings(self.size, self.diffusion, self.training, self.sampling)
        return self


@final
class PigRequest(GuidedRequest):
    """A request for one case; guides act on the image channels, the networks themselves are unconditional."""


_PAPER_NETWORK = NetworkConfig(
    channels=(32, 32, 64, 64, 128, 128),
    attention=(False, False, False, False, False, True),
    residual_blocks=2,
    head_channels=128,
    groups=32,
    space_to_depth=1,
)
_PAPER_DIFFUSION = DiffusionConfig(schedule="linear", length=1024, prediction="noise", min_snr=None)
_PAPER = PigConfig(
    size=(512, 512),
    network=_PAPER_NETWORK,
    diffusion=_PAPER_DIFFUSION,
    estimates=0.0,
    training=TrainingConfig(
        steps=186_000,
        batch=6,
        learning_rate=2e-4,
        weight_decay=0.0,
        warm_up=0,
        ema=0.0,
        flips=(),
        precision="float32",
    ),
    sampling=Sampling(solver="ddim", steps=256),
)
_RELEASED = _PAPER.model_copy(
    update={
        "diffusion": _PAPER_DIFFUSION.model_copy(update={"time_draw": "antithetic"}),
        "estimates": 1.0,
        "lesion_weight": "sigmoid",
        "binarize": "smoothed",
        "sampling": Sampling(solver="ddim", steps=1024),
    }
)
_BEST = PigConfig(
    size=(128, 128),
    network=NetworkConfig(channels=(96, 128, 192), residual_blocks=2, space_to_depth=2),
    training=TrainingConfig(steps=40_000, ema=0.999),
)
_TINY = PigConfig()


@final
class Pig(Method):
    """Paired image generation for any number of label classes, in 2-D and 3-D.

    Args:
        config: settings.
        fingerprint: of the training cohort.
    """

    presets: ClassVar[Mapping[str, BaseModel]] = {
        "paper": _PAPER,
        "released": _RELEASED,
        "best": _BEST,
        "tiny": _TINY,
    }
    Config = PigConfig
    Request = PigRequest

    def __init__(self, config: PigConfig, fingerprint: Fingerprint) -> None:
        super().__init__()
        self.config: PigConfig = config
        self.fingerprint, self.memory = fingerprint, {}
        self._masks = len(fingerprint.foreground_labels)
        self._channels = len(fingerprint.channel_names)
        both = self._masks + self._channels
        self.process = config.diffusion.process()
        self.guider = UNet(config.network, fingerprint.dimensions, both, self._masks)
        self.image_network = UNet(config.network, fingerprint.dimensions, both, self._channels)

    def stages(self) -> tuple[Stage, ...]:
        """The guider, then the image network, which may learn on the guider's estimates."""
        return Stage("guider", parts=("guider",)), Stage("image", parts=("image_network",), needs=("guider",))

    def prepare(self, case: Case) -> Example:
        """Image and mask channels on the network's grid; masks as int8 signs, a quarter of the size of floats."""
        size = self.config.size
        return {
            "image": image_to_model(case, self.fingerprint, size),
            "mask": labels_to_model(case.require_labels(), self.fingerprint, size).to(torch.int8),
        }

    def loss(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:
        """Algorithm 1, and its counterpart for the image network."""
        true = batch["mask"].float()
        mask = self.process.noised(true, rng)
        image = self.process.noised(batch["image"], rng, mask.t)
        if part == "guider":
            return self.process.loss(self._predict_mask(image.x, mask.x, mask.t), mask)
        guide = self._guide(true, mask.x, image.x, mask.t, rng)
        weight: Tensor | float = 1.0
        if self.config.lesion_weight == "sigmoid":
            weight = LOSS_WEIGHT_OF_MASK(guide).amax(1, keepdim=True)
        return self.process.loss(self._predict_image(guide, image.x, image.t), image, weight)

    def synthesize(
        self,
        request: PigRequest,
        seed: int,
        sampling: Sampling,
        *,
        observe: Observe | None = None,
    ) -> Case:
        """Algorithm 2: mask and image from noise, sampled together."""
        shape = (self._masks + self._channels, *self.config.size)
        guides = guide_corrections(request, self.process, self.fingerprint, self.config.size, seed, sampling)
        state = self.process.sample_one(
            self._denoise,
            shape,
            seed,
            sampling,
            device=self.device,
            corrections=[on_channels(guide, slice(self._masks, None)) for guide in guides],
            observe=observe,
        )
        masks, image = state[: self._masks], state[self._masks :]
        if self.config.binarize == "smoothed":
            masks = self._binarize(masks[None])[0]
        return assemble(image, masks, self.fingerprint)

    def _denoise(self, x: Float[Tensor, "b s *space"], t: Int[Tensor, "b"]) -> Float[Tensor, "b s *space"]:
        """Clean estimates of mask and image; the image's is made from the mask's (Algorithm 2, lines 4-7)."""
        noisy_mask, noisy_image = x[:, : self._masks], x[:, self._masks :]
        mask = self._mask_estimate(noisy_mask, noisy_image, t)
        image = self.process.denoiser(partial(self._predict_image, self._visible(mask)))(noisy_image, t)
        return torch.cat([mask, image], dim=1)

    def _mask_estimate(self, noisy_mask: Tensor, noisy_image: Tensor, t: Tensor) -> Tensor:
        return self.process.denoiser(partial(self._predict_mask, noisy_image))(noisy_mask, t)

    def _predict_mask(self, noisy_image: Tensor, noisy_mask: Tensor, t: Tensor) -> Tensor:
        predicted: Tensor = self.guider(torch.cat([noisy_mask, noisy_image], dim=1), t)
        return predicted

    def _predict_image(self, guide: Tensor, noisy_image: Tensor, t: Tensor) -> Tensor:
        predicted: Tensor = self.image_network(torch.cat([guide, noisy_image], dim=1), t)
        return predicted

    def _guide(self, true: Tensor, noisy_mask: Tensor, noisy_image: Tensor, t: Tensor, rng: torch.Generator) -> Tensor:
        """The mask that the image network is trained on: true, or the frozen guider's one-step estimate."""
        chosen = torch.rand(len(true), generator=rng).to(true.device) < self.config.estimates
        if not chosen.any():
            return true
        with torch.no_grad():
            estimate = self._mask_estimate(noisy_mask, noisy_image, t)
        return torch.where(chosen.reshape((-1,) + (1,) * (true.ndim - 1)), estimate, true)

    def _visible(self, mask: Tensor) -> Tensor:
        """The mask estimate as the image network gets it."""
        return self._binarize(mask) if self.config.binarize == "smoothed" else mask

    def _binarize(self, mask: Tensor) -> Tensor:
        """The released sampler's binarization: 5-voxel mean, threshold at 3/4 maximum + 1/4 minimum of each image."""
        pool = avg_pool2d if mask.ndim == 4 else avg_pool3d
        smooth = pool(mask.clamp(-1, 1), 5, stride=1, padding=2, count_include_pad=False)
        axes = tuple(range(1, mask.ndim))
        threshold = 0.75 * smooth.amax(axes, keepdim=True) + 0.25 * smooth.amin(axes, keepdim=True)
        return (smooth > threshold).to(mask) * 2 - 1
