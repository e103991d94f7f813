"""Settings of LesionDiffusion and its presets."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from medsmith.diffusion import Sampling
from medsmith.insertion.context import OrganEncoding
from medsmith.insertion.frame import FrameConfig
from medsmith.methods.config import DiffusionConfig, TrainingConfig, check_settings
from medsmith.networks import NetworkConfig
from medsmith.networks.autoencoder_losses import AutoencoderLossConfig
from medsmith.networks.discriminator import DiscriminatorConfig
from medsmith.networks.vqgan import VQGANConfig
from medsmith.text.encoded_vocabulary import TextConfig

LEVELS: tuple[float, ...] = tuple(np.round(np.linspace(-0.4, 0.8, 7), 1).tolist())
"""Candidate thresholds: .3 to .9 on the released code's scale of 0 to 1."""


@final
class MaskConfig(BaseModel):
    """Settings of LMNet, which generates the mask.

    Attributes:
        frame: the cube it works in.
        network: its shape.
        diffusion: noise and prediction, on masks of -1 and 1.
        words: how the report conditions it.
        organs: encoding of the other organs: "id" as one channel of ids over 104 (the released code), "groups" as
            a channel each for parenchymal, hollow and other structures.
        outside: gamma of equation 2, the weight of voxels outside the box.
        guidance: weight of classifier-free guidance; 1 is the network alone.
        smoothing: standard deviation, in voxels of the cube, of the Gaussian applied to the sampled mask before it is
            thresholded, against residual noise.
        threshold: "box" takes the level whose volume is nearest to that of the box's ellipsoid; "zero" takes 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    frame: FrameConfig = FrameConfig()
    network: NetworkConfig = NetworkConfig(channels=(32, 48, 64), space_to_depth=2)
    diffusion: DiffusionConfig = DiffusionConfig(prediction="clean")
    words: TextConfig = TextConfig()
    organs: OrganEncoding = "groups"
    outside: float = Field(default=0.1, ge=0, le=1)
    guidance: float = Field(default=3.0, ge=0)
    smoothing: float = Field(default=1.2, ge=0)
    threshold: Literal["box", "zero"] = "box"

    @property
    def levels(self) -> tuple[float, ...]:
        """Candidate thresholds of the field."""
        return LEVELS if self.threshold == "box" else (0.0,)


@final
class PaintConfig(BaseModel):
    """Settings of LINet, which inpaints the lesion.

    Attributes:
        frame: the cube it works in.
        network: its shape.
        diffusion: noise and prediction.
        words: how the report conditions it.
        space: what is diffused: "latent" of the VQGAN (the paper) or "voxels" themselves, folded by space-to-depth.
        amplitude: factor on voxels before noise is added (Chen 2023); latents already have unit variance. Tissues
            differ by a twentieth of model space, so without it unit noise hides texture, margin and density.
        origin: density that is 0 in the image: that of "water" (the paper, and always in latents), or of the "organ"
            around the lesion, which words of density are set against.
        reach_mm: the inpainted region ends this far outside the mask, so that margins can be synthesized.
        edge: of the mask that LINet is given: "sharp" (the paper), or "reported", as wide as the report's margin.
        norm: of the error: "l1" (equation 5) or "l2".
        mask_head: weight of the Dice loss of a predicted mask (the released code); 0 predicts none.
        guidance: weight of classifier-free guidance; 1 is the network alone.
        level: mean of the lesion under guidance: "guided" (the paper), or "kept" as the network alone has it.
        homogeneous: standard deviation of the initial noise of lesions that are requested to be homogeneous; 1 for all
            others. Residual noise becomes texture.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    frame: FrameConfig = FrameConfig(finest_mm=1.0)
    network: NetworkConfig = NetworkConfig(channels=(32, 48, 64), space_to_depth=2)
    diffusion: DiffusionConfig = DiffusionConfig(prediction="clean", clamp=8.0, min_snr=20.0, least_weight=2.0)
    words: TextConfig = TextConfig()
    space: Literal["latent", "voxels"] = "voxels"
    amplitude: float = Field(default=5.0, gt=0)
    origin: Literal["water", "organ"] = "water"
    reach_mm: float = Field(default=3.0, ge=0)
    edge: Literal["sharp", "reported"] = "sharp"
    norm: Literal["l1", "l2"] = "l2"
    mask_head: float = Field(default=0.0, ge=0)
    guidance: float = Field(default=1.5, ge=0)
    level: Literal["guided", "kept"] = "guided"
    homogeneous: float = Field(default=0.2, ge=0, le=1)


