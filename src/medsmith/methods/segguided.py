"""Segmentation-guided diffusion: an image for a given mask, the strongest baseline of PIG's table 2.

Konz et al. 2024, Anatomically-controllable medical image generation with segmentation-guided diffusion models. The
mask enters as channels beside the noisy image. Training hides the whole mask of some cases (Konz et al. hide single
classes), which also allows classifier-free guidance.

Axes: b batch, k mask channels (one per label), c image channels, ``*space`` = x y or x y z; all in [-1, 1].
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from medsmith.case import Case
from medsmith.cohort import Cohort
from medsmith.config import DiffusionConfig, SamplingConfig, Size, TrainingConfig, check_settings
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model, labels_to_model
from medsmith.diffusion import Denoiser, Solver, derive_seed, guided
from medsmith.errors import RequestError
from medsmith.method import Method, assemble, finished
from medsmith.networks import NetworkConfig, UNet
from medsmith.objective import denoising_error, draw_times, normal_like

HIDDEN = 0.0  # in every mask channel: neither inside (1) nor outside (-1)


@final
class SegGuidedConfig(BaseModel):
    """Settings of segmentation-guided diffusion.

    Attributes:
        size: grid of the network, voxels along each axis of space.
        network: its shape.
        diffusion: noise and prediction.
        mask_dropout: share of training cases whose mask is hidden.
        guidance: weight of classifier-free guidance; 1 is the conditioned network alone.
        training: of its one stage.
        sampling: defaults of the walk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Size = (64, 64)
    network: NetworkConfig = NetworkConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    mask_dropout: float = Field(default=0.1, ge=0, le=1)
    guidance: float = Field(default=1.0, ge=0)
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = SamplingConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "SegGuidedConfig":
        check_settings(self.size, self.diffusion, self.training, self.sampling)
        return self


@final
class SegGuidedRequest(BaseModel):
    """What can be asked of a case.

    Attributes:
        masks: a cohort whose label maps guide the images; None takes those of the training cohort.
        case: the one case of it whose mask is used; None draws one by the seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    masks: Path | None = None
    case: str | None = None


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
    sampling=SamplingConfig(solver="ddim", steps=50),
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

    stages: ClassVar[Mapping[str, tuple[str, ...]]] = {"image": ("network",)}
    presets: ClassVar[Mapping[str, BaseModel]] = {"paper": _PAPER, "best": _BEST, "tiny": SegGuidedConfig()}
    Config = SegGuidedConfig
    Request = SegGuidedRequest

    def __init__(self, config: SegGuidedConfig, fingerprint: Fingerprint) -> None:
        super().__init__()
        self.config: SegGuidedConfig = config
        self.fingerprint, self.memory = fingerprint, {}
        self._channels = len(fingerprint.channel_names)
        both = self._channels + len(fingerprint.foreground_labels)
        self.schedule = config.diffusion.noise_schedule()
        self.network = UNet(config.network, fingerprint.dimensions, both, self._channels)

    def prepare(self, case: Case) -> Example:
        """Image and mask channels on the network's grid."""
        size = self.config.size
        return {
            "image": image_to_model(case, self.fingerprint, size),
            "mask": labels_to_model(case.require_labels(), self.fingerprint, size),
        }

    def remember(self, examples: Sequence[Example]) -> Mapping[str, Tensor]:
        """The masks of the training cohort, as signs."""
        return {"masks": torch.stack([example["mask"] for example in examples]).to(torch.int8)}

    def loss(self, part: str, batch: Batch, draw: torch.Generator) -> Float[Tensor, ""]:  # noqa: ARG002
        """Konz et al. 2024, eq. 3, the mask hidden from some cases."""
        clean, mask = batch["image"], batch["mask"]
        t = draw_times(self.config.diffusion, len(clean), draw).to(clean.device)
        hidden = torch.rand(len(mask), generator=draw).to(mask.device) < self.config.mask_dropout
        mask = torch.where(hidden.reshape((-1,) + (1,) * (mask.ndim - 1)), torch.full_like(mask, HIDDEN), mask)
        noised = self.schedule.add_noise(clean, normal_like(clean, draw), t)
        return denoising_error(self._ask(mask, noised.x, t), noised, self.schedule, self.config.diffusion)

    def synthesize(self, request: SegGuidedRequest, seed: int, *, solver: Solver, steps: int) -> Case:
        """An image for one mask.

        Raises:
            RequestError: the requested case or its cohort does not fit.
        """
        mask = self._chosen_mask(request, seed)
        device = next(self.parameters()).device
        denoise = self._bound(mask[None].to(device))
        shape = (self._channels, *self.config.size)
        image = finished(denoise, self.schedule, shape, seed, self.walk(solver, steps), device)
        return assemble(image, mask, self.fingerprint)

    def _bound(self, mask: Float[Tensor, "1 k *space"]) -> Denoiser:
        diffusion = self.config.diffusion
        seeing = self.schedule.denoiser(partial(self._ask, mask), diffusion.prediction, diffusion.clamp)
        if self.config.guidance == 1:
            return seeing
        nothing = partial(self._ask, torch.full_like(mask, HIDDEN))
        blind = self.schedule.denoiser(nothing, diffusion.prediction, diffusion.clamp)
        return guided(blind, (seeing, self.config.guidance))

    def _chosen_mask(self, request: SegGuidedRequest, seed: int) -> Float[Tensor, "k *space"]:
        lot = derive_seed(seed, "mask")
        if request.masks is None:
            if request.case is not None:
                raise RequestError("request", f"case '{request.case}' of no cohort", cure="name the cohort as masks")
            masks = self.memory["masks"]
            return masks[lot % len(masks)].float()
        case = self._requested(request.masks, request.case, lot)
        return labels_to_model(case.require_labels(), self.fingerprint, self.config.size)

    def _requested(self, folder: Path, name: str | None, lot: int) -> Case:
        """A case of another cohort, by its name or by lot."""
        cohort = _opened(folder)
        if name is not None and name not in cohort:
            raise RequestError("request", f"no case '{name}' in {folder}")
        if dict(cohort.label_names) != dict(self.fingerprint.label_names):
            there, needed = dict(cohort.label_names), dict(self.fingerprint.label_names)
            raise RequestError("request", f"labels of {folder} are {there}", f"trained on {needed}")
        if not len(cohort):
            raise RequestError("request", f"{folder} has no cases")
        case = cohort[name or cohort.ids[lot % len(cohort)]]
        if case.geometry.dimensions != self.fingerprint.dimensions:
            found = f"case '{case.id}' of {folder} is {case.geometry.dimensions}-D"
            raise RequestError("request", found, f"trained on {self.fingerprint.dimensions}-D")
        return case

    def _ask(self, mask: Tensor, x: Float[Tensor, "b c *space"], t: Int[Tensor, "b"]) -> Float[Tensor, "b c *space"]:
        with self.compute.passes(t.device.type):
            answer: Tensor = self.network(torch.cat([mask.expand(len(x), *mask.shape[1:]), x], dim=1), t)
        return answer.float()


@lru_cache(maxsize=4)
def _opened(folder: Path) -> Cohort:
    return Cohort.open(folder)
