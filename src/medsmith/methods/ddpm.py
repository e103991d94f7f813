"""DDPM: one unconditional network, the baseline of PIG's table 1.

Ho et al. 2020. The state stacks mask and image channels, so that the baseline makes annotated images too; that of the
paper makes images alone.

Axes: b batch, k mask channels (one per label), c image channels, ``*space`` = x y or x y z; all in [-1, 1].
"""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel
from torch import Tensor

from medsmith.cases.case import Case, Kind
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model, labels_to_model
from medsmith.diffusion import Observe, Sampling, on_channels
from medsmith.methods.base import IMAGE_AND_LABELS, Method, Stage, assemble
from medsmith.methods.config import DiffusionConfig, TrainingConfig
from medsmith.methods.guides import GuidedRequest, guide_corrections
from medsmith.methods.one_network import OneNetworkConfig
from medsmith.networks import NetworkConfig, UNet


@final
class DdpmConfig(OneNetworkConfig):
    """Settings of DDPM."""


@final
class DdpmRequest(GuidedRequest):
    """A request for one case; guides act on the image channels, the network itself is unconditional."""


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
    sampling=Sampling(solver="ddpm", steps=1024),
)
_BEST = DdpmConfig(
    size=(128, 128),
    network=NetworkConfig(channels=(96, 128, 192), residual_blocks=2),
    training=TrainingConfig(steps=40_000, ema=0.999),
)


@final
class Ddpm(Method):
    """Unconditional diffusion of image and mask as one stack of channels, or of images alone, in 2-D and 3-D.

    Args:
        config: settings.
        fingerprint: of the training cohort.
    """

    inputs: ClassVar[frozenset[Kind]] = frozenset(("image",))
    presets: ClassVar[Mapping[str, BaseModel]] = {"paper": _PAPER, "best": _BEST, "tiny": DdpmConfig()}
    Config = DdpmConfig
    Request = DdpmRequest

    def __init__(self, config: DdpmConfig, fingerprint: Fingerprint) -> None:
        super().__init__()
        self.config: DdpmConfig = config
        self.fingerprint, self.memory = fingerprint, {}
        self._masks = len(fingerprint.foreground_labels)
        self._stack = self._masks + len(fingerprint.channel_names)
        self.process = config.diffusion.process()
        self.network = UNet(config.network, fingerprint.dimensions, self._stack, self._stack)

    def stages(self) -> tuple[Stage, ...]:
        """The only network; on a cohort without labels it is trained on images alone."""
        inputs: frozenset[Kind] = IMAGE_AND_LABELS if self._masks else frozenset(("image",))
        return (Stage("stack", parts=("network",), inputs=inputs),)

    def prepare(self, case: Case) -> Example:
        """Mask and image channels on the network's grid; masks as int8 signs, a quarter of the size of floats."""
        size = self.config.size
        example = {"image": image_to_model(case, self.fingerprint, size)}
        if self._masks:
            example["mask"] = labels_to_model(case.require_labels(), self.fingerprint, size).to(torch.int8)
        return example

    def loss(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:  # noqa: ARG002
        """Ho et al. 2020, Algorithm 1."""
        parts = [batch["mask"].float()] if self._masks else []
        noised = self.process.noised(torch.cat([*parts, batch["image"]], dim=1), rng)
        return self.process.loss(self._predict(noised.x, noised.t), noised)

    def synthesize(
        self,
        request: DdpmRequest,
        seed: int,
        sampling: Sampling,
        *,
        observe: Observe | None = None,
    ) -> Case:
        """Ho et al. 2020, Algorithm 2, with any solver."""
        shape = (self._stack, *self.config.size)
        denoise = self.process.denoiser(self._predict)
        guides = guide_corrections(request, self.process, self.fingerprint, self.config.size, seed, sampling)
        state = self.process.sample_one(
            denoise,
            shape,
            seed,
            sampling,
            device=self.device,
            corrections=[on_channels(guide, slice(self._masks, None)) for guide in guides],
            observe=observe,
        )
        return assemble(state[self._masks :], state[: self._masks] if self._masks else None, self.fingerprint)

    def _predict(self, x: Float[Tensor, "b s *space"], t: Int[Tensor, "b"]) -> Float[Tensor, "b s *space"]:
        predicted: Tensor = self.network(x, t)
        return predicted