@final
class LesionDiffusionConfig(BaseModel):
    """Settings of LesionDiffusion.

    Attributes:
        mask: of LMNet.
        vqgan: the autoencoder of LINet's latent space, if it has one.
        discriminator: of the autoencoder.
        autoencoding: weights of its losses.
        paint: of LINet.
        training: of each stage.
        sampling: of both networks unless told otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mask: MaskConfig = MaskConfig()
    vqgan: VQGANConfig = VQGANConfig(channels=32, codes=512)
    discriminator: DiscriminatorConfig = DiscriminatorConfig(channels=16, layers=2)
    autoencoding: AutoencoderLossConfig = AutoencoderLossConfig()
    paint: PaintConfig = PaintConfig()
    training: TrainingConfig = TrainingConfig(steps=3500, batch=8, learning_rate=1e-3, flips=(0, 1, 2), ema=0.998)
    sampling: Sampling = Sampling(solver="dpm++2m", steps=10)

    @property
    def size(self) -> tuple[int, int, int]:
        """Grid of LINet."""
        edge = self.paint.frame.size
        return edge, edge, edge

    @model_validator(mode="after")
    def _fits_together(self) -> "LesionDiffusionConfig":
        check_settings(self.size, self.mask.diffusion, self.training, self.sampling)
        check_settings(self.size, self.paint.diffusion, self.training, self.sampling)
        edge, factor = self.paint.frame.size, self.vqgan.shape.factor
        if self.paint.space == "latent" and edge % factor:
            raise ValueError(f"paint.frame.size = {edge} is no multiple of {factor}, by which the VQGAN shrinks it")
        if self.paint.space == "latent" and edge < self.discriminator.smallest:
            smallest = self.discriminator.smallest
            raise ValueError(f"paint.frame.size = {edge} is below the {smallest} voxels that a discriminator needs")
        return self


_PAPER_WORDS = TextConfig(
    table="biomedclip", dimension=512, vectors="raw", reach="cross-attention", width=512, left_out=0.0
)
_MILLIMETER = FrameConfig(size=128, finest_mm=1.0, coarsest_mm=1.0)
_PAPER = LesionDiffusionConfig(
    mask=MaskConfig(
        frame=_MILLIMETER,
        network=NetworkConfig(
            channels=(32, 64, 128), attention=(False, False, True), residual_blocks=1, head_channels=32, groups=16,
            space_to_depth=1,
        ),
        diffusion=DiffusionConfig(schedule="cosine", prediction="noise", clamp=None, min_snr=None),
        words=_PAPER_WORDS,
        organs="id",
        outside=0.001,
        guidance=2.5,
        smoothing=0.0,
        threshold="zero",
    ),
    vqgan=VQGANConfig(channels=96, codes=2048, codebook="gradient"),
    discriminator=DiscriminatorConfig(channels=64, layers=3),
    autoencoding=AutoencoderLossConfig(norm="l2", gan_loss="logistic", adversarial=1.0, discriminator_from=0),
    paint=PaintConfig(
        frame=_MILLIMETER,
        network=NetworkConfig(
            channels=(128, 256, 512), attention=(False, False, True), residual_blocks=2, head_channels=32, groups=32,
            space_to_depth=1,
        ),
        diffusion=DiffusionConfig(schedule="cosine", prediction="noise", clamp=None, min_snr=None),
        words=_PAPER_WORDS,
        space="latent",
        reach_mm=0.0,
        norm="l1",
        guidance=2.5,
        homogeneous=1.0,
    ),
    training=TrainingConfig(
        steps=200_000, batch=1, learning_rate=1e-4, weight_decay=1e-5, warm_up=0, ema=0.9999, flips=(),
        precision="float32",
    ),
    sampling=Sampling(solver="ddim", steps=200),
)  # fmt: skip
_RELEASED_DIFFUSION = DiffusionConfig(schedule="scaled_linear", prediction="noise", clamp=None, min_snr=None)
_RELEASED = _PAPER.model_copy(
    update={
        "mask": _PAPER.mask.model_copy(
            update={
                "diffusion": _RELEASED_DIFFUSION,
                "network": _PAPER.mask.network.model_copy(update={"channels": (16, 32, 64), "groups": 16}),
                "words": _PAPER_WORDS.model_copy(update={"null": 0.0}),
                "guidance": 1.0,
                "threshold": "box",
            }
        ),
        "autoencoding": AutoencoderLossConfig(norm="l1", gan_loss="hinge", adversarial=0.5, discriminator_from=50_001),
        "paint": _PAPER.paint.model_copy(
            update={
                "diffusion": _RELEASED_DIFFUSION,
                "words": _PAPER_WORDS.model_copy(update={"null": 0.0}),
                "mask_head": 1.0,
                "guidance": 1.0,
            }
        ),
        "training": _PAPER.training.model_copy(update={"learning_rate": 8e-5, "weight_decay": 0.01}),
        "sampling": Sampling(solver="ddim", steps=200, stochasticity=1.0),
    }
)
_TINY = LesionDiffusionConfig(paint=PaintConfig(origin="organ", edge="reported", guidance=3.0, level="kept"))
_BEST = LesionDiffusionConfig(
    mask=MaskConfig(
        frame=FrameConfig(size=64),
        network=NetworkConfig(channels=(64, 128, 192), residual_blocks=2),
    ),
    paint=PaintConfig(
        frame=FrameConfig(size=64, finest_mm=1.0),
        network=NetworkConfig(channels=(96, 160, 256), residual_blocks=2),
        origin=_TINY.paint.origin,
        edge=_TINY.paint.edge,
        guidance=_TINY.paint.guidance,
        level=_TINY.paint.level,
    ),
    training=TrainingConfig(steps=60_000, batch=16, flips=(0, 1, 2), ema=0.999),
)
PRESETS: Mapping[str, BaseModel] = MappingProxyType(
    {"paper": _PAPER, "released": _RELEASED, "best": _BEST, "tiny": _TINY}
)
