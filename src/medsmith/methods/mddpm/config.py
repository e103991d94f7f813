"""Settings and presets of mDDPM."""

from collections.abc import Mapping
from dataclasses import replace
from typing import final

from pydantic import Field, model_validator

from medsmith.diffusion import DiffusionProcess, Sampling
from medsmith.methods.config import DiffusionConfig, TrainingConfig
from medsmith.methods.one_network import OneNetworkConfig
from medsmith.networks import NetworkConfig


@final
class MddpmConfig(OneNetworkConfig):
    """Settings of mDDPM. Images are not mirrored in training, since a chest has its heart on the left.

    Attributes:
        hounsfield_range: HU that become -1 and 1 where the images are CT; other images keep their own range.
        bound_weight: weight (lambda) of the variational bound that trains the variance of the DDPM solver (Nichol &
            Dhariwal 2021, eq. 16); None keeps the variance fixed, at that of the posterior. Its likelihood at t = 0
            has 256 gray levels, also of Hounsfield units.
    """

    training: TrainingConfig = TrainingConfig(flips=())
    hounsfield_range: tuple[float, float] = (-1000.0, 1000.0)
    bound_weight: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _variance_can_be_learned(self) -> "MddpmConfig":
        low, high = self.hounsfield_range
        if not low < high:
            raise ValueError(f"hounsfield_range = {list(self.hounsfield_range)}: the first is the lower one")
        if self.bound_weight is not None and self.diffusion.schedule == "rectified_flow":
            raise ValueError("bound_weight: rectified flow is deterministic and has no variance to learn; give null")
        return self

    def process(self) -> DiffusionProcess:
        """The diffusion process with these settings."""
        return replace(self.diffusion.process(), bound_weight=self.bound_weight)


# Paper: U-Net, steps and batch are not stated. This is the 256-pixel network of improved-diffusion (Nichol & Dhariwal
# 2021; its create_model knows 32, 64 and 256 alone) applied to 512, with the cosine schedule, the hybrid loss and
# re-spaced ancestral sampling; batch, steps and rate are ours.
_PAPER = MddpmConfig(
    size=(512, 512),
    network=NetworkConfig(
        channels=(128, 128, 256, 256, 512, 512),
        attention=(False, False, False, False, False, True),
        residual_blocks=2,
        head_channels=128,
        groups=32,
        space_to_depth=1,
    ),
    diffusion=DiffusionConfig(prediction="noise", clamp=1.0, min_snr=None),
    bound_weight=0.001,
    training=TrainingConfig(
        steps=300_000,
        batch=8,
        learning_rate=1e-4,
        weight_decay=0.0,
        warm_up=0,
        ema=0.9999,
        flips=(),
        precision="float32",
    ),
    sampling=Sampling(solver="ddpm", steps=250),
)
_BEST = MddpmConfig(
    size=(256, 256),
    network=NetworkConfig(channels=(96, 128, 192, 256), attention=(False, False, False, True), residual_blocks=2),
    training=TrainingConfig(steps=60_000, ema=0.999, flips=()),
)
PRESETS: Mapping[str, MddpmConfig] = {"paper": _PAPER, "best": _BEST, "tiny": MddpmConfig()}
