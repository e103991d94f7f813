"""The VQGAN of LINet's latents: 2x smaller, 4 channels, 2,048 codes (Tian et al. 2025; Esser et al. 2021).

Axes: b batch, c channels of the image, ``*space`` voxels (even numbers of them), d channels of a latent, ``*latent``
their grid.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, final

import torch
from jaxtyping import Float, Float32
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from medsmith.networks.autoencoder import AutoencoderConfig, build_decoder, build_encoder, last_weight
from medsmith.networks.latent import Scale, check_grid
from medsmith.networks.limits import MOST_BLOCKS, MOST_CHANNELS, Widths
from medsmith.networks.quantizer import EMACodebook, GradientCodebook, Quantized


@final
class VQGANConfig(BaseModel):
    """Shape of a VQGAN, and how its codes are trained.

    Attributes:
        channels: width of each level; every level but the last halves the grid. One number is the width of two levels,
            that of the voxels and that of the latents: 96 in the paper's code.
        residual_blocks: residual blocks per level; the last level, the latents' grid, has twice as many.
        latent: channels of a latent.
        codes: size of the codebook.
        codebook: "ema" moves codes by moving averages and revives dead ones; "gradient" trains them as weights
            (equation 3).
        commitment: beta, weight of the term that pulls latents to their codes.
        decay: of the codebook's moving averages, per step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    channels: Annotated[int, Field(ge=1, le=MOST_CHANNELS)] | Widths = 96
    residual_blocks: int = Field(default=1, ge=1, le=MOST_BLOCKS)
    latent: int = Field(default=4, ge=1, le=256)
    codes: int = Field(default=2048, ge=2, le=2**17)
    codebook: Literal["ema", "gradient"] = "ema"
    commitment: float = Field(default=0.25, ge=0)
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.99

    @property
    def shape(self) -> AutoencoderConfig:
        """Of encoder and decoder."""
        widths = (self.channels,) * 2 if isinstance(self.channels, int) else self.channels
        return AutoencoderConfig(channels=widths, residual_blocks=self.residual_blocks, latent=self.latent)


@final
@dataclass(frozen=True)
class Reconstruction:
    """The output of a VQGAN for an image.

    Attributes:
        image: decoded from the codes.
        latents: from the encoder, before quantization.
        quantized: codes, indices and the codebook's loss.
    """

    image: Float32[Tensor, "b c *space"]
    latents: Float32[Tensor, "b d *latent"]
    quantized: Quantized


@final
class VQGAN(nn.Module):
    """Encoder, codebook and decoder of images in model space [-1, 1]; a ``LatentSpace``.

    The scale of the state is taken over the codes, weighted by their use.

    Args:
        config: its shape.
        dimensions: 2 or 3.
        channels: of the image.
    """

    steps: Tensor

    def __init__(self, config: VQGANConfig, dimensions: int = 3, channels: int = 1) -> None:
        super().__init__()
        self.config = config
        self.channels, self.factor, self.halo = config.latent, config.shape.factor, config.shape.halo
        self.encoder = build_encoder(config.shape, dimensions, channels, config.latent)
        self.decoder = build_decoder(config.shape, dimensions, channels)
        self.codebook = _codebook(config)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, image: Float[Tensor, "b c *space"]) -> Reconstruction:
        """Encode, quantize, decode."""
        latents = self.latents(image)
        quantized = self.codebook(latents)
        return Reconstruction(self._decode(quantized.values), latents, quantized)

    def latents(self, image: Float[Tensor, "b c *space"]) -> Float32[Tensor, "b d *latent"]:
        """Latents before quantization and scaling."""
        check_grid(image, self.factor)
        latents: Tensor = self.encoder(image)
        return latents.float()

    def encode(self, x: Float[Tensor, "b c *space"]) -> Float32[Tensor, "b d *latent"]:
        """The state of an image: latents before quantization, as in the released code, scaled."""
        return self.scale.to_state(self.latents(x))

    def decode(self, z: Float[Tensor, "b d *latent"]) -> Float32[Tensor, "b c *space"]:
        """The image of a state, after quantization of its latents."""
        return self._decode(self.codebook(self.scale.to_latents(z)).values)

    def update(self, output: Reconstruction, rng: torch.Generator) -> None:
        """Update what has no gradient, once per training step: the codebook and the count of steps.

        Args:
            output: of this step.
            rng: source of revived codes, on the CPU.
        """
        self.codebook.update(output.latents.detach(), output.quantized.indices, rng)
        self.steps += 1

    def fit_scale(self, states: Iterable[Float[Tensor, "b d *latent"]]) -> None:
        """Does nothing: the scale follows the codebook."""

    @property
    def scale(self) -> Scale:
        """Mean and standard deviation over the codes, weighted by their use."""
        shares = self.codebook.shares + 1e-12
        shares, codes = (shares / shares.sum())[:, None], self.codebook.codes.detach()
        mean = (shares * codes).sum(0)
        deviation = (shares * (codes - mean).square()).sum(0).sqrt()
        return Scale(mean, deviation.clamp(min=1e-6))

    @property
    def last_weight(self) -> Tensor:
        """The weight of the last convolution, for the adaptive weight of the generator loss."""
        return last_weight(self.decoder)

    def _decode(self, values: Float32[Tensor, "b d *latent"]) -> Float32[Tensor, "b c *space"]:
        image: Tensor = self.decoder(values)
        return image.float()


def _codebook(config: VQGANConfig) -> EMACodebook | GradientCodebook:
    kind = EMACodebook if config.codebook == "ema" else GradientCodebook
    return kind(config.codes, config.latent, config.commitment, config.decay)
