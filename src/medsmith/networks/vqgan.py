"""The VQGAN in whose latents LINet paints: 2x smaller, 4 channels, 2,048 codes (Tian et al. 2025; Esser et al. 2021).

Axes: b batch, x y z voxels (even numbers of them), u v w latents (half as many), d channels of a latent.

Every activation is normalised over its own channels, voxel by voxel, where the usual group normalisation takes the
whole volume's mean: what a voxel becomes depends on its neighbourhood alone, so that a volume worked through in tiles
is the volume worked through at once (``tiling``).
"""

from dataclasses import dataclass
from typing import Annotated, Literal, final

import torch
from jaxtyping import Float, Float32
from monai.networks.nets.autoencoderkl import AEKLDownsample
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from medsmith.networks.quantiser import EMACodebook, GradientCodebook, Quantised

FACTOR = 2
"""Voxels per latent along each axis."""


@final
class VQGANConfig(BaseModel):
    """Shape of a VQGAN, and how its codes learn.

    Attributes:
        channels: width of every level, 96 in the paper's code.
        residual_blocks: residual blocks per level; one level has the voxels' grid, two have the latents'.
        latent: channels of a latent.
        codes: size of the codebook.
        codebook: "ema": moving averages with revival of dead codes; "gradient": weights (equation 3).
        commitment: beta, weight of the term that draws latents to their codes.
        decay: of the codebook's moving averages, per step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    channels: int = Field(default=96, ge=1)
    residual_blocks: int = Field(default=1, ge=1)
    latent: int = Field(default=4, ge=1)
    codes: int = Field(default=2048, ge=2)
    codebook: Literal["ema", "gradient"] = "ema"
    commitment: float = Field(default=0.25, ge=0)
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.99

    @property
    def halo(self) -> int:
        """Latents beyond a latent, in each direction, that its value depends on, in encoder and decoder.

        At the latents' grid: two convolutions of each residual block of two levels, and the last (or first) one. At
        the voxels' grid: two of each residual block, the first (or last) one, and the one that changes the grid.
        """
        return (4 * self.residual_blocks + 1) + (2 * self.residual_blocks + 3) // FACTOR


@final
@dataclass(frozen=True)
class Reconstruction:
    """A volume after its way through the VQGAN.

    Attributes:
        image: what the decoder made of the codes.
        latents: what the encoder said, before quantisation.
        quantised: codes, indices and the codebook's loss.
    """

    image: Float32[Tensor, "b 1 x y z"]
    latents: Float32[Tensor, "b d u v w"]
    quantised: Quantised


@final
class VQGAN(nn.Module):
    """Encoder, codebook and decoder of volumes in model space [-1, 1].

    Args:
        config: its shape.
    """

    steps: Tensor

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config = config
        width, blocks = config.channels, config.residual_blocks
        fine, coarse = ([ResidualBlock(width) for _ in range(count)] for count in (blocks, 2 * blocks))
        self.encoder = nn.Sequential(
            _convolution(1, width),
            *fine,
            AEKLDownsample(3, width),
            *coarse,
            *_head(width, config.latent),
        )
        fine, coarse = ([ResidualBlock(width) for _ in range(count)] for count in (blocks, 2 * blocks))
        enlarge = nn.Upsample(scale_factor=FACTOR, mode="nearest")
        self.decoder = nn.Sequential(
            _convolution(config.latent, width), *coarse, enlarge, _convolution(width, width), *fine, *_head(width, 1)
        )
        self.codebook = _codebook(config)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, image: Float[Tensor, "b 1 x y z"]) -> Reconstruction:
        """There and back."""
        latents = self.encode(image)
        quantised = self.codebook(latents)
        return Reconstruction(self._decoded(quantised.values), latents, quantised)

    def encode(self, image: Float[Tensor, "b 1 x y z"]) -> Float32[Tensor, "b d u v w"]:
        """Latents before quantisation: what LINet adds noise to."""
        if any(length % FACTOR for length in image.shape[2:]):
            raise ValueError(f"a volume of {tuple(image.shape[2:])} voxels cannot be halved")
        latents: Tensor = self.encoder(image)
        return latents.float()

    def decode(self, latents: Float[Tensor, "b d u v w"]) -> Float32[Tensor, "b 1 x y z"]:
        """The volume of latents, which are quantised first."""
        return self._decoded(self.codebook(latents).values)

    def learn(self, made: Reconstruction, draw: torch.Generator) -> None:
        """What moves without a gradient, once per training step: the codebook and the count of steps."""
        self.codebook.learn(made.latents.detach(), made.quantised.indices, draw)
        self.steps += 1

    def to_state(self, latents: Float32[Tensor, "b d u v w"]) -> Float32[Tensor, "b d u v w"]:
        """Latents with mean 0 and standard deviation 1 per channel over the codes as they are used."""
        mean, deviation = self._spread
        return (latents - mean) / deviation

    def to_latents(self, state: Float32[Tensor, "b d u v w"]) -> Float32[Tensor, "b d u v w"]:
        """The inverse of ``to_state``."""
        mean, deviation = self._spread
        return state * deviation + mean

    @property
    def last_weight(self) -> Tensor:
        """The last convolution's weight, where the adaptive weight of the critic is taken."""
        weight: Tensor = self.decoder[-1].weight  # type: ignore[assignment]
        return weight

    @property
    def _spread(self) -> tuple[Float32[Tensor, "d 1 1 1"], Float32[Tensor, "d 1 1 1"]]:
        shares = self.codebook.shares + 1e-12
        shares, codes = (shares / shares.sum())[:, None], self.codebook.codes.detach()
        mean = (shares * codes).sum(0)
        deviation = (shares * (codes - mean).square()).sum(0).sqrt()
        return mean[:, None, None, None], deviation[:, None, None, None].clamp(min=1e-6)

    def _decoded(self, values: Float32[Tensor, "b d u v w"]) -> Float32[Tensor, "b 1 x y z"]:
        image: Tensor = self.decoder(values)
        return image.float()


@final
class ResidualBlock(nn.Module):
    """Twice: normalise, SiLU, convolve; added to what came in.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(VoxelNorm(channels), nn.SiLU(), _convolution(channels, channels))
        self.second = nn.Sequential(VoxelNorm(channels), nn.SiLU(), _convolution(channels, channels))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Same shape."""
        added: Tensor = x + self.second(self.first(x))
        return added


@final
class VoxelNorm(nn.Module):
    """Layer normalisation over the channels of each voxel (Ba et al. 2016).

    Args:
        channels: of each voxel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Same shape."""
        normalised: Tensor = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        return normalised


def _convolution(inward: int, outward: int) -> nn.Conv3d:
    return nn.Conv3d(inward, outward, 3, padding=1)


def _head(inward: int, outward: int) -> tuple[nn.Module, ...]:
    return VoxelNorm(inward), nn.SiLU(), _convolution(inward, outward)


def _codebook(config: VQGANConfig) -> EMACodebook | GradientCodebook:
    kind = EMACodebook if config.codebook == "ema" else GradientCodebook
    return kind(config.codes, config.latent, config.commitment, config.decay)
