"""DDPM: one unconditional network, the baseline of PIG's table 1.

Ho et al. 2020. The state is image and mask channels stacked, so that the baseline too makes annotated images; the
paper's baseline makes images alone.

Axes: b batch, k mask channels (one per label), c image channels, ``*space`` = x y or x y z; all in [-1, 1].
"""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, model_validator
from torch import Tensor

from medsmith.case import Case
from medsmith.config import DiffusionConfig, SamplingConfig, Size, TrainingConfig, check_settings
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model, labels_to_model
from medsmith.diffusion import Solver
from medsmith.method import Method, assemble, finished
from medsmith.networks import NetworkConfig, UNet
from medsmith.objective import denoising_error, draw_times, normal_like


@final
class DdpmConfig(BaseModel):
    """Settings of DDPM.

    Attributes:
        size: grid of the network, voxels along each axis of space.
        network: its shape.
        diffusion: noise and prediction.
        training: of its one stage.
        sampling: defaults of the walk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Size = (64, 64)
    network: NetworkConfig = NetworkConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = SamplingConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "DdpmConfig":
        check_settings(self.size, self.diffusion, self.training, self.sampling)
        return self


@final
class DdpmRequest(BaseModel):
    """DDPM is unconditional: nothing can be asked of a case."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_PAPER = DdpmConfig(
    size=(512, 512),
    network=NetworkConfig(
        channels=(32, 32, 64, 64, 128, 128),
        attention=(False, False, False, False, False, True),
        residual_blocks=2,
        head_channels=128,
        groups=32,
        space_to_depth=1,
    ),
    diffusion=DiffusionConfig(schedule="linear", length=1024, prediction="noise", min_snr=None),
    training=TrainingConfig(
        steps=186_000, batch=6, learning_rate=2e-4, weight_decay=0.0, warm_up=0, ema=0.0, flips=(), precision="float32"
    ),
    sampling=SamplingConfig(solver="ddpm", steps=1024),
)
_BEST = DdpmConfig(
    size=(128, 128),
    network=NetworkConfig(channels=(96, 128, 192), residual_blocks=2),
    training=TrainingConfig(steps=40_000, ema=0.999),
)


@final
class Ddpm(Method):
    """Unconditional diffusion of image and mask as one stack of channels, in 2-D and 3-D.

    Args:
        config: settings.
        fingerprint: of the training cohort.
    """

    stages: ClassVar[Mapping[str, tuple[str, ...]]] = {"stack": ("network",)}
    presets: ClassVar[Mapping[str, BaseModel]] = {"paper": _PAPER, "best": _BEST, "tiny": DdpmConfig()}
    Config = DdpmConfig
    Request = DdpmRequest

    def __init__(self, config: DdpmConfig, fingerprint: Fingerprint) -> None:
        super().__init__()
        self.config: DdpmConfig = config
        self.fingerprint, self.memory = fingerprint, {}
        self._masks = len(fingerprint.foreground_labels)
        self._stack = self._masks + len(fingerprint.channel_names)
        self.schedule = config.diffusion.noise_schedule()
        self.network = UNet(config.network, fingerprint.dimensions, self._stack, self._stack)

    def prepare(self, case: Case) -> Example:
        """Mask and image channels on the network's grid."""
        size = self.config.size
        mask = labels_to_model(case.require_labels(), self.fingerprint, size)
        return {"stack": torch.cat([mask, image_to_model(case, self.fingerprint, size)])}

    def loss(self, part: str, batch: Batch, draw: torch.Generator) -> Float[Tensor, ""]:  # noqa: ARG002
        """Ho et al. 2020, Algorithm 1."""
        clean = batch["stack"]
        t = draw_times(self.config.diffusion, len(clean), draw).to(clean.device)
        noised = self.schedule.add_noise(clean, normal_like(clean, draw), t)
        return denoising_error(self._ask(noised.x, t), noised, self.schedule, self.config.diffusion)

    def synthesize(self, request: DdpmRequest, seed: int, *, solver: Solver, steps: int) -> Case:  # noqa: ARG002
        """Ho et al. 2020, Algorithm 2, with any solver."""
        diffusion = self.config.diffusion
        denoise = self.schedule.denoiser(self._ask, diffusion.prediction, diffusion.clamp)
        device = next(self.parameters()).device
        shape = (self._stack, *self.config.size)
        state = finished(denoise, self.schedule, shape, seed, self.walk(solver, steps), device)
        return assemble(state[self._masks :], state[: self._masks], self.fingerprint)

    def _ask(self, x: Float[Tensor, "b s *space"], t: Int[Tensor, "b"]) -> Float[Tensor, "b s *space"]:
        with self.compute.passes(t.device.type):
            answer: Tensor = self.network(x, t)
        return answer.float()
