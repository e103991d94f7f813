"""mDDPM: one unconditional model of images, steered by several guidance images while it samples.

Krishna et al. 2025, Guided synthesis of annotated lung CT images with pathologies using a multi-conditioned denoising
diffusion probabilistic model. Nothing but images is needed to train it. A label map of a case becomes its annotation
because the image follows it.

Axes: b batch, c image channels, e = c or 2 c with a learned variance, ``*space`` = x y or x y z; all in [-1, 1].
"""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel
from torch import Tensor

from medsmith.cases.case import Case
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model
from medsmith.diffusion import Observe, Sampling
from medsmith.methods.base import Kind, Method, Stage, assemble
from medsmith.methods.guides import GuidedRequest, guide_corrections
from medsmith.methods.mddpm.config import PRESETS, MddpmConfig
from medsmith.networks import UNet


@final
class Mddpm(Method):
    """Images steered by guidance images, in 2-D and 3-D.

    Args:
        config: settings.
        fingerprint: of the training cohort.
    """

    inputs: ClassVar[frozenset[Kind]] = frozenset(("image",))
    presets: ClassVar[Mapping[str, BaseModel]] = PRESETS
    Config = MddpmConfig
    Request = GuidedRequest

    def __init__(self, config: MddpmConfig, fingerprint: Fingerprint) -> None:
        super().__init__()
        self.config: MddpmConfig = config
        self.fingerprint, self.memory = fingerprint, {}
        self._channels = len(fingerprint.channel_names)
        self.process = config.process()
        outputs = self._channels * (1 if config.bound_weight is None else 2)
        self.network = UNet(config.network, fingerprint.dimensions, self._channels, outputs)

    def stages(self) -> tuple[Stage, ...]:
        """The only network."""
        return (Stage("image", parts=("network",), inputs=self.inputs),)

    def prepare(self, case: Case) -> Example:
        """The image on the network's grid."""
        return {"image": image_to_model(case, self.fingerprint, self.config.size)}

    def loss(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:  # noqa: ARG002
        """Section 4.2.1, eq. 5, with the hybrid loss of Nichol & Dhariwal 2021 where the variance is learned."""
        noised = self.process.noised(batch["image"], rng)
        return self.process.loss(self._predict(noised.x, noised.t), noised)

    def synthesize(
        self, request: GuidedRequest, seed: int, sampling: Sampling, *, observe: Observe | None = None
    ) -> Case:
        """Algorithm 1, with any solver and combination of the guides."""
        image = self.process.sample_one(
            self.process.denoiser(self._predict),
            (self._channels, *self.config.size),
            seed,
            sampling,
            device=self.device,
            corrections=guide_corrections(request, self.process, self.fingerprint, self.config.size, seed),
            observe=observe,
        )
        return assemble(image, None, self.fingerprint)

    def _predict(self, x: Float[Tensor, "b c *space"], t: Int[Tensor, "b"]) -> Float[Tensor, "b e *space"]:
        predicted: Tensor = self.network(x, t)
        return predicted
